#pragma once
#include <functional>
#include <vector>

#include "kiln/graph/graph.h"

namespace kiln::graph {

/// By node: does it come, through any nodes with operands, from leaves alone for which `counts` is true?
std::vector<bool> comes_from(const Graph& graph, const std::function<bool(const Node& leaf)>& counts);

/// Copies a graph node by node into a new one, with replacements: what most passes are made of.
class Rewriter {
 public:
  explicit Rewriter(const Graph& source);

  /// The new graph's value for an old one.
  Value operator()(Value old) const { return map_[static_cast<std::size_t>(old.node->id)][static_cast<std::size_t>(old.result)]; }
  /// Makes later users of `old` use `value` (of the new graph).
  void replace(Value old, Value value);
  /// Copies the node as it is, with mapped operands and its label; returns the copy.
  const Node& copy(const Node& node);
  Graph& target() { return target_; }
  /// Inputs and states are copied by the constructor, all of them and in order. `finish` copies outputs and
  /// updates and gives the graph.
  Graph finish();

  /// The whole of a simple pass: for each node in order, `visit` returns true if it has handled the node
  /// (by `replace`), false to have it copied.
  static Graph run(const Graph& source, const std::function<bool(Rewriter&, const Node&)>& visit);

 private:
  const Graph& source_;
  Graph target_;
  std::vector<std::vector<Value>> map_;
};

}  // namespace kiln::graph
