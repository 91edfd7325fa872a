#pragma once
#include <vector>

#include "codegen/target.h"
#include "graph/plan.h"

namespace kiln::codegen {

/// For each group of the plan, the number of the fastest way to lower it (`lower`'s `way`): kernels that
/// could be cut into tiles in several ways are compiled in all of them and run on this machine, with one
/// thread and arrays of zeros. No way changes the order of a sum, so results are the same to the bit. Takes
/// about 30 ms a kernel. What was found is remembered for equal kernels of this process.
std::vector<int> find_fastest_ways(const graph::Plan& plan, const Target& target);

}  // namespace kiln::codegen
