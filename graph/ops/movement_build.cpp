// The functions of ops.h that emit data movement: negative axes, defaults and numpy's broadcasting become the
// strict primitives of movement.cpp here.
#include "graph/ops/support.h"

namespace kiln::graph {
namespace {}  // namespace

Value broadcast(Value x, Shape shape, Ints dims) {
  return emit(Op::broadcast, {x}, {{"dims", std::move(dims)}, {"shape", shape.sizes()}});
}

Value broadcast_to(Value x, const Shape& shape) {
  if (x.shape() == shape) return x;
  if (x.rank() > shape.rank())
    build_error(Op::broadcast, x,
                fmt::format("{} has more axes than {}", x.shape().to_string(), shape.to_string()));
  Ints dims;
  for (int i = 0; i < x.rank(); i++) dims.push_back(shape.rank() - x.rank() + i);
  return broadcast(x, shape, std::move(dims));
}

Value reshape(Value x, Shape shape) {
  std::int64_t known = 1;
  int unknown = -1;
  for (int i = 0; i < shape.rank(); i++) {
    if (shape[at(i)] != None)
      known *= shape[at(i)];
    else if (unknown < 0)
      unknown = i;
    else
      build_error(Op::reshape, x, fmt::format("only one size of {} may be inferred", shape.to_string()));
  }
  if (unknown >= 0) {
    if (known <= 0 || x.shape().elements() % known != 0)
      build_error(Op::reshape, x,
                  fmt::format("{} with {} elements can't become {}", x.shape().to_string(),
                              x.shape().elements(), shape.to_string()));
    shape[at(unknown)] = x.shape().elements() / known;
  }
  return x.shape() == shape ? x : emit(Op::reshape, {x}, {{"shape", shape.sizes()}});
}

Value transpose(Value x, Ints permutation) {
  for (std::int64_t& axis : permutation) axis = normalize_axis(axis, x.rank(), "transpose");
  return emit(Op::transpose, {x}, {{"permutation", std::move(permutation)}});
}

Value slice(Value x, Ints start, Ints limit, Ints stride) {
  if (stride.empty()) stride.assign(start.size(), 1);
  return emit(Op::slice, {x},
              {{"start", std::move(start)}, {"limit", std::move(limit)}, {"stride", std::move(stride)}});
}

Value pad(Value x, Value value, Ints low, Ints high, Ints interior) {
  if (interior.empty()) interior.assign(low.size(), 0);
  return emit(Op::pad, {x, value},
              {{"low", std::move(low)}, {"high", std::move(high)}, {"interior", std::move(interior)}});
}

Value concatenate(std::span<const Value> parts, int axis) {
  if (parts.empty()) throw ShapeError("concatenate: there is nothing to concatenate");
  const std::int64_t a = normalize_axis(axis, parts[0].rank(), "concatenate");
  return emit(Op::concatenate, {parts.begin(), parts.end()}, {{"axis", a}});
}

Value reverse(Value x, Ints axes) {
  return emit(Op::reverse, {x}, {{"axes", normalize_axes(Op::reverse, x, axes)}});
}

Value expand_dims(Value x, int axis) {
  axis = normalize_axis(axis, x.rank() + 1, "expand_dims");
  Ints sizes = x.shape().sizes();
  sizes.insert(sizes.begin() + axis, 1);
  return reshape(x, Shape(std::move(sizes)));
}

Value squeeze(Value x, Ints axes) {
  if (axes.empty()) {
    for (int i = 0; i < x.rank(); i++)
      if (x.shape()[at(i)] == 1) axes.push_back(i);
  }
  axes = normalize_axes(Op::reshape, x, axes);
  Shape shape;
  for (int i = 0; i < x.rank(); i++) {
    if (!contains(axes, i))
      shape.push_back(x.shape()[at(i)]);
    else if (x.shape()[at(i)] != 1)
      build_error(
          Op::reshape, x,
          fmt::format("axis {} of {} can't be squeezed away: its size is not 1", i, x.shape().to_string()));
  }
  return reshape(x, shape);
}

}  // namespace kiln::graph
