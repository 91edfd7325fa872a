#include <algorithm>
#include <limits>
#include <type_traits>

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

/// What counts the elements of a window, and one more.
DType place_type(const Attributes& attributes) {
  constexpr std::int64_t most = std::numeric_limits<std::uint8_t>::max();
  return Shape(attributes.ints("window")).elements() <= most ? DType::u8 : DType::i32;
}

std::vector<Type> infer_window_argmax(const InferContext& c) {
  check_numbers(c);
  const Shape windows = window_shape(c, c.shape(0));
  const std::int64_t elements = Shape(c.attributes.ints("window")).elements();
  if (elements > std::numeric_limits<std::int32_t>::max())
    shape_error(c, fmt::format("a window can't have more than 2^31 - 1 elements; got {}", elements));
  return {{place_type(c.attributes), windows}};
}

void check_place(const InferContext& c, const Shape& windows) {
  if (const DType expected = place_type(c.attributes); c.type(0).dtype != expected)
    type_error(c, fmt::format("place must be {} as window_argmax gives it; got {}", name(expected),
                              name(c.type(0).dtype)));
  if (c.shape(0) != windows)
    shape_error(c, fmt::format("place must have the shape {} of the windows' result; got {}",
                               windows.to_string(), c.shape(0).to_string()));
}

std::vector<Type> infer_window_max_grad(const InferContext& c) {
  require_type<Numbers>(c, 1);
  const Shape input(c.attributes.ints("input")), windows = window_shape(c, input);
  check_place(c, windows);
  check_dy(c, c.shape(1), windows);
  return {{c.type(1).dtype, input}};
}

std::vector<Type> infer_window_max_pick(const InferContext& c) {
  require_type<Numbers>(c, 1);
  const Shape windows = window_shape(c, c.shape(1));
  check_place(c, windows);
  return {{c.type(1).dtype, windows}};
}

std::vector<Value> gradient_window_sum(const GradientContext& c) {
  return {window_sum_grad(c.dy(), c.operand(0).shape(), window_attrs(c.node.attributes))};
}

std::vector<Value> gradient_window_sum_grad(const GradientContext& c) {
  return {window_sum(c.dy(), window_attrs(c.node.attributes))};
}

std::vector<Value> gradient_window_max(const GradientContext& c) {
  const Value x = c.operand(0);
  const WindowAttrs attrs = window_attrs(c.node.attributes);
  return {window_max_grad(window_argmax(x, attrs), c.dy(), x.shape(), attrs)};
}

std::vector<Value> gradient_window_max_grad(const GradientContext& c) {
  return {Value{}, window_max_pick(c.operand(0), c.dy(), window_attrs(c.node.attributes))};
}

std::vector<Value> gradient_window_max_pick(const GradientContext& c) {
  const Value v = c.operand(1);
  return {Value{}, window_max_grad(c.operand(0), c.dy(), v.shape(), window_attrs(c.node.attributes))};
}

/// Calls f(window, element, tap), each counted row-major, for every element that a window covers, padding
/// left out: window by window, row-major within each.
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
    std::int64_t taps = 0;
    for_each_index(window, [&](const Ints& tap) {
      const std::int64_t tap_number = taps++;
      std::int64_t element = 0;
      for (std::size_t axis = 0; axis < slides.size(); axis++) {
        const std::int64_t p = slides[axis].position(output[axis], tap[axis]);
        if (p < 0 || p >= slides[axis].input) return;
        element += p * strides[axis];
      }
      f(number, element, tap_number);
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
    for_each_covered(slides,
                     [=](std::int64_t o, std::int64_t i, std::int64_t) { y[o] = wrapping_add(y[o], x[i]); });
  });
}

// Each element adds the windows that cover it row-major.
void evaluate_window_sum_grad(const EvalContext& c) {
  const std::vector<Slide> slides = window_slides(c.results[0].shape(), window_attrs(c.node.attributes));
  visit_types<Numbers>(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* dy = c.operands[0].data<T>();
    T* dx = c.results[0].data<T>();
    for_each_covered(
        slides, [=](std::int64_t o, std::int64_t i, std::int64_t) { dx[i] = wrapping_add(dx[i], dy[o]); });
  });
}

