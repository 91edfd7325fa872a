#include <algorithm>
#include <cstring>

#include "graph/ops/loops.h"
#include "graph/ops/register.h"

// Reading at indices comes in two forms (whole rows, and one element for each index) and so does its
// transpose, adding at indices. Reads clamp an index into the range; the gradients repeat that exactly, also
// for indices outside it.

namespace kiln::graph {
namespace {

std::size_t axis_of(const InferContext& c) {
  const std::int64_t axis = c.attributes.integer("axis");
  require_axis(c, axis, c.shape(0).rank());
  return static_cast<std::size_t>(axis);
}

void check_indices(const InferContext& c, int operand) {
  const DType t = c.type(operand).dtype;
  if (t != DType::i32 && t != DType::i64)
    type_error(c, fmt::format("indices must be int32 or int64; got {} (use convert)", name(t)));
}

/// An index has to be clamped to something.
void check_not_empty(const InferContext& c, std::int64_t size, const Shape& indices) {
  if (size == 0 && indices.elements() > 0)
    shape_error(c, fmt::format("the axis is empty (size 0), but there are {} indices", indices.elements()));
}

/// shape with `axis` replaced by all of `indices`.
Shape gathered(const Shape& shape, const Shape& indices, std::size_t axis) {
  Shape result;
  for (std::size_t i = 0; i < shape.sizes().size(); i++) {
    if (i != axis)
      result.push_back(shape[i]);
    else
      for (std::int64_t n : indices) result.push_back(n);
  }
  return result;
}

std::vector<Type> infer_gather(const InferContext& c) {
  check_indices(c, 1);
  const std::size_t axis = axis_of(c);
  check_not_empty(c, c.shape(0)[axis], c.shape(1));
  return {{c.type(0).dtype, gathered(c.shape(0), c.shape(1), axis)}};
}

std::vector<Type> infer_scatter_add(const InferContext& c) {
  require_type<Numbers>(c, 0);
  check_indices(c, 1);
  require_same_dtype(c, 0, 2);
  const Shape expected = gathered(c.shape(0), c.shape(1), axis_of(c));
  if (c.shape(2) != expected)
    shape_error(c,
                fmt::format("base {} and indices {} need updates of shape {}; got {}", c.shape(0).to_string(),
                            c.shape(1).to_string(), expected.to_string(), c.shape(2).to_string()));
  return {c.type(0)};
}

void check_equal_off_axis(const InferContext& c, const char* what, std::size_t axis) {
  const Shape &x = c.shape(0), &indices = c.shape(1);
  bool equal = x.rank() == indices.rank();
  for (std::size_t i = 0; equal && i < x.sizes().size(); i++) equal = i == axis || x[i] == indices[i];
  if (!equal)
    shape_error(c, fmt::format("indices must have {}'s shape but for axis {}; got {} and {}", what, axis,
                               indices.to_string(), x.to_string()));
}

std::vector<Type> infer_take_along(const InferContext& c) {
  check_indices(c, 1);
  const std::size_t axis = axis_of(c);
  check_equal_off_axis(c, "x", axis);
  check_not_empty(c, c.shape(0)[axis], c.shape(1));
  return {{c.type(0).dtype, c.shape(1)}};
}

std::vector<Type> infer_put_along(const InferContext& c) {
  require_type<Numbers>(c, 0);
  check_indices(c, 1);
  const std::size_t axis = axis_of(c);
  if (c.shape(1) != c.shape(0))
    shape_error(c, fmt::format("updates and indices must have one shape; got {} and {}",
                               c.shape(0).to_string(), c.shape(1).to_string()));
  const std::int64_t size = c.attributes.integer("size");
  if (size < 0) shape_error(c, fmt::format("size must be at least 0; got {}", size));
  check_not_empty(c, size, c.shape(1));
  Shape shape = c.shape(0);
  shape[axis] = size;
  return {{c.type(0).dtype, shape}};
}

void check_starts(const InferContext& c, int operand) {
  check_indices(c, operand);
  if (c.shape(operand) != Shape{c.shape(0).rank()})
    shape_error(c, fmt::format("starts must have one entry for each axis of x {}: shape ({},); got {}",
                               c.shape(0).to_string(), c.shape(0).rank(), c.shape(operand).to_string()));
}

void check_fits(const InferContext& c, const Shape& part) {
  bool fits = part.rank() == c.shape(0).rank();
  for (std::size_t i = 0; fits && i < part.sizes().size(); i++)
    fits = part[i] >= 0 && part[i] <= c.shape(0)[i];
  if (!fits)
    shape_error(
        c, fmt::format("a part of shape {} doesn't fit into x {}", part.to_string(), c.shape(0).to_string()));
}

std::vector<Type> infer_dynamic_slice(const InferContext& c) {
  check_starts(c, 1);
  const Shape sizes(c.attributes.ints("sizes"));
  check_fits(c, sizes);
  return {{c.type(0).dtype, sizes}};
}

std::vector<Type> infer_dynamic_update_slice(const InferContext& c) {
  check_starts(c, 2);
  check_fits(c, c.shape(1));
  require_same_dtype(c, 0, 1);
  return {c.type(0)};
}

/// Can indices of the type reach the element at all? Else they need no limit, which the type couldn't hold.
bool fits(std::int64_t index, DType type) {
  return type == DType::i64 || index <= std::numeric_limits<std::int32_t>::max();
}

// scatter_add drops what gather clamps, so the indices are clamped first.
std::vector<Value> gradient_gather(const GradientContext& c) {
  const Value x = c.operand(0), indices = c.operand(1);
  const std::int64_t axis = c.node.attributes.integer("axis");
  const std::int64_t last = x.shape()[static_cast<std::size_t>(axis)] - 1;
  Value clamped = maximum(indices, scalar(indices, 0));
  if (fits(last, indices.dtype())) clamped = minimum(clamped, scalar(indices, static_cast<double>(last)));
  return {scatter_add(zeros_like(x), clamped, c.dy(), static_cast<int>(axis)), Value{}};
}

// Rows whose index is out of range were dropped: their updates have no influence.
std::vector<Value> gradient_scatter_add(const GradientContext& c) {
  const Value base = c.operand(0), indices = c.operand(1), updates = c.operand(2);
  const std::int64_t axis = c.node.attributes.integer("axis");
  const std::int64_t size = base.shape()[static_cast<std::size_t>(axis)];
  if (size == 0) return {c.dy(), Value{}, zeros_like(updates)};
  const Value rows = gather(c.dy(), indices, static_cast<int>(axis));
  Value inside = compare(indices, scalar(indices, 0), "ge");
  if (fits(size - 1, indices.dtype()))
    inside = bit_and(inside, compare(indices, scalar(indices, static_cast<double>(size - 1)), "le"));
  Ints dims;
  for (int i = 0; i < indices.rank(); i++) dims.push_back(axis + i);
  return {c.dy(), Value{}, select(broadcast(inside, rows.shape(), dims), rows, zeros_like(rows))};
}

std::vector<Value> gradient_take_along(const GradientContext& c) {
  const std::int64_t axis = c.node.attributes.integer("axis");
  const std::int64_t size = c.operand(0).shape()[static_cast<std::size_t>(axis)];
  return {put_along(c.dy(), c.operand(1), static_cast<int>(axis), size), Value{}};
}

std::vector<Value> gradient_put_along(const GradientContext& c) {
  // An empty axis can only come with no indices at all.
  if (c.operand(1).shape().elements() == 0) return {zeros_like(c.operand(0)), Value{}};
  return {take_along(c.dy(), c.operand(1), static_cast<int>(c.node.attributes.integer("axis"))), Value{}};
}

std::vector<Value> gradient_dynamic_slice(const GradientContext& c) {
  return {dynamic_update_slice(zeros_like(c.operand(0)), c.dy(), c.operand(1)), Value{}};
}

std::vector<Value> gradient_dynamic_update_slice(const GradientContext& c) {
  const Value update = c.operand(1), starts = c.operand(2);
  return {dynamic_update_slice(c.dy(), zeros_like(update), starts),
          dynamic_slice(c.dy(), starts, update.shape().sizes()), Value{}};
}

void evaluate_gather(const EvalContext& c) {
  const AxisView x(c.operands[0].shape(), c.node.attributes.integer("axis"));
  const Ints indices = c.operands[1].to_vector<std::int64_t>();
  const std::size_t row = static_cast<std::size_t>(x.inners) * size_of(c.operands[0].dtype());
  const auto* from = static_cast<const std::byte*>(c.operands[0].raw());
  auto* to = static_cast<std::byte*>(c.results[0].raw());
  if (row == 0) return;
  for (std::int64_t outer = 0; outer < x.outers; outer++)
    for (std::int64_t i : indices) {
      const std::int64_t clamped = std::clamp<std::int64_t>(i, 0, x.size - 1);
      std::memcpy(to, from + static_cast<std::size_t>(outer * x.size + clamped) * row, row);
      to += row;
    }
}

// Each element adds its updates to the base in index order (row-major for indices of several axes).
void evaluate_scatter_add(const EvalContext& c) {
  const AxisView base(c.operands[0].shape(), c.node.attributes.integer("axis"));
  const Ints indices = c.operands[1].to_vector<std::int64_t>();
  visit_types<Numbers>(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = c.operands[0].data<T>();
    const T* update = c.operands[2].data<T>();
    T* to = c.results[0].data<T>();
    std::copy(from, from + c.operands[0].size(), to);
    for (std::int64_t outer = 0; outer < base.outers; outer++)
      for (std::int64_t i : indices)
        for (std::int64_t inner = 0; inner < base.inners; inner++, update++)
          if (i >= 0 && i < base.size) {
            T& sum = to[base.at(outer, i, inner)];
            sum = wrapping_add(sum, *update);
          }
  });
}

void evaluate_take_along(const EvalContext& c) {
  const std::int64_t axis = c.node.attributes.integer("axis");
  const AxisView x(c.operands[0].shape(), axis), y(c.operands[1].shape(), axis);
  const Ints indices = c.operands[1].to_vector<std::int64_t>();
  visit(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = c.operands[0].data<T>();
    T* to = c.results[0].data<T>();
    for (std::int64_t outer = 0; outer < y.outers; outer++)
      for (std::int64_t i = 0; i < y.size; i++)
        for (std::int64_t inner = 0; inner < y.inners; inner++) {
          const std::int64_t at = y.at(outer, i, inner);
          const std::int64_t index = indices[static_cast<std::size_t>(at)];
          to[at] = from[x.at(outer, std::clamp<std::int64_t>(index, 0, x.size - 1), inner)];
        }
  });
}

