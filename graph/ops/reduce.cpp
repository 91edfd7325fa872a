// Reductions over `axes`, which the result lacks (reduce_* {axes}), and argmax {axis}.
#include "graph/ops/register.h"
#include "graph/ops/support.h"

namespace kiln::graph {
namespace {

Shape without(const Shape& shape, const Ints& axes) {
  Shape rest;
  for (std::int64_t axis : other_axes(axes, shape.rank())) rest.push_back(shape[at(axis)]);
  return rest;
}

std::vector<Type> infer_reduce(const InferContext& c) {
  require_type<Numbers>(c, 0);
  const Ints& axes = c.attributes.ints("axes");
  require_axes(c, axes, c.shape(0).rank());
  return {{c.type(0).dtype, without(c.shape(0), axes)}};
}

std::vector<Type> infer_argmax(const InferContext& c) {
  require_type<Numbers>(c, 0);
  const std::int64_t axis = c.attributes.integer("axis");
  require_axis(c, axis, c.shape(0).rank());
  if (c.shape(0)[at(axis)] == 0)
    shape_error(c, fmt::format("axis {} of {} is empty: there is no maximum", axis, c.shape(0).to_string()));
  require_int32_indices(c, axis);
  return {{DType::i32, without(c.shape(0), {axis})}};
}

// ---- evaluation -------------------------------------------------------------------------------------------

// Strides of the result for a walk over the operand: 0 on the axes that are reduced.
Ints result_strides(const Shape& operand, const Ints& axes, const Tensor& result) {
  Ints strides(at(operand.rank()), 0);
  const Ints kept = other_axes(axes, operand.rank());
  for (std::size_t i = 0; i < kept.size(); i++) strides[at(kept[i])] = result.strides()[i];
  return strides;
}

/// y[j] = combine over the elements x[i] that belong to j, in row-major order, beginning with first<T>().
/// Floats are combined in double and integers in wrapping arithmetic.
template <class Start, class Combine>
void reduce(const EvalContext& c, Start start, Combine combine) {
  const Tensor& x = c.operands[0];
  Tensor& y = c.results[0];
  visit_types<Numbers>(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using Sum = std::conditional_t<std::is_floating_point_v<T>, double, T>;
    std::vector<Sum> sums(at(y.size()), start(Sum{}));
    const T* in = x.data<T>();
    for_each_element(
        x.shape(), result_strides(x.shape(), c.node.attributes.ints("axes"), y), 0,
        [&](std::int64_t i, std::int64_t j) { sums[at(j)] = combine(sums[at(j)], static_cast<Sum>(in[i])); });
    T* out = y.data<T>();
    for (std::size_t j = 0; j < sums.size(); j++) out[j] = static_cast<T>(sums[j]);
  });
}

template <class T>
constexpr T lowest(T) {
  return std::is_floating_point_v<T> ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
}
template <class T>
constexpr T highest(T) {
  return std::is_floating_point_v<T> ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
}
template <class T>
T wrapping(T a, T b, auto f) {
  if constexpr (std::is_floating_point_v<T>)
    return f(a, b);
  else
    return static_cast<T>(f(static_cast<Wrapping<T>>(a), static_cast<Wrapping<T>>(b)));
}

void evaluate_sum(const EvalContext& c) {
  reduce(
      c, [](auto zero) { return zero; },
      [](auto a, auto b) { return wrapping(a, b, [](auto x, auto y) { return x + y; }); });
}
void evaluate_prod(const EvalContext& c) {
  reduce(
      c, [](auto zero) { return static_cast<decltype(zero)>(1); },
      [](auto a, auto b) { return wrapping(a, b, [](auto x, auto y) { return x * y; }); });
}
// NaN wins: once there it stays (no comparison holds), and it comes in by b != b.
void evaluate_max(const EvalContext& c) {
  reduce(c, [](auto zero) { return lowest(zero); }, [](auto a, auto b) { return b > a || b != b ? b : a; });
}
void evaluate_min(const EvalContext& c) {
  reduce(c, [](auto zero) { return highest(zero); }, [](auto a, auto b) { return b < a || b != b ? b : a; });
}

void evaluate_argmax(const EvalContext& c) {
  const Tensor& x = c.operands[0];
  Tensor& y = c.results[0];
  const std::int64_t axis = c.node.attributes.integer("axis");
  const std::int64_t step = x.strides()[at(axis)];
  Ints starts = x.strides();  // of the line that each result looks at
  starts.erase(starts.begin() + axis);
  visit_types<Numbers>(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::int32_t* out = y.data<std::int32_t>();
    for_each_element(y.shape(), starts, 0, [&](std::int64_t i, std::int64_t start) {
      const T* line = x.data<T>() + start;
      std::int64_t best = 0;
      for (std::int64_t k = 1; k < x.shape()[at(axis)]; k++) {
        const T candidate = line[k * step], leader = line[best * step];
        if (leader == leader && (candidate > leader || candidate != candidate)) best = k;
      }
      out[i] = static_cast<std::int32_t>(best);
    });
  });
}

// ---- gradients --------------------------------------------------------------------------------------------

