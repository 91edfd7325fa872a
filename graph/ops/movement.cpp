// Data movement: broadcast {dims, shape}, reshape {shape}, transpose {permutation}, slice {start, limit,
// stride}, pad {low, high, interior}, concatenate {axis}, reverse {axes}.
//
// Evaluation needs one loop: each of these ops walks one side in row-major order and the other by strides.
#include <numeric>

#include "graph/ops/register.h"
#include "graph/ops/support.h"

namespace kiln::graph {
namespace {

/// y[i] = x[start + index . strides]: y is walked in order.
void copy_from(const Tensor& x, Tensor& y, const Ints& strides, std::int64_t start) {
  kiln::visit(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* in = x.data<T>();
    T* out = y.data<T>();
    for_each_element(y.shape(), strides, start,
                     [&](std::int64_t i, std::int64_t offset) { out[i] = in[offset]; });
  });
}
/// y[start + index . strides] = x[i]: x is walked in order.
void copy_to(const Tensor& x, Tensor& y, const Ints& strides, std::int64_t start) {
  kiln::visit(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* in = x.data<T>();
    T* out = y.data<T>();
    for_each_element(x.shape(), strides, start,
                     [&](std::int64_t i, std::int64_t offset) { out[offset] = in[i]; });
  });
}

// ---- broadcast --------------------------------------------------------------------------------------------

std::vector<Type> infer_broadcast(const InferContext& c) {
  const Shape result(c.attributes.ints("shape"));
  const Ints& dims = require_per_axis(c, "dims", c.shape(0).rank());
  require_axes(c, dims, result.rank());
  for (std::size_t i = 0; i < dims.size(); i++)
    if (c.shape(0)[i] != 1 && c.shape(0)[i] != result[at(dims[i])])
      shape_error(
          c, fmt::format("{} does not broadcast to {} with dims [{}]: {} against {}", c.shape(0).to_string(),
                         result.to_string(), fmt::join(dims, ", "), c.shape(0)[i], result[at(dims[i])]));
  return {{c.type(0).dtype, result}};
}

std::vector<Value> broadcast_gradient(const GradientContext& c) {
  const Shape& from = c.operand(0).shape();
  const Shape& to = c.dy().shape();
  Ints kept;
  const Ints& dims = c.node.attributes.ints("dims");
  for (std::size_t i = 0; i < dims.size(); i++)
    if (from[i] == to[at(dims[i])]) kept.push_back(dims[i]);
  const Ints summed = other_axes(kept, to.rank());
  return {reshape(summed.empty() ? c.dy() : reduce_sum(c.dy(), summed), from)};
}

void evaluate_broadcast(const EvalContext& c) {
  const Tensor& x = c.operands[0];
  const Ints& dims = c.node.attributes.ints("dims");
  Ints strides(at(c.results[0].rank()), 0);
  for (std::size_t i = 0; i < dims.size(); i++)
    if (x.shape()[i] != 1) strides[at(dims[i])] = x.strides()[i];
  copy_from(x, c.results[0], strides, 0);
}

// ---- reshape ----------------------------------------------------------------------------------------------

std::vector<Type> infer_reshape(const InferContext& c) {
  const Shape result(c.attributes.ints("shape"));
  if (!result.is_static() || result.elements() != c.shape(0).elements())
    shape_error(c, fmt::format("{} with {} elements can't become {}", c.shape(0).to_string(),
                               c.shape(0).elements(), result.to_string()));
  return {{c.type(0).dtype, result}};
}

std::vector<Value> reshape_gradient(const GradientContext& c) {
  return {reshape(c.dy(), c.operand(0).shape())};
}

void evaluate_reshape(const EvalContext& c) {
  c.results[0] = c.operands[0].reshape(c.results[0].shape());
}

// ---- transpose --------------------------------------------------------------------------------------------

std::vector<Type> infer_transpose(const InferContext& c) {
  const Ints& permutation = require_per_axis(c, "permutation", c.shape(0).rank());
  Ints sorted = permutation;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < sorted.size(); i++)
    if (sorted[i] != static_cast<std::int64_t>(i))
      shape_error(c, fmt::format("[{}] is not a permutation of the {} axes", fmt::join(permutation, ", "),
                                 permutation.size()));
  Shape result;
  for (std::int64_t axis : permutation) result.push_back(c.shape(0)[at(axis)]);
  return {{c.type(0).dtype, result}};
}

std::vector<Value> transpose_gradient(const GradientContext& c) {
  const Ints& permutation = c.node.attributes.ints("permutation");
  Ints inverse(permutation.size());
  for (std::size_t i = 0; i < permutation.size(); i++)
    inverse[at(permutation[i])] = static_cast<std::int64_t>(i);
  return {transpose(c.dy(), inverse)};
}

