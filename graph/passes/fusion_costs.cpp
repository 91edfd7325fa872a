#include "graph/passes/fusion_costs.h"

#include "graph/elemental.h"

namespace kiln::graph {
namespace {

constexpr double expensive = 16;
constexpr std::int64_t few = 4096;  // elements of a predicate that takes less time than waiting for it
constexpr double little = 2;        // an op or two: cheaper than a kernel of its own and its array
constexpr double about_once = 1.5;  // evaluations an element

bool is_heavy(const Node& n) {
  return !is_elemental(n) && definition(n.op).op_class != OpClass::leaf;
}
// Counting, and numbers or rows that are repeated: hardly anything comes from memory.
bool reads_little(const Node& n) {
  return is_immediate(n) || n.op == Op::iota ||
         (n.op == Op::broadcast && n.operand(0).shape().elements() < n.type().shape.elements());
}
bool is_array(const Node& n) {
  return is_heavy(n) || n.op == Op::input || n.op == Op::state || (n.op == Op::constant && !is_immediate(n));
}

}  // namespace

FusionCosts::FusionCosts(const Graph& graph)
    : chain_(graph.nodes().size(), 0), users_(graph.nodes().size(), 0) {
  for (const Node& n : graph.nodes())
    for (Value v : n.operands) users_[static_cast<std::size_t>(v.node->id)]++;
  for (const Node& n : graph.nodes()) {
    if (!is_elemental(n)) continue;
    double cost = is_expensive(n) ? expensive : definition(n.op).op_class == OpClass::elementwise ? 1 : 0;
    for (int i = 0; i < static_cast<int>(n.operands.size()); i++) {
      const Node& operand = *n.operand(i).node;
      if (!reads_array(n, i) && users_[static_cast<std::size_t>(operand.id)] == 1) cost += chain(operand);
    }
    chain_[static_cast<std::size_t>(n.id)] = cost;
  }
}

bool FusionCosts::may_repeat(const Node& n) const {
  switch (n.op) {
    case Op::constant:
      return is_immediate(n);
    case Op::iota:
      return true;
    case Op::broadcast:
    case Op::transpose:
    case Op::reverse:
      return true;
    case Op::reshape:
      return may_repeat(*n.operand(0).node);
    // A slice of what is an array anyway. Of something computed, the slice is the smaller array.
    case Op::slice:
      return is_array(*n.operand(0).node) || may_repeat(*n.operand(0).node);
    default:
      break;
  }
  if (definition(n.op).op_class != OpClass::elementwise) return false;
  if (n.type().dtype == DType::bool_ && n.type().shape.elements() <= few) return true;
  if (chain(n) > little) return false;
  if (n.type().shape.elements() == 1) return true;
  const Node* array = nullptr;
  for (Value v : n.operands) {
    if (reads_little(*v.node)) continue;
    if (array && array != v.node) return false;
    array = v.node;
  }
  // Not a product: in one kernel it may be rounded, in another be part of a fused multiply-add, and the
  // values would differ. exp(p - max(p)) could then be larger than 1 by any factor.
  return !array || (n.op != Op::mul && is_there_anyway(*array));
}

// An array, and read by more than one node: no fusion would make it go away.
bool FusionCosts::is_there_anyway(const Node& n) const {
  return is_array(n) && (!is_heavy(n) || users_[static_cast<std::size_t>(n.id)] > 1);
}

bool FusionCosts::may_evaluate(const Node& n, double evaluations) const {
  const auto elements = static_cast<double>(n.type().shape.elements());
  return evaluations <= about_once * elements || chain(n) <= little;
}

}  // namespace kiln::graph
