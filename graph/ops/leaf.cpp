// Leaves: input, state {name, dtype, shape}; constant {value}; iota {axis, dtype, shape}.
#include "graph/ops/register.h"
#include "graph/ops/support.h"

namespace kiln::graph {
namespace {

std::vector<Type> infer_named(const InferContext& c) {
  const Shape shape(c.attributes.ints("shape"));
  for (std::int64_t n : shape)
    if (n < 0)
      shape_error(c, fmt::format("\"{}\" has the shape {}; op graphs have fixed sizes only",
                                 c.attributes.string("name"), shape.to_string()));
  return {{c.attributes.dtype("dtype"), shape}};
}

std::vector<Type> infer_constant(const InferContext& c) {
  const Tensor& value = c.attributes.tensor("value");
  return {{value.dtype(), value.shape()}};
}

std::vector<Type> infer_iota(const InferContext& c) {
  const Type type{c.attributes.dtype("dtype"), Shape(c.attributes.ints("shape"))};
  require_axis(c, c.attributes.integer("axis"), type.shape.rank());
  if (type.dtype == DType::bool_) type_error(c, "it counts in a number type, not in bool");
  return {type};
}

// The interpreter fills in inputs and states itself.
void evaluate_named(const EvalContext& c) {
  throw InternalError(fmt::format("\"{}\" has no value", c.node.attributes.string("name")));
}

void evaluate_constant(const EvalContext& c) {
  c.results[0] = c.node.attributes.tensor("value").contiguous();
}

void evaluate_iota(const EvalContext& c) {
  Tensor& y = c.results[0];
  Ints strides(static_cast<std::size_t>(y.rank()), 0);
  strides[static_cast<std::size_t>(c.node.attributes.integer("axis"))] = 1;
  visit_types<Numbers>(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* out = y.data<T>();
    for_each_element(y.shape(), strides, 0,
                     [&](std::int64_t i, std::int64_t index) { out[i] = static_cast<T>(index); });
  });
}

}  // namespace

void register_leaf_ops(Registry& registry) {
  using enum AttrKind;
  const std::vector<AttrSpec> named = {{"name", string}, {"dtype", dtype}, {"shape", ints}};
  registry.add({Op::input, OpClass::leaf, 0, named, infer_named, nullptr, evaluate_named});
  registry.add({Op::state, OpClass::leaf, 0, named, infer_named, nullptr, evaluate_named});
  registry.add(
      {Op::constant, OpClass::leaf, 0, {{"value", tensor}}, infer_constant, nullptr, evaluate_constant});
  registry.add({Op::iota,
                OpClass::movement,
                0,
                {{"axis", integer}, {"dtype", dtype}, {"shape", ints}},
                infer_iota,
                nullptr,
                evaluate_iota});
}

Value constant(Graph& g, Tensor value) {
  // A copy: the caller may go on writing to elements that it shares with the graph otherwise.
  return g.emit(Op::constant, {}, {{"value", value.clone()}}).value();
}

Value full(Graph& g, const Type& type, double value) {
  return broadcast_to(constant(g, Tensor::scalar(value, type.dtype)), type.shape);
}

Value zeros_like(Value x) {
  return full(x.graph(), x.type(), 0);
}
Value ones_like(Value x) {
  return full(x.graph(), x.type(), 1);
}

Value iota(Graph& g, const Type& type, int axis) {
  axis = normalize_axis(axis, type.shape.rank(), "iota");
  return g
      .emit(Op::iota, {},
            {{"axis", std::int64_t{axis}}, {"dtype", type.dtype}, {"shape", type.shape.sizes()}})
      .value();
}

Value scalar(Value like, double value) {
  const Tensor t = Tensor::scalar(value, like.dtype());
  if (!is_float(like.dtype()) && t.item() != value)
    throw TypeError(
        fmt::format("{}: the number {} doesn't fit the type {} of the other operand; convert that first",
                    like.graph().label, value, name(like.dtype())));
  return like.graph().emit(Op::constant, {}, {{"value", t}}).value();
}

Value operator/(Value a, double b) {
  if (!is_float(a.dtype()))
    throw TypeError(
        fmt::format("{}: {} by {} would be a quotient without its fraction; convert(x, DType::f32) first, "
                    "or, if it is to be without, "
                    "div(x, scalar(x, {}))",
                    a.graph().label, name(a.dtype()), b, b));
  return div(a, scalar(a, b));
}

}  // namespace kiln::graph
