#pragma once
#include <string>

#include "graph/plan.h"
#include "kiln/graph/graph.h"

/// Every pass takes a graph and gives a new one; each is one file of this folder with a test of before/after
/// text. `optimize` in pipeline.cpp runs them in order.
namespace kiln::graph {

/// Algebraic rules (a table) and forwarding of no-ops. Keeps NaN, infinity and signed zero.
Graph simplify(const Graph& graph);
/// Common subexpressions: equal op, operands, attributes.
Graph cse(const Graph& graph);
/// Evaluates ops whose operands are all (small) constants, by the reference rules.
Graph fold_constants(const Graph& graph);
/// Drops what no output, state update or check needs. Inputs and states stay.
Graph dce(const Graph& graph);
/// Rewrites products and convolutions into the forms that kernels exist for (see canonicalize.cpp):
/// dot as [batch,] M,K x K,N; conv without padding (an explicit pad before it); conv_input_grad as a
/// convolution of the (interior-)padded gradient with the reversed, transposed kernel; convolutions in
/// Winograd's form where `conv` says so. `log`, if there is one, gets a line for each convolution: which
/// algorithm, and why.
Graph canonicalize(const Graph& graph, ConvAlgorithm conv, std::string* log = nullptr);
inline Graph canonicalize(const Graph& graph) {
  return canonicalize(graph, ConvAlgorithm::automatic);
}
/// Chooses for each image whether the batch is its first or its last axis, and puts transposes between
/// (layout.cpp). `wherever_possible`: the last, for tests.
Graph layout(const Graph& graph, bool wherever_possible);
inline Graph layout(const Graph& graph) {
  return layout(graph, false);
}
/// Splits reductions that leave too little parallel work into two, by shape only.
Graph split_reductions(const Graph& graph);
/// Makes one product of several narrow ones that share their left operand, with what follows all of them.
Graph siblings(const Graph& graph);
/// Takes masks that a gradient needs from results that are kept anyway: relu's from its result.
Graph masks(const Graph& graph);
/// Weights that no step changes, of at least so many bytes, are kept as panels for the products of many rows.
Graph pack_weights(const Graph& graph, std::int64_t least_bytes);

}  // namespace kiln::graph
