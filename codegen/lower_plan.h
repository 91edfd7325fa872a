#pragma once
#include <span>
#include <vector>

#include "codegen/entry.h"
#include "codegen/loop.h"
#include "codegen/target.h"
#include "graph/plan.h"
#include "kiln/runtime/executable.h"

namespace kiln::codegen {

/// A plan with a kernel for each of its groups, and all that a run needs to know but the machine code.
struct LoweredPlan {
  runtime::Program program;
  std::vector<Kernel> kernels;   ///< parallel to program.steps
  std::vector<EntryStep> entry;  ///< the same, without symbols
  /// Of scratch memory that each kernel needs a thread; all kernels have the largest as their stride.
  std::vector<std::int64_t> scratch_bytes;
};

/// `ways` numbers the ways to lower the groups (see `lower`).
LoweredPlan lower_plan(const graph::Plan& plan, std::span<const int> ways, const Target& target);

}  // namespace kiln::codegen
