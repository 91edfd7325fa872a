// Elementwise ops of two operands of one type and shape. No attributes.
#include <cmath>

#include "graph/ops/register.h"
#include "graph/ops/support.h"

namespace kiln::graph {
namespace {

template <class Types>
std::vector<Type> infer_binary(const InferContext& c) {
  require_type<Types>(c, 0);
  require_same_dtype(c, 0, 1);
  if (c.shape(0) != c.shape(1))
    shape_error(c, fmt::format("operands have the shapes {} and {}; the primitive needs equal ones",
                               c.shape(0).to_string(), c.shape(1).to_string()));
  return {c.type(0)};
}

/// y[i] = f(a[i], b[i]) for operands of the given types.
template <class Types, auto f>
void map2(const EvalContext& c) {
  visit_types<Types>(c.operands[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* a = c.operands[0].data<T>();
    const T* b = c.operands[1].data<T>();
    T* out = c.results[0].data<T>();
    for (std::int64_t i = 0; i < c.results[0].size(); i++) out[i] = f(a[i], b[i]);
  });
}

/// Arithmetic in floating point, or wrapping in integers.
template <class T, class F>
T arithmetic(T a, T b, F f) {
  if constexpr (std::is_floating_point_v<T>)
    return f(a, b);
  else
    return static_cast<T>(f(static_cast<Wrapping<T>>(a), static_cast<Wrapping<T>>(b)));
}

// Integer division is total: x / 0 = 0, x % 0 = 0, and the smallest number / -1 wraps to itself.
template <class T>
T divide(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) return a / b;
  if (b == T{0}) return T{0};
  if constexpr (std::is_signed_v<T>)
    if (b == T{-1}) return arithmetic(T{0}, a, [](auto x, auto y) { return x - y; });
  return static_cast<T>(a / b);
}
template <class T>
T remainder_of(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::fmod(a, b);
  } else {
    if (b == T{0}) return T{0};
    if constexpr (std::is_signed_v<T>)
      if (b == T{-1}) return T{0};
    return static_cast<T>(a % b);
  }
}

// NaN if either is NaN; +0 counts as larger than -0, so that the order of operands doesn't matter.
template <class T>
T larger(T a, T b) {
  if (a != a || b != b) return a != a ? a : b;
  if constexpr (std::is_floating_point_v<T>)
    if (a == b) return std::signbit(a) ? b : a;
  return a > b ? a : b;
}
template <class T>
T smaller(T a, T b) {
  if (a != a || b != b) return a != a ? a : b;
  if constexpr (std::is_floating_point_v<T>)
    if (a == b) return std::signbit(a) ? a : b;
  return a < b ? a : b;
}

template <class T, class F>
T shift(T a, T b, F f) {
  constexpr int width = sizeof(T) * 8;
  if (b < T{0} || b >= T{width}) return T{0};
  return static_cast<T>(f(static_cast<std::make_unsigned_t<T>>(a), static_cast<int>(b)));
}

std::vector<Value> div_gradient(const GradientContext& c) {
  const Value b = c.operand(1), da = c.dy() / b;
  return {da, -(da * c.result())};
}

// a % b = a - trunc(a / b) * b, and trunc is constant between its jumps.
std::vector<Value> rem_gradient(const GradientContext& c) {
  const Value a = c.operand(0), b = c.operand(1);
  return {c.dy(), -(c.dy() * round((a - c.result()) / b))};
}

// d/da = b a^(b-1). At a = b = 0 the formula says 0 * 0^-1; a^0 is constant, so the derivative is 0, which
// replacing b by 1 in the exponent gives. d/db = a^b log(a), and 0 where a <= 0 (no real derivative, or the
// limit 0), so that constant exponents don't bring NaN into the gradient of whatever else b came from.
std::vector<Value> pow_gradient(const GradientContext& c) {
  const Value a = c.operand(0), b = c.operand(1), d = c.dy();
  const Value zero = zeros_like(a), one = ones_like(a);
  const Value both_zero = bit_and(compare(a, zero, "eq"), compare(b, zero, "eq"));
  const Value safe_b = select(both_zero, one, b);
  // Selected, not multiplied by log(1): at a <= 0 the result may be infinite (0^-1) or NaN.
  const Value positive = compare(a, zero, "gt");
  const Value db = d * c.result() * log(select(positive, a, one));
  return {d * b * pow(a, safe_b - one), select(positive, db, zero)};
}

