#include "codegen/math_parts.h"
#include "codegen/math_tables.h"

namespace kiln::codegen {
namespace {

/// x = n ln(2) + r with |r| <= ln(2) / 2. The head of ln(2) times n is exact, and so is its difference to x,
/// so r's error is that of the tail's product.
struct Reduced {
  V r, n;  ///< n: a whole number, as a float
};
Reduced reduce(FloatBuilder& f, V x) {
  const std::span<const double> ln2 = f.is_f64 ? tables::ln2_split_f64 : tables::ln2_split_f32;
  V n = f.round(f.mul(x, f.c(0x1.71547652b82fep+0)));
  V r = f.fma(n, f.c(-ln2[0]), x);
  return {f.fma(n, f.c(-ln2[1]), r), n};
}

/// e^r - 1 for a reduced r
V expm1_of_reduced(FloatBuilder& f, V r) {
  V tail = f.polynomial(r, tables::exp_f32, tables::exp_f64);
  return f.fma(f.mul(r, r), tail, r);
}

/// Beyond these exp is 0 or infinite, after rounding.
double lowest(const FloatBuilder& f) {
  return f.is_f64 ? -746 : -105;
}
double highest(const FloatBuilder& f) {
  return f.is_f64 ? 710 : 89;
}
/// From there down expm1 is -1, rounded.
double lowest_expm1(const FloatBuilder& f) {
  return f.is_f64 ? -40 : -20;
}

}  // namespace

V emit_exp(FloatBuilder& f, V x) {
  const Reduced a = reduce(f, f.clamp(x, lowest(f), highest(f)));
  V n = f.to_integer(a.n);
  return f.scale(f.add(expm1_of_reduced(f, a.r), f.c(1)), n);
}

V emit_exp(FloatBuilder& f, FloatBuilder::Pair x) {
  V high = f.clamp(x.high, lowest(f), highest(f));
  // Where the head was clamped (or infinite) the tail means nothing.
  V low = f.select(f.eq(high, x.high), x.low, f.c(0));
  const Reduced a = reduce(f, high);
  V n = f.to_integer(a.n);
  return f.scale(f.add(expm1_of_reduced(f, f.add(a.r, low)), f.c(1)), n);
}

V emit_expm1(FloatBuilder& f, V x) {
  const Reduced a = reduce(f, f.clamp(x, lowest_expm1(f), highest(f)));
  V tail = expm1_of_reduced(f, a.r);
  // 2^n (1 + tail) - 1 with 2^n halved, for n = 1024 (128) doesn't exist.
  V half = f.power_of_two(f.b.CreateSub(f.to_integer(a.n), f.i(1)));
  V scaled = f.mul(f.fma(half, tail, f.sub(half, f.c(0.5))), f.c(2));
  return f.with_sign_of(f.select(f.eq(a.n, f.c(0)), tail, scaled), x);  // keeps -0
}

/// tanh(x) = -t / (t + 2), t = expm1(-2 |x|): never above 1, and precise for small x. Powers of two up to 1
/// need none of emit_expm1's care.
V emit_tanh(FloatBuilder& f, V x) {
  const Reduced a = reduce(f, f.at_least(f.mul(f.abs(x), f.c(-2)), lowest_expm1(f)));
  V tail = expm1_of_reduced(f, a.r);
  V power = f.power_of_two(f.to_integer(a.n));
  V t = f.fma(power, tail, f.sub(power, f.c(1)));
  return f.with_sign_of(f.div(t, f.add(t, f.c(2))), x);
}

/// 1 / (1 + e^-x), and e^x / (1 + e^x) for negative x, which keeps small results precise.
V emit_sigmoid(FloatBuilder& f, V x) {
  V e = emit_exp(f, f.neg(f.abs(x)));
  V below = f.add(f.c(1), e);
  return f.div(f.select(f.lt(x, f.c(0)), e, f.c(1)), below);
}

/// x + x P(x^2) up to 1; from there 1 - erfc(x), erfc(x) = exp(P(x)), to where it rounds to 1.
V emit_erf(FloatBuilder& f, V x) {
  V a = f.abs(x);
  V small = f.fma(x, f.polynomial(f.mul(x, x), tables::erf_small_f32, tables::erf_small_f64), x);
  const double top = f.is_f64 ? 6 : 4, middle = f.is_f64 ? 3.5 : 2.5;
  V t = f.sub(f.select(f.gt(a, f.c(top)), f.c(top), a), f.c(middle));
  V large = f.sub(f.c(1), emit_exp(f, f.polynomial(t, tables::erf_large_f32, tables::erf_large_f64)));
  large = f.with_sign_of(large, x);
  return f.select(f.lt(a, f.c(1)), small, large);
}

}  // namespace kiln::codegen
