#pragma once
#include <optional>

#include "graph/plan.h"

namespace kiln::graph {

/// A graph in which a value that only waits in the arena while the plan's peak passes is computed anew
/// afterwards, for those that read it then, from values that are there anyway. Of all such values it is the
/// best by bytes against work, or the one that comes `rank` after it; nothing if there are no more. The same
/// ops on the same operands give the same bits.
std::optional<Graph> rematerialize(const Plan& plan, std::size_t rank = 0);

/// True for a node that computes a value anew. Nothing may join it with what was computed before: that the
/// two are far apart is the point.
bool is_recomputed(const Node& node);

}  // namespace kiln::graph
