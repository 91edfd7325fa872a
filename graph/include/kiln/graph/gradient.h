#pragma once
#include <span>
#include <vector>

#include "kiln/graph/graph.h"

namespace kiln::graph {

/// Appends to y's graph the adjoints of `wrt` for the output y: reverse mode, one walk over the nodes in
/// reverse topological order, partial adjoints summed. `dy` is y's adjoint (default: ones; then y must have
/// rank 0, else ShapeError). A value that y doesn't depend on gets zeros. The result is ordinary graph, so
/// gradient of gradient works.
KILN_API std::vector<Value> gradient(Value y, std::span<const Value> wrt, Value dy = {});
/// The same, but a value that y doesn't depend on, or not through ops with a gradient, gets an empty Value.
KILN_API std::vector<Value> gradient_or_none(Value y, std::span<const Value> wrt, Value dy = {});

}  // namespace kiln::graph
