#pragma once
#include "graph/op_def.h"

/// Each file of graph/ops/ defines its ops here; registry.cpp calls them all, once.
namespace kiln::graph {

void register_leaf_ops(Registry& registry);
void register_unary_ops(Registry& registry);
void register_binary_ops(Registry& registry);
void register_select_ops(Registry& registry);
void register_movement_ops(Registry& registry);
void register_reduce_ops(Registry& registry);
void register_dot_ops(Registry& registry);
void register_conv_ops(Registry& registry);
void register_conv_form_ops(Registry& registry);
void register_winograd_ops(Registry& registry);
void register_window_ops(Registry& registry);
void register_gather_ops(Registry& registry);
void register_order_ops(Registry& registry);
void register_random_ops(Registry& registry);
void register_check_ops(Registry& registry);

}  // namespace kiln::graph
