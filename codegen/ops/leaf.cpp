// iota. Inputs, states and constants are arrays, which a group loads; constants of one element are part of
// the code (Lowering::at).
#include "codegen/ops/register.h"

namespace kiln::codegen {
namespace {

Expr iota_element(Lowering&, const Node& node, const Indices& index, const Expr&) {
  const Index& i = index[static_cast<std::size_t>(node.attributes.integer("axis"))];
  return convert_expr(index_expr(i), node.type().dtype);
}

}  // namespace

void register_leaf_lowering(LoweringTable& table) {
  entry(table, Op::iota).element = iota_element;
}

}  // namespace kiln::codegen
