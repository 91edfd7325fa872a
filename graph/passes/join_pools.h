#pragma once
#include <vector>

#include "graph/passes/fusion_log.h"
#include "graph/plan.h"

namespace kiln::graph {

/// Joins a convolution's group with that of the maxima (and of where these lie) or the sums over windows of its
/// results, if nothing else reads the results: the kernel pools them while they are in its tiles, and only
/// what the pooling gives is ever written to memory. `log`, if there is one, gets the reasons.
std::vector<Group> join_pools(const Graph& graph, std::vector<Group> groups, FusionLog* log = nullptr);

}  // namespace kiln::graph