// Each element adds its updates in index order.
void evaluate_put_along(const EvalContext& c) {
  const std::int64_t axis = c.node.attributes.integer("axis");
  const AxisView updates(c.operands[0].shape(), axis), y(c.results[0].shape(), axis);
  const Ints indices = c.operands[1].to_vector<std::int64_t>();
  visit_types<Numbers>(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = c.operands[0].data<T>();
    T* to = c.results[0].data<T>();
    for (std::int64_t outer = 0; outer < updates.outers; outer++)
      for (std::int64_t i = 0; i < updates.size; i++)
        for (std::int64_t inner = 0; inner < updates.inners; inner++) {
          const std::int64_t at = updates.at(outer, i, inner);
          const std::int64_t index = indices[static_cast<std::size_t>(at)];
          T& sum = to[y.at(outer, std::clamp<std::int64_t>(index, 0, y.size - 1), inner)];
          sum = wrapping_add(sum, from[at]);
        }
  });
}

/// Calls f(element of the whole, element of the part) for a part of shape `part` at the clamped `starts`.
template <class F>
void for_each_in_part(const Shape& whole, const Shape& part, const Tensor& starts, F&& f) {
  Ints first = starts.to_vector<std::int64_t>();
  for (std::size_t i = 0; i < first.size(); i++)
    first[i] = std::clamp<std::int64_t>(first[i], 0, whole[i] - part[i]);
  const Ints strides = whole.strides();
  std::int64_t number = 0;
  for_each_index(part, [&](const Ints& index) {
    std::int64_t element = 0;
    for (std::size_t i = 0; i < index.size(); i++) element += (first[i] + index[i]) * strides[i];
    f(element, number++);
  });
}