// A result-shaped value, repeated along the reduced axes.
Value spread(const GradientContext& c, Value v) {
  const Shape& shape = c.operand(0).shape();
  return broadcast(v, shape, other_axes(c.node.attributes.ints("axes"), shape.rank()));
}

std::vector<Value> sum_gradient(const GradientContext& c) {
  return {spread(c, c.dy())};
}

// Equal shares for all elements that equal the extremum.
std::vector<Value> extremum_gradient(const GradientContext& c) {
  const Value x = c.operand(0);
  const Value wins = compare(x, spread(c, c.result()), "eq");
  const Value winners = reduce_sum(convert(wins, x.dtype()), c.node.attributes.ints("axes"));
  return {select(wins, spread(c, c.dy() / winners), zeros_like(x))};
}

// The product of all other elements, without division: dy * y / x would be NaN at zeros. A binary tree of
// partial products: going down, each half is multiplied by the other half's products, so that x's own leaf
// gathers all factors but its own. 2 n multiplications, and correct for derivatives of any order.
std::vector<Value> prod_gradient(const GradientContext& c) {
  const Value x = c.operand(0);
  if (x.shape().elements() == 0) return {zeros_like(x)};
  const Ints& axes = c.node.attributes.ints("axes");
  if (axes.empty()) return {c.dy()};

  // Reduced axes last and merged: [rest, n].
  Ints order = other_axes(axes, x.rank());
  order.insert(order.end(), axes.begin(), axes.end());
  const Value ordered = transpose(x, order);
  const std::int64_t rest = c.dy().shape().elements();
  std::vector<Value> levels = {reshape(ordered, {rest, None})};
  const auto half = [&](Value level, bool second) {
    const std::int64_t n = level.shape()[1];
    return second ? slice(level, {0, n / 2}, {rest, n}) : slice(level, {0, 0}, {rest, n / 2});
  };
  while (levels.back().shape()[1] > 1) {
    Value& level = levels.back();
    if (level.shape()[1] % 2 != 0) level = pad(level, scalar(level, 1), {0, 0}, {0, 1});
    levels.push_back(half(level, false) * half(level, true));
  }
  Value others = reshape(c.dy(), {rest, 1});
  for (std::size_t i = levels.size() - 1; i-- > 0;) {
    if (others.shape()[1] * 2 != levels[i].shape()[1])  // drop the padding of the level above
      others = slice(others, {0, 0}, {rest, levels[i].shape()[1] / 2});
    const Value parts[] = {others * half(levels[i], true), others * half(levels[i], false)};
    others = concatenate(parts, 1);
  }
  const std::int64_t n = x.shape().elements() / rest;
  others = reshape(slice(others, {0, 0}, {rest, n}), ordered.shape());
  Ints inverse(order.size());
  for (std::size_t i = 0; i < order.size(); i++) inverse[at(order[i])] = static_cast<std::int64_t>(i);
  return {transpose(others, inverse)};
}

Value reduce(Op op, Value x, Ints axes, bool keepdims) {
  if (axes.empty())
    axes = other_axes({}, x.rank());
  else
    axes = normalize_axes(op, x, axes);
  Shape kept = x.shape();
  for (std::int64_t axis : axes) kept[at(axis)] = 1;
  const Value result = emit(op, {x}, {{"axes", std::move(axes)}});
  return keepdims ? reshape(result, kept) : result;
}

}  // namespace

void register_reduce_ops(Registry& registry) {
  const auto add = [&](Op op, auto gradient, auto evaluate) {
    registry.add({op, OpClass::heavy, 1, {{"axes", AttrKind::ints}}, infer_reduce, gradient, evaluate});
  };
  add(Op::reduce_sum, sum_gradient, evaluate_sum);
  add(Op::reduce_max, extremum_gradient, evaluate_max);
  add(Op::reduce_min, extremum_gradient, evaluate_min);
  add(Op::reduce_prod, prod_gradient, evaluate_prod);
  registry.add(
      {Op::argmax, OpClass::heavy, 1, {{"axis", AttrKind::integer}}, infer_argmax, nullptr, evaluate_argmax});
}

Value reduce_sum(Value x, Ints axes, bool keepdims) {
  return reduce(Op::reduce_sum, x, std::move(axes), keepdims);
}
Value reduce_max(Value x, Ints axes, bool keepdims) {
  return reduce(Op::reduce_max, x, std::move(axes), keepdims);
}
Value reduce_min(Value x, Ints axes, bool keepdims) {
  return reduce(Op::reduce_min, x, std::move(axes), keepdims);
}
Value reduce_prod(Value x, Ints axes, bool keepdims) {
  return reduce(Op::reduce_prod, x, std::move(axes), keepdims);
}

Value reduce_mean(Value x, Ints axes, bool keepdims) {
  const Value sum = reduce_sum(x, std::move(axes), keepdims);
  const std::int64_t results = std::max<std::int64_t>(sum.shape().elements(), 1);
  return sum / static_cast<double>(x.shape().elements() / results);
}

Value argmax(Value x, int axis) {
  return emit(Op::argmax, {x}, {{"axis", std::int64_t{normalize_axis(axis, x.rank(), "argmax")}}});
}

}  // namespace kiln::graph
