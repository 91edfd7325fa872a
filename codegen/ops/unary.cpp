// Elementwise ops of one operand: the loop form has them as they are.
#include "codegen/ops/register.h"

namespace kiln::codegen {
namespace {

Expr unary_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  return apply(node.op, {l.operand(node, 0, index, predicate)});
}

Expr convert_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  return convert_expr(l.operand(node, 0, index, predicate), node.type().dtype);
}

}  // namespace

void register_unary_lowering(LoweringTable& table) {
  using enum Op;
  for (Op op : {neg, abs, sign, exp, expm1, log, log1p, sqrt, rsqrt, tanh, sigmoid, erf, sin, cos, floor,
                ceil, round, is_finite, logical_not})
    entry(table, op).element = unary_element;
  entry(table, convert).element = convert_element;
}

}  // namespace kiln::codegen