void evaluate_transpose(const EvalContext& c) {
  Ints strides;
  for (std::int64_t axis : c.node.attributes.ints("permutation"))
    strides.push_back(c.operands[0].strides()[at(axis)]);
  copy_from(c.operands[0], c.results[0], strides, 0);
}

// ---- slice ------------------------------------------------------------------------------------------------

std::vector<Type> infer_slice(const InferContext& c) {
  const Shape& x = c.shape(0);
  const Ints& start = require_per_axis(c, "start", x.rank());
  const Ints& limit = require_per_axis(c, "limit", x.rank());
  const Ints& stride = require_per_axis(c, "stride", x.rank());
  Shape result;
  for (std::size_t i = 0; i < start.size(); i++) {
    if (start[i] < 0 || start[i] > limit[i] || limit[i] > x[i] || stride[i] < 1)
      shape_error(c, fmt::format("[{}, {}) by {} on axis {} is not a slice of {}", start[i], limit[i],
                                 stride[i], i, x.to_string()));
    result.push_back(limit[i] == start[i] ? 0 : (limit[i] - start[i] - 1) / stride[i] + 1);
  }
  return {{c.type(0).dtype, result}};
}

std::vector<Value> slice_gradient(const GradientContext& c) {
  const Shape& x = c.operand(0).shape();
  const Ints& start = c.node.attributes.ints("start");
  const Ints& stride = c.node.attributes.ints("stride");
  if (c.dy().shape().elements() == 0) return {zeros_like(c.operand(0))};
  Ints high, interior;
  for (std::size_t i = 0; i < start.size(); i++) {
    high.push_back(x[i] - (start[i] + (c.dy().shape()[i] - 1) * stride[i] + 1));
    interior.push_back(c.dy().shape()[i] > 1 ? stride[i] - 1 : 0);
  }
  return {pad(c.dy(), scalar(c.dy(), 0), start, high, interior)};
}

void evaluate_slice(const EvalContext& c) {
  const Ints& start = c.node.attributes.ints("start");
  Ints strides = c.operands[0].strides();
  const std::int64_t first = std::inner_product(start.begin(), start.end(), strides.begin(), std::int64_t{0});
  // A stride beyond the axis takes one element, as one of the axis's size does, which can be multiplied.
  for (std::size_t i = 0; i < strides.size(); i++)
    strides[i] *= std::min(c.node.attributes.ints("stride")[i], c.operands[0].shape()[i]);
  copy_from(c.operands[0], c.results[0], strides, first);
}

// ---- pad --------------------------------------------------------------------------------------------------

std::vector<Type> infer_pad(const InferContext& c) {
  const Shape& x = c.shape(0);
  const Ints& low = require_per_axis(c, "low", x.rank());
  const Ints& high = require_per_axis(c, "high", x.rank());
  const Ints& interior = require_per_axis(c, "interior", x.rank());
  require_same_dtype(c, 0, 1);
  if (c.shape(1).rank() != 0)
    shape_error(
        c, fmt::format("the padding value has the shape {}; it must be a scalar", c.shape(1).to_string()));
  Shape result;
  for (std::size_t i = 0; i < low.size(); i++) {
    if (low[i] < 0 || high[i] < 0 || interior[i] < 0)
      shape_error(c, fmt::format("low {}, high {} and interior {} on axis {}: padding can't be negative",
                                 low[i], high[i], interior[i], i));
    const std::int64_t gaps = std::max<std::int64_t>(x[i] - 1, 0);
    if (std::max(low[i], high[i]) > largest_size || (gaps > 0 && interior[i] > largest_size / gaps))
      shape_error(
          c, fmt::format("low {}, high {} and interior {} on axis {} of {}: no machine has room for that",
                         low[i], high[i], interior[i], i, x.to_string()));
    result.push_back(low[i] + high[i] + x[i] + (gaps > 0 ? gaps * interior[i] : 0));
  }
  return {{c.type(0).dtype, result}};
}

std::vector<Value> pad_gradient(const GradientContext& c) {
  const Value x = c.operand(0), d = c.dy();
  const Ints& low = c.node.attributes.ints("low");
  const Ints& high = c.node.attributes.ints("high");
  const Ints& interior = c.node.attributes.ints("interior");
  // What came from `value` is marked by padding as x was; subtracting sums instead would cancel.
  const Value from_x = full(x.graph(), {DType::bool_, x.shape()}, 0);
  const Value is_padding = pad(from_x, scalar(from_x, 1), low, high, interior);
  const Value d_value = reduce_sum(select(is_padding, d, zeros_like(d)));
  if (x.shape().elements() == 0) return {zeros_like(x), d_value};
  Ints limit, stride;
  for (std::size_t i = 0; i < low.size(); i++) {
    stride.push_back(x.shape()[i] > 1 ? interior[i] + 1 : 1);  // beside a lone element there may be any
    limit.push_back(low[i] + (x.shape()[i] - 1) * stride[i] + 1);
  }
  return {slice(d, low, limit, stride), d_value};
}