void evaluate_dynamic_slice(const EvalContext& c) {
  visit(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* x = c.operands[0].data<T>();
    T* y = c.results[0].data<T>();
    for_each_in_part(c.operands[0].shape(), c.results[0].shape(), c.operands[1],
                     [=](std::int64_t whole, std::int64_t part) { y[part] = x[whole]; });
  });
}

void evaluate_dynamic_update_slice(const EvalContext& c) {
  visit(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *x = c.operands[0].data<T>(), *update = c.operands[1].data<T>();
    T* y = c.results[0].data<T>();
    std::copy(x, x + c.operands[0].size(), y);
    for_each_in_part(c.operands[0].shape(), c.operands[1].shape(), c.operands[2],
                     [=](std::int64_t whole, std::int64_t part) { y[whole] = update[part]; });
  });
}

}  // namespace

Value gather(Value x, Value indices, int axis) {
  return emit(Op::gather, {x, indices}, {{"axis", axis_from_end(axis, x.rank())}});
}

Value scatter_add(Value base, Value indices, Value updates, int axis) {
  return emit(Op::scatter_add, {base, indices, updates}, {{"axis", axis_from_end(axis, base.rank())}});
}

Value take_along(Value x, Value indices, int axis) {
  return emit(Op::take_along, {x, indices}, {{"axis", axis_from_end(axis, x.rank())}});
}