/// Whether v, met later than `best`, takes its place: larger, or the first NaN.
template <class T>
bool beats(T v, T best) {
  return !is_nan(best) && (is_nan(v) || v > best);
}

void evaluate_window_max(const EvalContext& c) {
  const std::vector<Slide> slides = window_slides(c.operands[0].shape(), window_attrs(c.node.attributes));
  visit_types<Numbers>(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    using Limits = std::numeric_limits<T>;
    const T* x = c.operands[0].data<T>();
    T* y = c.results[0].data<T>();
    std::fill_n(y, c.results[0].size(),
                Limits::has_infinity ? static_cast<T>(-Limits::infinity()) : Limits::lowest());
    for_each_covered(slides, [=](std::int64_t o, std::int64_t i, std::int64_t) {
      if (beats(x[i], y[o])) y[o] = x[i];
    });
  });
}

/// Calls f(place) with the elements of `places` as what they are, u8 or i32.
template <class Place, class F>
void with_places(Place& places, F&& f) {
  if (places.dtype() == DType::u8)
    f(places.template data<std::uint8_t>());
  else
    f(places.template data<std::int32_t>());
}

void evaluate_window_argmax(const EvalContext& c) {
  const std::vector<Slide> slides = window_slides(c.operands[0].shape(), window_attrs(c.node.attributes));
  const std::int64_t none = Shape(c.node.attributes.ints("window")).elements();
  visit_types<Numbers>(c.operands[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* x = c.operands[0].data<T>();
    with_places(c.results[0], [&](auto* places) {
      using Place = std::remove_reference_t<decltype(*places)>;
      std::fill_n(places, c.results[0].size(), static_cast<Place>(none));
      std::vector<T> best(static_cast<std::size_t>(c.results[0].size()));
      for_each_covered(slides, [&](std::int64_t o, std::int64_t i, std::int64_t tap) {
        T& most = best[static_cast<std::size_t>(o)];
        if (places[o] != none && !beats(x[i], most)) return;
        places[o] = static_cast<Place>(tap);
        most = x[i];
      });
    });
  });
}

// Each element adds the windows that name it row-major.
void evaluate_window_max_grad(const EvalContext& c) {
  const std::vector<Slide> slides = window_slides(c.results[0].shape(), window_attrs(c.node.attributes));
  visit_types<Numbers>(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* dy = c.operands[1].data<T>();
    T* dx = c.results[0].data<T>();
    with_places(c.operands[0], [&](const auto* places) {
      for_each_covered(slides, [=](std::int64_t o, std::int64_t i, std::int64_t tap) {
        if (places[o] == tap) dx[i] = wrapping_add(dx[i], dy[o]);
      });
    });
  });
}

void evaluate_window_max_pick(const EvalContext& c) {
  const std::vector<Slide> slides = window_slides(c.operands[1].shape(), window_attrs(c.node.attributes));
  visit_types<Numbers>(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* v = c.operands[1].data<T>();
    T* y = c.results[0].data<T>();
    with_places(c.operands[0], [&](const auto* places) {
      for_each_covered(slides, [=](std::int64_t o, std::int64_t i, std::int64_t tap) {
        if (places[o] == tap) y[o] = v[i];
      });
    });
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

Value window_argmax(Value x, const WindowAttrs& attrs) {
  return emit(Op::window_argmax, {x}, attributes(attrs, x.rank()));
}

Value window_max_grad(Value place, Value dy, const Shape& input, const WindowAttrs& attrs) {
  Attributes a = attributes(attrs, input.rank());
  a.set("input", input.sizes());
  return emit(Op::window_max_grad, {place, dy}, std::move(a));
}

Value window_max_pick(Value place, Value v, const WindowAttrs& attrs) {
  return emit(Op::window_max_pick, {place, v}, attributes(attrs, v.rank()));
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
  registry.add({.op = Op::window_argmax,
                .op_class = OpClass::heavy,
                .operands = 1,
                .attributes = common,
                .infer = infer_window_argmax,
                .gradient = nullptr,
                .evaluate = evaluate_window_argmax});
  registry.add({.op = Op::window_max_grad,
                .op_class = OpClass::heavy,
                .operands = 2,
                .attributes = with_input,
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
