#pragma once
#include <utility>

#include "graph/ops/support.h"

namespace kiln::graph {

/// The axes of a `dot` node: batch and contracted ones as its attributes pair them, and the free ones.
struct DotAxes {
  Ints lhs_batch, rhs_batch, lhs_contract, rhs_contract;
  Ints lhs_free, rhs_free;  ///< neither of the two, ascending

  DotAxes(const Attributes& a, int lhs_rank, int rhs_rank)
      : lhs_batch(a.ints("lhs_batch")),
        rhs_batch(a.ints("rhs_batch")),
        lhs_contract(a.ints("lhs_contract")),
        rhs_contract(a.ints("rhs_contract")),
        lhs_free(other_axes(joined(lhs_batch, lhs_contract), lhs_rank)),
        rhs_free(other_axes(joined(rhs_batch, rhs_contract), rhs_rank)) {}
  /// The same product with its operands exchanged.
  DotAxes exchanged() const {
    DotAxes other = *this;
    std::swap(other.lhs_batch, other.rhs_batch);
    std::swap(other.lhs_contract, other.rhs_contract);
    std::swap(other.lhs_free, other.rhs_free);
    return other;
  }
  explicit DotAxes(const Node& dot) : DotAxes(dot.attributes, dot.operand(0).rank(), dot.operand(1).rank()) {}
};

}  // namespace kiln::graph
