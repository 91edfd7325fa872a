#pragma once
#include <vector>

#include "graph/passes/fusion_log.h"
#include "graph/plan.h"

namespace kiln::graph {

/// Joins the gradient of maxima over windows that lie side by side with the group that multiplies it with the
/// convolution's input for the gradient of the kernel (conv_kernel_sums), if nothing else reads it and that
/// group reads each element only a few times: the largest array of a network's first layer is never written.
/// `log`, if there is one, gets the reasons.
std::vector<Group> join_pool_grads(const Graph& graph, std::vector<Group> groups, FusionLog* log = nullptr);

}  // namespace kiln::graph
