#pragma once
#include "codegen/lowering.h"

/// Reductions of every kind in one place: sums and maxima over axes, positions of maxima, windows, products
/// with a single column. What differs is the state that is carried along and how an element changes it.
namespace kiln::codegen {

struct Reduction {
  /// Extents of the result's axes, and of the loops that are reduced, outermost first.
  std::vector<std::int64_t> kept, reduced;
  /// Vectors run along the innermost reduced loop, and are folded at the end; else along the innermost kept
  /// axis, where lanes don't meet.
  bool vector_reduced = false;
  /// Types of the state's parts.
  std::vector<DType> state;
  /// The state before the first step; `first` numbers the first step that this lane makes.
  std::function<Expr(std::size_t part, const Index& first)> initial;
  /// The state after the step at `reduced`, from the one before.
  std::function<std::vector<Expr>(Lowering&, const std::vector<Expr>& state, const Indices& kept,
                                  const Indices& reduced)>
      step;
  /// The state of two chains together. Without it there is one chain, in order.
  std::function<std::vector<Expr>(Lowering&, const std::vector<Expr>& a, const std::vector<Expr>& b)> join;
  /// From lanes registers to one value each (vector_reduced).
  std::function<std::vector<Expr>(Lowering&, const std::vector<Reg>& lanes)> fold;
  /// Long sums are made of partial sums.
  bool partial_sums = false;
  /// Binds the results to the final state; the outputs are then stored.
  std::function<void(Lowering&, const std::vector<Expr>& state)> bind;
};

/// Reductions over the same axes of operands of the same shape, in the same loops.
Reduction reduction_of(const std::vector<const Node*>& nodes, const Lowering& lowering);

/// A kernel that is nothing but the reduction.
void lower_reduction(Lowering& lowering, Reduction reduction);

/// A part of a kernel's tile: the result at `kept`, by vectors along the reduced axes, is bound. No output is
/// stored.
void reduce_row(Lowering& lowering, Reduction reduction, const Indices& kept);

}  // namespace kiln::codegen