void evaluate_pad(const EvalContext& c) {
  Tensor& y = c.results[0];
  copy_from(c.operands[1], y, Ints(at(y.rank()), 0), 0);
  const Ints& low = c.node.attributes.ints("low");
  Ints strides = y.strides();
  const std::int64_t first = std::inner_product(low.begin(), low.end(), strides.begin(), std::int64_t{0});
  for (std::size_t i = 0; i < strides.size(); i++)
    if (c.operands[0].shape()[i] > 1) strides[i] *= c.node.attributes.ints("interior")[i] + 1;
  copy_to(c.operands[0], y, strides, first);
}

// ---- concatenate ------------------------------------------------------------------------------------------

std::vector<Type> infer_concatenate(const InferContext& c) {
  if (c.operands.empty()) shape_error(c, "there is nothing to concatenate");
  Type result = c.type(0);
  const std::int64_t axis = c.attributes.integer("axis");
  require_axis(c, axis, result.shape.rank());
  for (int i = 1; i < static_cast<int>(c.operands.size()); i++) {
    require_same_dtype(c, 0, i);
    Shape expected = c.shape(i);
    if (expected.rank() == result.shape.rank()) expected[at(axis)] = c.shape(0)[at(axis)];
    if (expected != c.shape(0))
      shape_error(c, fmt::format("part 0 has the shape {} and part {} has {}; only axis {} may differ",
                                 c.shape(0).to_string(), i, c.shape(i).to_string(), axis));
    result.shape[at(axis)] += c.shape(i)[at(axis)];
  }
  return {result};
}

std::vector<Value> concatenate_gradient(const GradientContext& c) {
  const std::size_t axis = at(c.node.attributes.integer("axis"));
  Ints start(at(c.dy().rank()), 0), limit = c.dy().shape().sizes();
  std::vector<Value> parts;
  for (Value part : c.node.operands) {
    limit[axis] = start[axis] + part.shape()[axis];
    parts.push_back(slice(c.dy(), start, limit));
    start[axis] = limit[axis];
  }
  return parts;
}

void evaluate_concatenate(const EvalContext& c) {
  const std::size_t axis = at(c.node.attributes.integer("axis"));
  const Ints& strides = c.results[0].strides();
  std::int64_t first = 0;
  for (const Tensor& part : c.operands) {
    copy_to(part, c.results[0], strides, first);
    first += part.shape()[axis] * strides[axis];
  }
}

// ---- reverse ----------------------------------------------------------------------------------------------

std::vector<Type> infer_reverse(const InferContext& c) {
  require_axes(c, c.attributes.ints("axes"), c.shape(0).rank());
  return {c.type(0)};
}

std::vector<Value> reverse_gradient(const GradientContext& c) {
  return {reverse(c.dy(), c.node.attributes.ints("axes"))};
}

void evaluate_reverse(const EvalContext& c) {
  Ints strides = c.operands[0].strides();
  std::int64_t first = 0;
  for (std::int64_t axis : c.node.attributes.ints("axes")) {
    first += (c.operands[0].shape()[at(axis)] - 1) * strides[at(axis)];
    strides[at(axis)] = -strides[at(axis)];
  }
  copy_from(c.operands[0], c.results[0], strides, first);
}

}  // namespace

void register_movement_ops(Registry& registry) {
  const auto add = [&](Op op, int operands, std::vector<AttrSpec> attributes, auto infer, auto gradient,
                       auto evaluate) {
    registry.add({op, OpClass::movement, operands, std::move(attributes), infer, gradient, evaluate});
  };
  using enum AttrKind;
  add(Op::broadcast, 1, {{"dims", ints}, {"shape", ints}}, infer_broadcast, broadcast_gradient,
      evaluate_broadcast);
  add(Op::reshape, 1, {{"shape", ints}}, infer_reshape, reshape_gradient, evaluate_reshape);
  add(Op::transpose, 1, {{"permutation", ints}}, infer_transpose, transpose_gradient, evaluate_transpose);
  add(Op::slice, 1, {{"start", ints}, {"limit", ints}, {"stride", ints}}, infer_slice, slice_gradient,
      evaluate_slice);
  add(Op::pad, 2, {{"low", ints}, {"high", ints}, {"interior", ints}}, infer_pad, pad_gradient, evaluate_pad);
  add(Op::concatenate, -1, {{"axis", integer}}, infer_concatenate, concatenate_gradient,
      evaluate_concatenate);
  add(Op::reverse, 1, {{"axes", ints}}, infer_reverse, reverse_gradient, evaluate_reverse);
}

}  // namespace kiln::graph
