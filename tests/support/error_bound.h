#pragma once
#include <vector>

#include "graph/op_def.h"
#include "kiln/graph/graph.h"

namespace kiln::graph {

/// Evaluates a graph in f64 and follows, element by element, how far an evaluation in the graph's own types
/// may be off: by rounding of each operation, sums in any order, fused or reassociated products, and
/// functions that are accurate to a few ulp (running error analysis: Higham, "Accuracy and Stability of
/// Numerical Algorithms", section 3.3).
///
/// A bound of infinity means "can't be known": the operand of a comparison, floor or sort is so near its jump
/// that rounding decides. A bound of 0 means "exactly this" (integers, moved data, NaN and infinity that must
/// come). Grows with its graph: `extend` evaluates what was appended, so that a generator may look at values.
class ErrorBound {
 public:
  explicit ErrorBound(const Graph& graph) : graph_(graph) {}

  /// The value of an input or state, exact. Before the `extend` that reaches it.
  void set(Value leaf, const Tensor& value);
  /// Evaluates the nodes that came since the last call.
  void extend();

  /// f64 where the graph has f32 or f64, else the graph's type.
  const Tensor& value(Value v) const { return at(values_, v); }
  /// f64, of the value's shape.
  const Tensor& error(Value v) const { return at(errors_, v); }

 private:
  using Table = std::vector<std::vector<Tensor>>;  // by node id and result
  static const Tensor& at(const Table& table, Value v) {
    return table[static_cast<std::size_t>(v.node->id)][static_cast<std::size_t>(v.result)];
  }

  const Graph& graph_;
  Table values_, errors_;
};

/// What a rule for errors sees and fills in.
struct ErrorContext {
  const Node& node;                 ///< with f64 for f32
  DType type;                       ///< of result 0, as the graph has it: its rounding counts
  std::span<const Tensor> values;   ///< of the operands
  std::span<const Tensor> errors;   ///< of the operands
  std::span<const Tensor> results;  ///< values
  std::span<Tensor> bounds;         ///< to fill in; zero before
};

/// Bounds of an elementwise op (error_bound_elementwise.cpp).
void bound_elementwise(const ErrorContext& c);

/// Half the distance from 1 to the next number: the largest relative error of one rounding; of f64 twice
/// that, as the evaluation that we compare with rounds, too. 0 for integers.
double unit_roundoff(DType t);
/// The smallest positive number: the largest error of rounding where relative accuracy ends.
double smallest_step(DType t);

}  // namespace kiln::graph
