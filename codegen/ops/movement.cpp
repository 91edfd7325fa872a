// Data movement: no loops of its own, an element is an operand's element at another index.
#include "codegen/ops/register.h"

namespace kiln::codegen {
namespace {

Expr broadcast_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  const Ints& dims = node.attributes.ints("dims");
  const Shape& shape = node.operand(0).shape();
  Indices source;
  for (std::size_t i = 0; i < dims.size(); i++)
    source.push_back(shape[i] == 1 ? Index(0) : index[static_cast<std::size_t>(dims[i])]);
  return l.operand(node, 0, source, predicate);
}

/// Both shapes fall into pieces of equal size; an axis that is a piece on both sides keeps its index, and
/// only the others are numbered through and divided up again.
Expr reshape_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  const std::vector<std::int64_t>& to = node.type().shape.sizes();
  const std::vector<std::int64_t>& from = node.operand(0).shape().sizes();
  if (product(to) == 0) return l.operand(node, 0, Indices(from.size(), Index(0)), predicate);
  Indices source;
  std::size_t i = 0, j = 0;
  while (i < to.size() || j < from.size()) {
    const std::size_t first_to = i, first_from = j;
    std::int64_t size_to = 1, size_from = 1;
    do {
      if (i < to.size() && (size_to <= size_from || j == from.size())) {
        size_to *= to[i++];
      } else {
        size_from *= from[j++];
      }
    } while (size_to != size_from);
    const std::span<const std::int64_t> piece_to(to.data() + first_to, i - first_to);
    const std::span<const std::int64_t> piece_from(from.data() + first_from, j - first_from);
    const Indices at(index.begin() + static_cast<std::ptrdiff_t>(first_to),
                     index.begin() + static_cast<std::ptrdiff_t>(i));
    for (const Index& k : unflatten(row_major(at, piece_to), piece_from)) source.push_back(l.let_if_deep(k));
  }
  return l.operand(node, 0, source, predicate);
}

Expr transpose_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  const Ints& permutation = node.attributes.ints("permutation");
  Indices source(index.size(), Index(0));
  for (std::size_t i = 0; i < permutation.size(); i++)
    source[static_cast<std::size_t>(permutation[i])] = index[i];
  return l.operand(node, 0, source, predicate);
}

Expr slice_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  const Ints& start = node.attributes.ints("start");
  const Ints& stride = node.attributes.ints("stride");
  Indices source;
  for (std::size_t i = 0; i < index.size(); i++) source.push_back(index[i] * stride[i] + start[i]);
  return l.operand(node, 0, source, predicate);
}

Expr reverse_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  Indices source = index;
  for (std::int64_t axis : node.attributes.ints("axes")) {
    const auto i = static_cast<std::size_t>(axis);
    source[i] = Index(node.type().shape[i] - 1) - index[i];
  }
  return l.operand(node, 0, source, predicate);
}

Expr pad_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  const Ints& low = node.attributes.ints("low");
  const Ints& interior = node.attributes.ints("interior");
  const Shape& shape = node.operand(0).shape();
  Indices source;
  Expr inside;
  for (std::size_t i = 0; i < index.size(); i++) {
    // One element has no neighbour, however far off it would be.
    const std::int64_t step = shape[i] > 1 ? interior[i] + 1 : 1;
    const Index offset = index[i] - low[i];
    inside = both(std::move(inside), in_range(offset, 0, (shape[i] - 1) * step + 1));
    if (step > 1) inside = both(std::move(inside), less(mod(offset, step), Index(1)));
    source.push_back(floor_div(offset, step));
  }
  Expr element = l.operand(node, 0, source, both(predicate, inside));
  return select_expr(std::move(inside), std::move(element), l.operand(node, 1, {}));
}

Expr concatenate_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  const auto axis = static_cast<std::size_t>(node.attributes.integer("axis"));
  Expr result;
  std::int64_t end = node.type().shape[axis];
  for (std::size_t k = node.operands.size(); k-- > 0;) {
    const std::int64_t size = node.operands[k].shape()[axis];
    if (size == 0) continue;
    const std::int64_t start = end - size;
    Indices source = index;
    source[axis] = index[axis] - start;
    Expr inside = in_range(source[axis], 0, size);
    Expr part = l.operand(node, static_cast<int>(k), source, both(predicate, std::move(inside)));
    result = result ? select_expr(less(index[axis], Index(end)), std::move(part), std::move(result)) : part;
    end = start;
  }
  return result;
}

}  // namespace

void register_movement_lowering(LoweringTable& table) {
  entry(table, Op::broadcast).element = broadcast_element;
  entry(table, Op::reshape).element = reshape_element;
  entry(table, Op::transpose).element = transpose_element;
  entry(table, Op::slice).element = slice_element;
  entry(table, Op::pad).element = pad_element;
  entry(table, Op::concatenate).element = concatenate_element;
  entry(table, Op::reverse).element = reverse_element;
}

}  // namespace kiln::codegen
