#pragma once
#include <vector>

#include "graph/passes/fusion_log.h"
#include "graph/plan.h"

namespace kiln::graph {

/// Joins groups over the same rows that pass data to each other: reductions over the last axis, the maps that
/// make their elements, and the maps that use their results. Softmax is four groups before (the maximum; the
/// exponentials; their sum; the quotients) and one afterwards, which reads its input from memory once and
/// writes its output once. `log`, if there is one, gets the reasons.
std::vector<Group> join_rows(const Graph& graph, std::vector<Group> groups, FusionLog* log = nullptr);

}  // namespace kiln::graph
