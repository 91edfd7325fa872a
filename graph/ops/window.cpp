#include <limits>

#include "graph/ops/loops.h"
#include "graph/ops/register.h"
#include "graph/ops/sliding.h"

namespace kiln::graph {
namespace {

std::vector<Slide> window_slides(const Shape& input, const WindowAttrs& a) {
  const Ints undilated(input.sizes().size(), 1);
  return make_slides(input.sizes(), a.window, a.strides, a.low, a.high, undilated);
}

Shape output_shape(std::span<const Slide> slides) {
  Shape shape;
  for (const Slide& s : slides) shape.push_back(s.output());
  return shape;
}

/// The shape of a window op on `input`, all attributes checked.
Shape window_shape(const InferContext& c, const Shape& input) {
  const std::size_t axes = input.sizes().size();
  check_entries(c, "window", axes, 1);
  check_entries(c, "strides", axes, 1);
  check_entries(c, "low", axes, 0);
  check_entries(c, "high", axes, 0);
  const std::vector<Slide> slides = window_slides(input, window_attrs(c.attributes));
  check_slides(c, "window", slides);
  return output_shape(slides);
}

void check_numbers(const InferContext& c) {
  require_type<Numbers>(c, 0);
  if (c.operands.size() > 1) require_same_dtype(c, 0, 1);
}

std::vector<Type> infer_window(const InferContext& c) {
  check_numbers(c);
  return {{c.type(0).dtype, window_shape(c, c.shape(0))}};
}

void check_dy(const InferContext& c, const Shape& dy, const Shape& expected) {
  if (dy != expected)
    shape_error(c, fmt::format("dy must have the shape {} of the windows' result; got {}",
                               expected.to_string(), dy.to_string()));
}

std::vector<Type> infer_window_sum_grad(const InferContext& c) {
  check_numbers(c);
  const Shape input(c.attributes.ints("input"));
  check_dy(c, c.shape(0), window_shape(c, input));
  return {{c.type(0).dtype, input}};
}

std::vector<Type> infer_window_max_grad(const InferContext& c) {
  check_numbers(c);
  check_dy(c, c.shape(1), window_shape(c, c.shape(0)));
  return {{c.type(0).dtype, c.shape(0)}};
}

std::vector<Type> infer_window_max_pick(const InferContext& c) {
  check_numbers(c);
  if (c.shape(1) != c.shape(0))
    shape_error(
        c, fmt::format("v must have x's shape {}; got {}", c.shape(0).to_string(), c.shape(1).to_string()));
  return {{c.type(0).dtype, window_shape(c, c.shape(0))}};
}

std::vector<Value> gradient_window_sum(const GradientContext& c) {
  return {window_sum_grad(c.dy(), c.operand(0).shape(), window_attrs(c.node.attributes))};
}

std::vector<Value> gradient_window_sum_grad(const GradientContext& c) {
  return {window_sum(c.dy(), window_attrs(c.node.attributes))};
}

std::vector<Value> gradient_window_max(const GradientContext& c) {
  return {window_max_grad(c.operand(0), c.dy(), window_attrs(c.node.attributes))};
}

// Which element wins is piecewise constant in x: x itself has no adjoint in the next two.
std::vector<Value> gradient_window_max_grad(const GradientContext& c) {
  return {Value{}, window_max_pick(c.operand(0), c.dy(), window_attrs(c.node.attributes))};
}

std::vector<Value> gradient_window_max_pick(const GradientContext& c) {
  return {Value{}, window_max_grad(c.operand(0), c.dy(), window_attrs(c.node.attributes))};
}

/// Calls f(window, element), each counted row-major, for every element that a window covers, padding left
/// out: window by window, row-major within each.
template <class F>
void for_each_covered(std::span<const Slide> slides, F&& f) {
  Shape window, input;
  for (const Slide& s : slides) {
    window.push_back(s.window);
    input.push_back(s.input);
  }
  const Ints strides = input.strides();
  std::int64_t number = 0;
  for_each_index(output_shape(slides), [&](const Ints& output) {
    for_each_index(window, [&](const Ints& tap) {
      std::int64_t element = 0;
      for (std::size_t axis = 0; axis < slides.size(); axis++) {
        const std::int64_t p = slides[axis].position(output[axis], tap[axis]);
        if (p < 0 || p >= slides[axis].input) return;
        element += p * strides[axis];
      }
      f(number, element);
    });
    number++;
  });
}

// Each window adds its elements row-major.
void evaluate_window_sum(const EvalContext& c) {
  const std::vector<Slide> slides = window_slides(c.operands[0].shape(), window_attrs(c.node.attributes));
  visit_types<Numbers>(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* x = c.operands[0].data<T>();
    T* y = c.results[0].data<T>();
    for_each_covered(slides, [=](std::int64_t o, std::int64_t i) { y[o] = wrapping_add(y[o], x[i]); });
  });
}

// Each element adds the windows that cover it row-major.
void evaluate_window_sum_grad(const EvalContext& c) {
  const std::vector<Slide> slides = window_slides(c.results[0].shape(), window_attrs(c.node.attributes));
  visit_types<Numbers>(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* dy = c.operands[0].data<T>();
    T* dx = c.results[0].data<T>();
    for_each_covered(slides, [=](std::int64_t o, std::int64_t i) { dx[i] = wrapping_add(dx[i], dy[o]); });
  });
}

