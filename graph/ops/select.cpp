// compare {direction} and select.
#include <array>
#include <functional>

#include "graph/ops/register.h"
#include "graph/ops/support.h"

namespace kiln::graph {
namespace {

constexpr std::array<std::string_view, 6> directions = {"eq", "ne", "lt", "le", "gt", "ge"};

void require_same_shape(const InferContext& c, int i, int j) {
  if (c.shape(i) != c.shape(j))
    shape_error(c, fmt::format("operands {} and {} have the shapes {} and {}; the primitive needs equal ones",
                               i, j, c.shape(i).to_string(), c.shape(j).to_string()));
}

std::vector<Type> infer_compare(const InferContext& c) {
  const std::string& direction = c.attributes.string("direction");
  if (std::find(directions.begin(), directions.end(), direction) == directions.end())
    throw ValueError(fmt::format("compare: the direction is \"{}\"; it must be one of {}", direction,
                                 fmt::join(directions, ", ")));
  require_same_dtype(c, 0, 1);
  require_same_shape(c, 0, 1);
  return {{DType::bool_, c.shape(0)}};
}

void evaluate_compare(const EvalContext& c) {
  const std::string& direction = c.node.attributes.string("direction");
  kiln::visit(c.operands[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* a = c.operands[0].data<T>();
    const T* b = c.operands[1].data<T>();
    bool* out = c.results[0].data<bool>();
    const auto fill = [&](auto holds) {
      for (std::int64_t i = 0; i < c.results[0].size(); i++) out[i] = holds(a[i], b[i]);
    };
    if (direction == "eq") fill(std::equal_to<>());
    if (direction == "ne") fill(std::not_equal_to<>());
    if (direction == "lt") fill(std::less<>());
    if (direction == "le") fill(std::less_equal<>());
    if (direction == "gt") fill(std::greater<>());
    if (direction == "ge") fill(std::greater_equal<>());
  });
}

std::vector<Type> infer_select(const InferContext& c) {
  require_type<Bools>(c, 0);
  require_same_dtype(c, 1, 2);
  require_same_shape(c, 0, 1);
  require_same_shape(c, 1, 2);
  return {c.type(1)};
}

// The adjoint is selected, not multiplied by 0: an infinite one must not become NaN on the other side.
std::vector<Value> select_gradient(const GradientContext& c) {
  const Value pred = c.operand(0), d = c.dy(), zero = zeros_like(d);
  return {{}, select(pred, d, zero), select(pred, zero, d)};
}

void evaluate_select(const EvalContext& c) {
  kiln::visit(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const bool* pred = c.operands[0].data<bool>();
    const T* a = c.operands[1].data<T>();
    const T* b = c.operands[2].data<T>();
    T* out = c.results[0].data<T>();
    for (std::int64_t i = 0; i < c.results[0].size(); i++) out[i] = pred[i] ? a[i] : b[i];
  });
}

}  // namespace

void register_select_ops(Registry& registry) {
  registry.add({Op::compare,
                OpClass::elementwise,
                2,
                {{"direction", AttrKind::string}},
                infer_compare,
                nullptr,
                evaluate_compare});
  registry.add({Op::select, OpClass::elementwise, 3, {}, infer_select, select_gradient, evaluate_select});
}

Value compare(Value a, Value b, std::string_view direction) {
  broadcast_together(Op::compare, {&a, &b});
  return emit(Op::compare, {a, b}, {{"direction", std::string(direction)}});
}

Value select(Value pred, Value a, Value b) {
  broadcast_together(Op::select, {&pred, &a, &b});
  return emit(Op::select, {pred, a, b});
}

}  // namespace kiln::graph
