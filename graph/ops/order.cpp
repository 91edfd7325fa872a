#include <algorithm>
#include <numeric>

#include "graph/ops/loops.h"
#include "graph/ops/register.h"

namespace kiln::graph {
namespace {

std::vector<Type> infer_cumsum(const InferContext& c) {
  require_type<Numbers>(c, 0);
  require_axis(c, c.attributes.integer("axis"), c.shape(0).rank());
  return {c.type(0)};
}

std::vector<Type> infer_sort(const InferContext& c) {
  require_axis(c, c.attributes.integer("axis"), c.shape(0).rank());
  require_int32_indices(c, c.attributes.integer("axis"));
  return {c.type(0), {DType::i32, c.shape(0)}};
}

std::vector<Type> infer_top_k(const InferContext& c) {
  const std::int64_t k = c.attributes.integer("k");
  if (c.shape(0).rank() < 1) shape_error(c, "needs an operand of rank 1 or more; got a scalar");
  if (k < 0 || k > c.shape(0).back())
    shape_error(c, fmt::format("k must lie between 0 and the last axis's size {}; got {} for shape {}",
                               c.shape(0).back(), k, c.shape(0).to_string()));
  require_int32_indices(c, c.shape(0).rank() - 1);
  Shape shape = c.shape(0);
  shape[static_cast<std::size_t>(shape.rank() - 1)] = k;
  return {{c.type(0).dtype, shape}, {DType::i32, shape}};
}

// x[i] is part of every sum from i on; so its adjoint is the sum from the other end.
std::vector<Value> gradient_cumsum(const GradientContext& c) {
  const Attributes& a = c.node.attributes;
  return {cumsum(c.dy(), static_cast<int>(a.integer("axis")), a.flag("exclusive"), !a.flag("reverse"))};
}

/// The values are x's elements at the indices that the op gives as its second result.
std::vector<Value> gradient_of_values(const GradientContext& c, std::int64_t axis) {
  if (!c.dy()) return {Value{}};
  const std::int64_t size = c.operand(0).shape()[static_cast<std::size_t>(axis)];
  return {put_along(c.dy(), c.result(1), static_cast<int>(axis), size)};
}

std::vector<Value> gradient_sort(const GradientContext& c) {
  return gradient_of_values(c, c.node.attributes.integer("axis"));
}

std::vector<Value> gradient_top_k(const GradientContext& c) {
  return gradient_of_values(c, c.operand(0).rank() - 1);
}

// Adds from the end where the sum is empty, one element after the other.
void evaluate_cumsum(const EvalContext& c) {
  const Attributes& a = c.node.attributes;
  const AxisView view(c.operands[0].shape(), a.integer("axis"));
  const bool exclusive = a.flag("exclusive"), reverse = a.flag("reverse");
  visit_types<Numbers>(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* x = c.operands[0].data<T>();
    T* y = c.results[0].data<T>();
    for (std::int64_t outer = 0; outer < view.outers; outer++)
      for (std::int64_t inner = 0; inner < view.inners; inner++) {
        T sum{};
        for (std::int64_t step = 0; step < view.size; step++) {
          const std::int64_t at = view.at(outer, reverse ? view.size - 1 - step : step, inner);
          if (exclusive) y[at] = sum;
          sum = wrapping_add(sum, x[at]);
          if (!exclusive) y[at] = sum;
        }
      }
  });
}

/// Writes x's elements in the order of `before` along an axis, as many as y holds, and their indices. Equal
/// elements keep their order; `before` puts NaN to one end and so is a strict weak order.
template <class T, class Before>
void order_along(const AxisView& x, const AxisView& y, const EvalContext& c, Before before) {
  const T* from = c.operands[0].data<T>();
  T* values = c.results[0].data<T>();
  auto* indices = c.results[1].data<std::int32_t>();
  std::vector<std::int32_t> order(static_cast<std::size_t>(x.size));
  for (std::int64_t outer = 0; outer < x.outers; outer++)
    for (std::int64_t inner = 0; inner < x.inners; inner++) {
      std::iota(order.begin(), order.end(), 0);
      std::sort(order.begin(), order.end(), [&](std::int32_t i, std::int32_t j) {
        const T a = from[x.at(outer, i, inner)], b = from[x.at(outer, j, inner)];
        return before(a, b) || (!before(b, a) && i < j);
      });
      for (std::int64_t i = 0; i < y.size; i++) {
        const std::int32_t source = order[static_cast<std::size_t>(i)];
        values[y.at(outer, i, inner)] = from[x.at(outer, source, inner)];
        indices[y.at(outer, i, inner)] = source;
      }
    }
}

void evaluate_sort(const EvalContext& c) {
  const AxisView view(c.operands[0].shape(), c.node.attributes.integer("axis"));
  const bool descending = c.node.attributes.flag("descending");
  visit(c.operands[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    order_along<T>(view, view, c, [descending](T a, T b) {
      if (is_nan(a) || is_nan(b)) return !is_nan(a) && is_nan(b);  // NaN last, either way
      return descending ? a > b : a < b;
    });
  });
}

void evaluate_top_k(const EvalContext& c) {
  const std::int64_t axis = c.operands[0].rank() - 1;
  const AxisView x(c.operands[0].shape(), axis), y(c.results[0].shape(), axis);
  visit(c.operands[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    order_along<T>(x, y, c, [](T a, T b) {
      if (is_nan(a) || is_nan(b)) return is_nan(a) && !is_nan(b);  // NaN first
      return a > b;
    });
  });
}

}  // namespace

Value cumsum(Value x, int axis, bool exclusive, bool reverse) {
  return emit(Op::cumsum, {x},
              {{"axis", axis_from_end(axis, x.rank())}, {"exclusive", exclusive}, {"reverse", reverse}});
}

std::vector<Value> sort(Value x, int axis, bool descending) {
  const Node& node =
      x.graph().emit(Op::sort, {x}, {{"axis", axis_from_end(axis, x.rank())}, {"descending", descending}});
  return {node.value(0), node.value(1)};
}

std::vector<Value> top_k(Value x, std::int64_t k) {
  const Node& node = x.graph().emit(Op::top_k, {x}, {{"k", k}});
  return {node.value(0), node.value(1)};
}

void register_order_ops(Registry& registry) {
  registry.add({.op = Op::cumsum,
                .op_class = OpClass::heavy,
                .operands = 1,
                .attributes = {{"axis", AttrKind::integer},
                               {"exclusive", AttrKind::flag},
                               {"reverse", AttrKind::flag}},
                .infer = infer_cumsum,
                .gradient = gradient_cumsum,
                .evaluate = evaluate_cumsum});
  registry.add({.op = Op::sort,
                .op_class = OpClass::heavy,
                .operands = 1,
                .attributes = {{"axis", AttrKind::integer}, {"descending", AttrKind::flag}},
                .infer = infer_sort,
                .gradient = gradient_sort,
                .evaluate = evaluate_sort});
  registry.add({.op = Op::top_k,
                .op_class = OpClass::heavy,
                .operands = 1,
                .attributes = {{"k", AttrKind::integer}},
                .infer = infer_top_k,
                .gradient = gradient_top_k,
                .evaluate = evaluate_top_k});
}

}  // namespace kiln::graph