/// The position in x of each window's first maximum (the first NaN, if there is one); -1 for a window that
/// lies in the padding altogether.
template <class T>
Ints winners(const T* x, std::span<const Slide> slides) {
  Ints positions(static_cast<std::size_t>(output_shape(slides).elements()), -1);
  for_each_covered(slides, [&](std::int64_t o, std::int64_t i) {
    std::int64_t& best = positions[static_cast<std::size_t>(o)];
    if (best < 0 || (!is_nan(x[best]) && (is_nan(x[i]) || x[i] > x[best]))) best = i;
  });
  return positions;
}

/// Calls f(zero of the element type, winners) for the windows of operand 0.
template <class F>
void with_winners(const EvalContext& c, F&& f) {
  const std::vector<Slide> slides = window_slides(c.operands[0].shape(), window_attrs(c.node.attributes));
  visit_types<Numbers>(c.operands[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    f(zero, winners(c.operands[0].data<T>(), slides));
  });
}

void evaluate_window_max(const EvalContext& c) {
  with_winners(c, [&](auto zero, const Ints& positions) {
    using T = decltype(zero);
    using Limits = std::numeric_limits<T>;
    const T lowest = Limits::has_infinity ? static_cast<T>(-Limits::infinity()) : Limits::lowest();
    const T* x = c.operands[0].data<T>();
    T* y = c.results[0].data<T>();
    for (std::int64_t i : positions) *y++ = i < 0 ? lowest : x[i];
  });
}

// Each element adds the windows that it wins row-major.
void evaluate_window_max_grad(const EvalContext& c) {
  with_winners(c, [&](auto zero, const Ints& positions) {
    using T = decltype(zero);
    const T* dy = c.operands[1].data<T>();
    T* dx = c.results[0].data<T>();
    for (std::size_t o = 0; o < positions.size(); o++)
      if (const std::int64_t i = positions[o]; i >= 0) dx[i] = wrapping_add(dx[i], dy[o]);
  });
}

void evaluate_window_max_pick(const EvalContext& c) {
  with_winners(c, [&](auto zero, const Ints& positions) {
    using T = decltype(zero);
    const T* v = c.operands[1].data<T>();
    T* y = c.results[0].data<T>();
    for (std::int64_t i : positions) *y++ = i < 0 ? T{} : v[i];
  });
}

/// The attributes, with what is left empty filled in: strides 1, no padding.
Attributes attributes(const WindowAttrs& a, int rank) {
  const auto filled = [rank](const Ints& given, std::int64_t value) {
    return given.empty() ? Ints(static_cast<std::size_t>(rank), value) : given;
  };
  return {{"window", a.window},
          {"strides", filled(a.strides, 1)},
          {"low", filled(a.low, 0)},
          {"high", filled(a.high, 0)}};
}

}  // namespace

WindowAttrs window_attrs(const Attributes& a) {
  return {a.ints("window"), a.ints("strides"), a.ints("low"), a.ints("high")};
}

Value window_sum(Value x, const WindowAttrs& attrs) {
  return emit(Op::window_sum, {x}, attributes(attrs, x.rank()));
}

Value window_sum_grad(Value dy, const Shape& input, const WindowAttrs& attrs) {
  Attributes a = attributes(attrs, input.rank());
  a.set("input", input.sizes());
  return emit(Op::window_sum_grad, {dy}, std::move(a));
}

Value window_max(Value x, const WindowAttrs& attrs) {
  return emit(Op::window_max, {x}, attributes(attrs, x.rank()));
}

Value window_max_grad(Value x, Value dy, const WindowAttrs& attrs) {
  return emit(Op::window_max_grad, {x, dy}, attributes(attrs, x.rank()));
}

Value window_max_pick(Value x, Value v, const WindowAttrs& attrs) {
  return emit(Op::window_max_pick, {x, v}, attributes(attrs, x.rank()));
}

void register_window_ops(Registry& registry) {
  const std::vector<AttrSpec> common = {{"window", AttrKind::ints},
                                        {"strides", AttrKind::ints},
                                        {"low", AttrKind::ints},
                                        {"high", AttrKind::ints}};
  std::vector<AttrSpec> with_input = common;
  with_input.push_back({"input", AttrKind::ints});
  registry.add({.op = Op::window_sum,
                .op_class = OpClass::heavy,
                .operands = 1,
                .attributes = common,
                .infer = infer_window,
                .gradient = gradient_window_sum,
                .evaluate = evaluate_window_sum});
  registry.add({.op = Op::window_sum_grad,
                .op_class = OpClass::heavy,
                .operands = 1,
                .attributes = with_input,
                .infer = infer_window_sum_grad,
                .gradient = gradient_window_sum_grad,
                .evaluate = evaluate_window_sum_grad});
  registry.add({.op = Op::window_max,
                .op_class = OpClass::heavy,
                .operands = 1,
                .attributes = common,
                .infer = infer_window,
                .gradient = gradient_window_max,
                .evaluate = evaluate_window_max});
  registry.add({.op = Op::window_max_grad,
                .op_class = OpClass::heavy,
                .operands = 2,
                .attributes = common,
                .infer = infer_window_max_grad,
                .gradient = gradient_window_max_grad,
                .evaluate = evaluate_window_max_grad});
  registry.add({.op = Op::window_max_pick,
                .op_class = OpClass::heavy,
                .operands = 2,
                .attributes = common,
                .infer = infer_window_max_pick,
                .gradient = gradient_window_max_pick,
                .evaluate = evaluate_window_max_pick});
}

}  // namespace kiln::graph
