// Comparison and choice.
#include "codegen/ops/register.h"

namespace kiln::codegen {
namespace {

Expr compare_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  Expr a = l.operand(node, 0, index, predicate);
  return compare_expr(node.attributes.string("direction"), std::move(a),
                      l.operand(node, 1, index, predicate));
}

Expr select_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  Expr choice = l.operand(node, 0, index, predicate);
  Expr a = l.operand(node, 1, index, predicate);
  return select_expr(std::move(choice), std::move(a), l.operand(node, 2, index, predicate));
}

}  // namespace

void register_select_lowering(LoweringTable& table) {
  entry(table, Op::compare).element = compare_element;
  entry(table, Op::select).element = select_element;
}

}  // namespace kiln::codegen