// The larger operand has all of the adjoint; equal ones have half each.
std::vector<Value> extremum_gradient(const GradientContext& c, std::string_view wins, std::string_view loses) {
  const Value a = c.operand(0), b = c.operand(1), d = c.dy();
  const Value shared = select(compare(a, b, "eq"), d * 0.5, zeros_like(d));
  return {select(compare(a, b, wins), d, shared), select(compare(a, b, loses), d, shared)};
}
std::vector<Value> maximum_gradient(const GradientContext& c) { return extremum_gradient(c, "gt", "lt"); }
std::vector<Value> minimum_gradient(const GradientContext& c) { return extremum_gradient(c, "lt", "gt"); }

struct BinaryOp {
  Op op;
  std::vector<Type> (*infer)(const InferContext&);
  void (*evaluate)(const EvalContext&);
  std::vector<Value> (*gradient)(const GradientContext&);  // null: integers only
};

#define GRADIENTS(first, second)                                                          \
  [](const GradientContext& c) -> std::vector<Value> {                                    \
    [[maybe_unused]] const Value d = c.dy(), a = c.operand(0), b = c.operand(1);          \
    return {first, second};                                                               \
  }
#define ELEMENT(expression) [](auto a, auto b) -> decltype(a) { return expression; }
#define ARITHMETIC(expression) ELEMENT(arithmetic(a, b, [](auto a, auto b) { return expression; }))

// clang-format off: it takes the products in the macros for pointers
const BinaryOp binary_ops[] = {
    {Op::add, infer_binary<Numbers>, map2<Numbers, ARITHMETIC(a + b)>, GRADIENTS(d, d)},
    {Op::sub, infer_binary<Numbers>, map2<Numbers, ARITHMETIC(a - b)>, GRADIENTS(d, -d)},
    {Op::mul, infer_binary<Numbers>, map2<Numbers, ARITHMETIC(a * b)>, GRADIENTS(d * b, d * a)},
    {Op::div, infer_binary<Numbers>, map2<Numbers, ELEMENT(divide(a, b))>, div_gradient},
    {Op::rem, infer_binary<Numbers>, map2<Numbers, ELEMENT(remainder_of(a, b))>, rem_gradient},
    {Op::pow, infer_binary<Floats>, map2<Floats, ELEMENT(std::pow(a, b))>, pow_gradient},
    {Op::maximum, infer_binary<Numbers>, map2<Numbers, ELEMENT(larger(a, b))>, maximum_gradient},
    {Op::minimum, infer_binary<Numbers>, map2<Numbers, ELEMENT(smaller(a, b))>, minimum_gradient},
    {Op::bit_and, infer_binary<Bits>, map2<Bits, ELEMENT(a & b)>, nullptr},
    {Op::bit_or, infer_binary<Bits>, map2<Bits, ELEMENT(a | b)>, nullptr},
    {Op::bit_xor, infer_binary<Bits>, map2<Bits, ELEMENT(a ^ b)>, nullptr},
    {Op::shift_left, infer_binary<Integers>,
     map2<Integers, ELEMENT(shift(a, b, [](auto a, int n) { return a << n; }))>, nullptr},
    {Op::shift_right, infer_binary<Integers>,
     map2<Integers, ELEMENT(shift(a, b, [](auto a, int n) { return a >> n; }))>, nullptr},
};
// clang-format on
#undef GRADIENTS
#undef ELEMENT
#undef ARITHMETIC

Value binary(Op op, Value a, Value b) {
  broadcast_together(op, {&a, &b});
  return emit(op, {a, b});
}

}  // namespace

void register_binary_ops(Registry& registry) {
  for (const BinaryOp& b : binary_ops)
    registry.add({b.op, OpClass::elementwise, 2, {}, b.infer, b.gradient, b.evaluate});
}

Value add(Value a, Value b) { return binary(Op::add, a, b); }
Value sub(Value a, Value b) { return binary(Op::sub, a, b); }
Value mul(Value a, Value b) { return binary(Op::mul, a, b); }
Value div(Value a, Value b) { return binary(Op::div, a, b); }
Value rem(Value a, Value b) { return binary(Op::rem, a, b); }
Value pow(Value a, Value b) { return binary(Op::pow, a, b); }
Value maximum(Value a, Value b) { return binary(Op::maximum, a, b); }
Value minimum(Value a, Value b) { return binary(Op::minimum, a, b); }
Value bit_and(Value a, Value b) { return binary(Op::bit_and, a, b); }
Value bit_or(Value a, Value b) { return binary(Op::bit_or, a, b); }
Value bit_xor(Value a, Value b) { return binary(Op::bit_xor, a, b); }
Value shift_left(Value a, Value b) { return binary(Op::shift_left, a, b); }
Value shift_right(Value a, Value b) { return binary(Op::shift_right, a, b); }

}  // namespace kiln::graph
