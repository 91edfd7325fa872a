#include "graph/elemental.h"

namespace kiln::graph {

bool windows_overlap(const Node& node) {
  const Ints& window = node.attributes.ints("window");
  const Ints& strides = node.attributes.ints("strides");
  for (std::size_t i = 0; i < window.size(); i++)
    if (window[i] > strides[i]) return true;
  return false;
}

bool windows_tile(const Node& node, const Shape& x, const Shape& y) {
  const Ints &window = node.attributes.ints("window"), &low = node.attributes.ints("low");
  if (window != node.attributes.ints("strides")) return false;
  for (std::size_t i = 0; i < window.size(); i++)
    if (low[i] != 0 || y[i] * window[i] > x[i]) return false;
  return true;
}

bool is_apart_gradient(const Node& node) {
  if (node.op != Op::window_max_grad) return false;
  const Shape &x = node.type().shape, &y = node.operand(1).shape();
  const Ints& window = node.attributes.ints("window");
  for (std::size_t i = 0; i < window.size(); i++)
    if (y[i] * window[i] != x[i]) return false;
  return windows_tile(node, x, y);
}

bool is_immediate(const Node& node) {
  return node.op == Op::constant && node.type().shape.elements() == 1;
}

bool is_elemental(const Node& node) {
  switch (node.op) {
    case Op::constant:
      return is_immediate(node);
    case Op::iota:
    case Op::gather:
    case Op::take_along:
    case Op::dynamic_slice:
    case Op::dynamic_update_slice:
    case Op::random_bits:
      return true;
    default:
      break;
  }
  const OpClass c = definition(node.op).op_class;
  return c == OpClass::elementwise || c == OpClass::movement;
}

bool is_reduction(Op op) {
  return op == Op::reduce_sum || op == Op::reduce_max || op == Op::reduce_min || op == Op::reduce_prod;
}

bool reads_array(const Node& node, int i) {
  switch (node.op) {
    case Op::gather:
    case Op::take_along:
    case Op::random_bits:
      return i == 0;
    case Op::dynamic_slice:
      return true;
    case Op::dynamic_update_slice:
      return i == 2;
    // Windows that share elements would have a fused producer computed several times.
    case Op::window_sum:
    case Op::window_max:
    case Op::window_argmax:
      return windows_overlap(node);
    case Op::conv_kernel_sums:
      return i == 0 || !is_apart_gradient(*node.operand(1).node);
    case Op::argmax:
    case Op::check:
      return false;
    default:
      return !is_elemental(node) && !is_reduction(node.op);
  }
}

bool is_expensive(const Node& node) {
  switch (node.op) {
    case Op::exp:
    case Op::expm1:
    case Op::log:
    case Op::log1p:
    case Op::sqrt:
    case Op::rsqrt:
    case Op::tanh:
    case Op::sigmoid:
    case Op::erf:
    case Op::sin:
    case Op::cos:
    case Op::div:
    case Op::rem:
    case Op::pow:
    case Op::gather:
    case Op::take_along:
    case Op::random_bits:
      return true;
    default:
      return false;
  }
}

}  // namespace kiln::graph