Value put_along(Value updates, Value indices, int axis, std::int64_t size) {
  return emit(Op::put_along, {updates, indices},
              {{"axis", axis_from_end(axis, updates.rank())}, {"size", size}});
}

Value dynamic_slice(Value x, Value starts, Ints sizes) {
  return emit(Op::dynamic_slice, {x, starts}, {{"sizes", std::move(sizes)}});
}

Value dynamic_update_slice(Value x, Value update, Value starts) {
  return emit(Op::dynamic_update_slice, {x, update, starts});
}

void register_gather_ops(Registry& registry) {
  registry.add({.op = Op::gather,
                .op_class = OpClass::movement,
                .operands = 2,
                .attributes = {{"axis", AttrKind::integer}},
                .infer = infer_gather,
                .gradient = gradient_gather,
                .evaluate = evaluate_gather});
  registry.add({.op = Op::scatter_add,
                .op_class = OpClass::heavy,
                .operands = 3,
                .attributes = {{"axis", AttrKind::integer}},
                .infer = infer_scatter_add,
                .gradient = gradient_scatter_add,
                .evaluate = evaluate_scatter_add});
  registry.add({.op = Op::take_along,
                .op_class = OpClass::movement,
                .operands = 2,
                .attributes = {{"axis", AttrKind::integer}},
                .infer = infer_take_along,
                .gradient = gradient_take_along,
                .evaluate = evaluate_take_along});
  registry.add({.op = Op::put_along,
                .op_class = OpClass::heavy,
                .operands = 2,
                .attributes = {{"axis", AttrKind::integer}, {"size", AttrKind::integer}},
                .infer = infer_put_along,
                .gradient = gradient_put_along,
                .evaluate = evaluate_put_along});
  registry.add({.op = Op::dynamic_slice,
                .op_class = OpClass::movement,
                .operands = 2,
                .attributes = {{"sizes", AttrKind::ints}},
                .infer = infer_dynamic_slice,
                .gradient = gradient_dynamic_slice,
                .evaluate = evaluate_dynamic_slice});
  registry.add({.op = Op::dynamic_update_slice,
                .op_class = OpClass::movement,
                .operands = 3,
                .attributes = {},
                .infer = infer_dynamic_update_slice,
                .gradient = gradient_dynamic_update_slice,
                .evaluate = evaluate_dynamic_update_slice});
}

}  // namespace kiln::graph
