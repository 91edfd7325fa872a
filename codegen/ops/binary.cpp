// Elementwise ops of two operands of one shape: the loop form has them as they are.
#include "codegen/ops/register.h"

namespace kiln::codegen {
namespace {

Expr binary_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  Expr a = l.operand(node, 0, index, predicate);
  return apply(node.op, {std::move(a), l.operand(node, 1, index, predicate)});
}

}  // namespace

void register_binary_lowering(LoweringTable& table) {
  using enum Op;
  for (Op op :
       {add, sub, mul, div, rem, pow, maximum, minimum, bit_and, bit_or, bit_xor, shift_left, shift_right})
    entry(table, op).element = binary_element;
}

}  // namespace kiln::codegen
