// Elementwise ops of one operand. No attributes, but for convert {dtype}.
#include <cmath>
#include <numbers>

#include "graph/ops/register.h"
#include "graph/ops/support.h"

namespace kiln::graph {
namespace {

template <class Types>
std::vector<Type> infer_same(const InferContext& c) {
  require_type<Types>(c, 0);
  return {c.type(0)};
}

template <class Types>
std::vector<Type> infer_bool(const InferContext& c) {
  require_type<Types>(c, 0);
  return {{DType::bool_, c.shape(0)}};
}

std::vector<Type> infer_convert(const InferContext& c) { return {{c.attributes.dtype("dtype"), c.shape(0)}}; }

/// y[i] = f(x[i]) for x of the given types; f's type is the result's.
template <class Types, auto f>
void map(const EvalContext& c) {
  const Tensor& x = c.operands[0];
  visit_types<Types>(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using R = decltype(f(zero));
    const T* in = x.data<T>();
    R* out = c.results[0].data<R>();
    for (std::int64_t i = 0; i < x.size(); i++) out[i] = f(in[i]);
  });
}

template <class T>
T negate(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return -x;
  else
    return static_cast<T>(Wrapping<T>{0} - static_cast<Wrapping<T>>(x));
}

template <class T>
T sign_of(T x) {
  if (x != x) return x;
  return x > T{0} ? T{1} : x < T{0} ? negate(T{1}) : x;  // keeps -0
}

// In two branches, neither of which overflows: 1 / (1 + exp(-x)) is 0 where the result is a small number.
template <class T>
T logistic(T x) {
  if (x >= T{0}) return T{1} / (T{1} + std::exp(-x));
  const T e = std::exp(x);
  return e / (T{1} + e);
}

template <class To, class From>
To convert_element(From x) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != From{0};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // The limits of To, rounded to From, are powers of two or exact, so that these comparisons are too.
    if (x != x) return To{0};
    if (x <= static_cast<From>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
    if (x >= static_cast<From>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
    return static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

void evaluate_convert(const EvalContext& c) {
  kiln::visit(c.operands[0].dtype(), [&](auto from) {
    kiln::visit(c.results[0].dtype(), [&](auto to) {
      const auto* in = c.operands[0].data<decltype(from)>();
      auto* out = c.results[0].data<decltype(to)>();
      for (std::int64_t i = 0; i < c.results[0].size(); i++)
        out[i] = convert_element<decltype(to), decltype(from)>(in[i]);
    });
  });
}

using Gradient = std::vector<Value> (*)(const GradientContext&);

struct UnaryOp {
  Op op;
  std::vector<Type> (*infer)(const InferContext&);
  void (*evaluate)(const EvalContext&);
  Gradient gradient;  // null: constant between jumps, so that no adjoint flows
};

// Shorthands for the table: x and y are operand and result, d the adjoint of y.
#define GRADIENT(expression)                                                                \
  [](const GradientContext& c) -> std::vector<Value> {                                      \
    [[maybe_unused]] const Value d = c.dy(), x = c.operand(0), y = c.result();              \
    return {expression};                                                                    \
  }
#define ELEMENT(expression) [](auto x) { return expression; }

const double two_over_sqrt_pi = 2 * std::numbers::inv_sqrtpi;

// clang-format off: it takes the products in the macros for pointers
const UnaryOp unary_ops[] = {
    {Op::neg, infer_same<Numbers>, map<Numbers, ELEMENT(negate(x))>, GRADIENT(-d)},
    {Op::abs, infer_same<Numbers>, map<Numbers, ELEMENT(x < 0 ? negate(x) : x == 0 ? decltype(x){0} : x)>,
     GRADIENT(d * sign(x))},
    {Op::sign, infer_same<Numbers>, map<Numbers, ELEMENT(sign_of(x))>, nullptr},
    {Op::exp, infer_same<Floats>, map<Floats, ELEMENT(std::exp(x))>, GRADIENT(d * y)},
    {Op::expm1, infer_same<Floats>, map<Floats, ELEMENT(std::expm1(x))>, GRADIENT(d * exp(x))},
    {Op::log, infer_same<Floats>, map<Floats, ELEMENT(std::log(x))>, GRADIENT(d / x)},
    {Op::log1p, infer_same<Floats>, map<Floats, ELEMENT(std::log1p(x))>, GRADIENT(d / (x + 1.0))},
    {Op::sqrt, infer_same<Floats>, map<Floats, ELEMENT(std::sqrt(x))>, GRADIENT(d * 0.5 / y)},
    {Op::rsqrt, infer_same<Floats>, map<Floats, ELEMENT(1 / std::sqrt(x))>, GRADIENT(d * (y * y * y) * -0.5)},
    {Op::tanh, infer_same<Floats>, map<Floats, ELEMENT(std::tanh(x))>, GRADIENT(d * (1.0 - y * y))},
    {Op::sigmoid, infer_same<Floats>, map<Floats, ELEMENT(logistic(x))>, GRADIENT(d * (y * (1.0 - y)))},
    {Op::erf, infer_same<Floats>, map<Floats, ELEMENT(std::erf(x))>,
     GRADIENT(d * exp(-(x * x)) * two_over_sqrt_pi)},
    {Op::sin, infer_same<Floats>, map<Floats, ELEMENT(std::sin(x))>, GRADIENT(d * cos(x))},
    {Op::cos, infer_same<Floats>, map<Floats, ELEMENT(std::cos(x))>, GRADIENT(-(d * sin(x)))},
    {Op::floor, infer_same<Floats>, map<Floats, ELEMENT(std::floor(x))>, nullptr},
    {Op::ceil, infer_same<Floats>, map<Floats, ELEMENT(std::ceil(x))>, nullptr},
    {Op::round, infer_same<Floats>, map<Floats, ELEMENT(std::nearbyint(x))>, nullptr},  // halves to even
    {Op::is_finite, infer_bool<Floats>, map<Floats, ELEMENT(std::isfinite(x))>, nullptr},
    {Op::logical_not, infer_bool<Bools>, map<Bools, ELEMENT(!x)>, nullptr},
    {Op::stop_gradient, infer_same<AnyType>, map<AnyType, ELEMENT(x)>, nullptr},
};
// clang-format on
#undef GRADIENT
#undef ELEMENT

std::vector<Value> convert_gradient(const GradientContext& c) {
  const Value x = c.operand(0);
  if (!is_float(x.dtype()) || !c.dy()) return {{}};
  return {convert(c.dy(), x.dtype())};
}

}  // namespace

void register_unary_ops(Registry& registry) {
  for (const UnaryOp& u : unary_ops)
    registry.add({u.op, OpClass::elementwise, 1, {}, u.infer, u.gradient, u.evaluate});
  registry.add({Op::convert, OpClass::elementwise, 1, {{"dtype", AttrKind::dtype}}, infer_convert, convert_gradient,
                evaluate_convert});
}

Value neg(Value x) { return emit(Op::neg, {x}); }
Value abs(Value x) { return emit(Op::abs, {x}); }
Value sign(Value x) { return emit(Op::sign, {x}); }
Value exp(Value x) { return emit(Op::exp, {x}); }
Value expm1(Value x) { return emit(Op::expm1, {x}); }
Value log(Value x) { return emit(Op::log, {x}); }
Value log1p(Value x) { return emit(Op::log1p, {x}); }
Value sqrt(Value x) { return emit(Op::sqrt, {x}); }
Value rsqrt(Value x) { return emit(Op::rsqrt, {x}); }
Value tanh(Value x) { return emit(Op::tanh, {x}); }
Value sigmoid(Value x) { return emit(Op::sigmoid, {x}); }
Value erf(Value x) { return emit(Op::erf, {x}); }
Value sin(Value x) { return emit(Op::sin, {x}); }
Value cos(Value x) { return emit(Op::cos, {x}); }
Value floor(Value x) { return emit(Op::floor, {x}); }
Value ceil(Value x) { return emit(Op::ceil, {x}); }
Value round(Value x) { return emit(Op::round, {x}); }
Value is_finite(Value x) { return emit(Op::is_finite, {x}); }
Value logical_not(Value x) { return emit(Op::logical_not, {x}); }
Value stop_gradient(Value x) { return emit(Op::stop_gradient, {x}); }
Value convert(Value x, DType dtype) { return x.dtype() == dtype ? x : emit(Op::convert, {x}, {{"dtype", dtype}}); }

}  // namespace kiln::graph
