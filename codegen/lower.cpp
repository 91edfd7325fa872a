#include "codegen/lower.h"

#include <fmt/format.h>

#include "codegen/lowering.h"
#include "codegen/ops/register.h"

namespace kiln::codegen {

const OpLowering& lowering_of(Op op) {
  static const LoweringTable table = [] {
    LoweringTable t;
    register_leaf_lowering(t);
    register_unary_lowering(t);
    register_binary_lowering(t);
    register_select_lowering(t);
    register_movement_lowering(t);
    register_reduce_lowering(t);
    register_dot_lowering(t);
    register_conv_lowering(t);
    register_winograd_lowering(t);
    register_window_lowering(t);
    register_gather_lowering(t);
    register_order_lowering(t);
    register_random_lowering(t);
    register_check_lowering(t);
    return t;
  }();
  return table[static_cast<std::size_t>(op)];
}

LoweredGroup lower(const graph::ScheduledGroup& scheduled, const Target& target, int check_index, int way) {
  Lowering lowering(scheduled, target, check_index, way);
  const Node* root = scheduled.group.root;
  if (scheduled.group.rows) {
    lower_rows(lowering);
  } else if (!root) {
    lower_map(lowering);
  } else if (const auto rule = lowering_of(root->op).root) {
    rule(lowering);
  } else {
    throw InternalError(fmt::format("{}: {} has no kernel", scheduled.group.name, print(*root)));
  }
  return std::move(lowering).finish();
}

}  // namespace kiln::codegen
