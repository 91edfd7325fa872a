#pragma once
#include <string>

#include "kiln/graph/ops.h"

namespace kiln::internal {

/// The parts of an equation such as "abc,cd->abd"; "..." stands for the axes that the others leave.
struct EinsumEquation {
  /// Throws ValueError for an equation that isn't of this form. `user` stands in messages.
  EinsumEquation(const std::string& user, const std::string& equation);

  std::string lhs, rhs, result;
};

/// Sums of products over the letters that the result lacks: numpy's einsum of two operands. A letter may not
/// stand twice in one operand. Throws ShapeError if sizes don't match the letters; `user` stands in messages.
graph::Value einsum(const std::string& user, const std::string& equation, graph::Value lhs, graph::Value rhs);

}  // namespace kiln::internal
