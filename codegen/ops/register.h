#pragma once
#include <array>

#include "codegen/lowering.h"

/// Each file of codegen/ops/ lowers the ops of the file of the same name in graph/ops/; lower.cpp calls them
/// all.
namespace kiln::codegen {

using LoweringTable = std::array<OpLowering, graph::op_count>;
inline OpLowering& entry(LoweringTable& table, Op op) {
  return table[static_cast<std::size_t>(op)];
}

void register_leaf_lowering(LoweringTable& table);
void register_unary_lowering(LoweringTable& table);
void register_binary_lowering(LoweringTable& table);
void register_select_lowering(LoweringTable& table);
void register_movement_lowering(LoweringTable& table);
void register_reduce_lowering(LoweringTable& table);
void register_dot_lowering(LoweringTable& table);
void register_conv_lowering(LoweringTable& table);
void register_winograd_lowering(LoweringTable& table);
void register_window_lowering(LoweringTable& table);
void register_gather_lowering(LoweringTable& table);
void register_order_lowering(LoweringTable& table);
void register_random_lowering(LoweringTable& table);
void register_check_lowering(LoweringTable& table);

}  // namespace kiln::codegen
