#pragma once
#include "codegen/loop.h"
#include "codegen/target.h"
#include "graph/plan.h"

namespace kiln::codegen {

/// A kernel's parameter: which of the group's arrays it is.
struct Argument {
  enum class Kind : std::uint8_t { input, output, error, scratch } kind = Kind::input;
  int index = 0;  ///< into group.inputs / group.outputs
};

struct LoweredGroup {
  Kernel kernel;
  std::vector<Argument> arguments;  ///< parallel to kernel.buffers
  double flops = 0, bytes = 0;
  int ways = 1;  ///< to cut it into tiles: numbers below this are different kernels, or some of them
};

/// Loop form of a scheduled group. An output that the plan put on one of the group's inputs shares that
/// input's parameter. `check_index` numbers the program's checks, `way` the ways to cut the work into tiles:
/// 0 is what the cost model takes for the fastest.
LoweredGroup lower(const graph::ScheduledGroup& scheduled, const Target& target, int check_index = -1,
                   int way = 0);

}  // namespace kiln::codegen
