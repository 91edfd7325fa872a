#pragma once
#include <vector>

#include "kiln/graph/graph.h"

namespace kiln::graph {

/// Estimates that fusion weighs against each other. One unit is a cheap operation on one element.
class FusionCosts {
 public:
  explicit FusionCosts(const Graph& graph);

  /// What one element of the node costs with all that is fused into it for it alone: operands that others use
  /// too, and arrays, count nothing.
  double chain(const Node& n) const { return chain_[static_cast<std::size_t>(n.id)]; }
  /// True if every group that reads the node may compute it anew: one-element constants, counting, other ways
  /// of reading an array, a little arithmetic on one number, on what hardly comes from memory (a one-hot
  /// row), or on one array that is there anyway (x - mean: reading x is no more than reading the difference).
  bool may_repeat(const Node& n) const;
  /// True if the node may be evaluated `evaluations` times rather than once an element.
  bool may_evaluate(const Node& n, double evaluations) const;

 private:
  bool is_there_anyway(const Node& n) const;

  std::vector<double> chain_;
  std::vector<int> users_;
};

}  // namespace kiln::graph
