#include "codegen/math.h"
#include "codegen/math_parts.h"
#include "codegen/math_tables.h"

namespace kiln::codegen {
namespace {

using Pair = FloatBuilder::Pair;

/// log(1 + fraction) + exponent ln(2) + correction, with s = fraction / (2 + fraction):
/// log(1 + fraction) = 2 atanh(s) = fraction - (h - s (h + s^2 P(s^2))), h = fraction^2 / 2.
/// Small terms are added first; only the last addition rounds at the result's size.
V log_sum(FloatBuilder& f, const Decomposed& x, V correction) {
  const std::span<const double> ln2 = f.is_f64 ? tables::ln2_split_f64 : tables::ln2_split_f32;
  V s = f.div(x.fraction, f.add(x.fraction, f.c(2)));
  V z = f.mul(s, s);
  V half_square = f.mul(f.mul(x.fraction, f.c(0.5)), x.fraction);
  V tail = f.mul(z, f.polynomial(z, tables::log_f32, tables::log_f64));
  V low = f.fma(x.exponent, f.c(ln2[1]), correction);
  V small = f.sub(half_square, f.fma(s, f.add(half_square, tail), low));
  return f.fma(x.exponent, f.c(ln2[0]), f.sub(x.fraction, small));
}

/// Infinity, 0 and negative arguments of a logarithm whose argument is `x` (log) or 1 + x (log1p).
V log_specials(FloatBuilder& f, V result, V x, double pole) {
  result = f.select(f.eq(x, f.infinity()), x, result);
  result = f.select(f.eq(x, f.c(pole)), f.neg(f.infinity()), result);
  return f.select(f.ge(x, f.c(pole)), result, f.nan());
}

}  // namespace

Decomposed decompose(FloatBuilder& f, V x) {
  const int mantissa_bits = f.is_f64 ? 52 : 23;
  // Subnormals are made normal first.
  V subnormal = f.lt(x, f.c(f.is_f64 ? 0x1p-1022 : 0x1p-126));
  const double shift = f.is_f64 ? 54 : 25;
  V normal = f.select(subnormal, f.mul(x, f.c(f.is_f64 ? 0x1p54 : 0x1p25)), x);
  V bits = f.bits(normal);
  // The exponent of x / sqrt(1/2), as bits: subtracting those of sqrt(1/2) borrows where the mantissa is
  // lower.
  const std::int64_t root_half = f.is_f64 ? 0x3fe6a09e667f3bcd : 0x3f3504f3;
  V exponent = f.b.CreateAShr(f.b.CreateSub(bits, f.i(root_half)), f.i(mantissa_bits));
  V one_plus = f.from_bits(f.b.CreateSub(bits, f.b.CreateShl(exponent, f.i(mantissa_bits))));
  V shifted = f.select(subnormal, f.c(shift), f.c(0));
  V adjusted = f.sub(f.to_float(exponent), shifted);
  return {f.sub(one_plus, f.c(1)), adjusted};
}

V emit_log(FloatBuilder& f, V x) {
  return log_specials(f, log_sum(f, decompose(f, x), f.c(0)), x, 0);
}

/// u = 1 + x rounds; what it lost, c, returns to first order: log(u + c) = log(u) + c / u.
V emit_log1p(FloatBuilder& f, V x) {
  V u = f.add(x, f.c(1));
  V of_x = f.sub(x, f.sub(u, f.c(1))), of_one = f.sub(f.c(1), f.sub(u, x));
  V lost = f.select(f.gt(x, f.c(1)), of_one, of_x);
  V correction = f.div(lost, u);
  V result = log_sum(f, decompose(f, u), correction);
  return f.with_sign_of(log_specials(f, result, x, -1), x);  // keeps -0
}

namespace {

/// log(x) in double-double to about 2^-64 relative, for finite x > 0: 2 s + 2/3 s^3 in pairs, the rest of
/// 2 atanh(s) in plain doubles.
Pair log_pair(FloatBuilder& f, V x) {
  const Decomposed d = decompose(f, x);
  const Pair sum = f.fast_two_sum(f.c(2), d.fraction);
  V s = f.div(d.fraction, sum.high);
  V rest_of_s = f.residue(d.fraction, s, sum.high);
  V s_low = f.div(f.fma(f.neg(s), sum.low, rest_of_s), sum.high);

  const Pair square = f.two_product(s, s);
  V z = square.high;
  V z_low = f.fma(f.mul(s, f.c(2)), s_low, square.low);
  const Pair cube = f.two_product(s, z);
  V cube_low = f.add(cube.low, f.fma(s, z_low, f.mul(s_low, z)));
  Pair third = f.two_product(cube.high, f.c(tables::two_thirds[0]));
  third.low = f.add(
      third.low, f.fma(cube_low, f.c(tables::two_thirds[0]), f.mul(cube.high, f.c(tables::two_thirds[1]))));
  V tail = f.polynomial(z, tables::log_tail_f64);
  V rest = f.mul(f.mul(cube.high, z), tail);

  // exponent ln2 + 2 s + third + rest, largest first.
  V head = f.mul(d.exponent, f.c(tables::ln2_split_f64[0]));  // exact
  const Pair first = f.two_sum(head, f.mul(s, f.c(2)));
  const Pair second = f.two_sum(first.high, third.high);
  V smallest = f.fma(d.exponent, f.c(tables::ln2_split_f64[1]), rest);
  V low = f.add(first.low, f.add(second.low, f.add(f.fma(s_low, f.c(2), third.low), smallest)));
  return f.fast_two_sum(second.high, low);
}

/// |x|^y without its special cases.
V positive_power(FloatBuilder& f, V x, V y) {
  const Pair l = log_pair(f, x);
  V high = log_specials(f, l.high, x, 0);
  const Pair product = f.two_product(y, high);
  return emit_exp(f, Pair{product.high, f.add(product.low, f.mul(y, l.low))});
}

}  // namespace

llvm::Value* emit_pow(llvm::IRBuilder<>& b, const Target& target, llvm::Value* x, llvm::Value* y) {
  FloatBuilder f(b, target, x->getType());
  V magnitude = f.abs(x);
  V power;
  if (f.is_f64) {
    power = positive_power(f, magnitude, y);
  } else {
    // In f64 plain logarithm and exponential have 29 bits to spare.
    llvm::Type* wide = x->getType()->getWithNewType(b.getDoubleTy());
    FloatBuilder g(b, target, wide);
    V log_x = emit_log(g, b.CreateFPExt(magnitude, wide));
    power = b.CreateFPTrunc(emit_exp(g, g.mul(b.CreateFPExt(y, wide), log_x)), x->getType());
  }
  V zero = f.c(0), one = f.c(1);
  // log(1) = 0 times an infinite y is NaN, but (+-1)^(+-inf) is 1.
  V is_number = b.CreateNot(f.is_nan(y));
  power = f.select(b.CreateAnd(f.eq(magnitude, one), is_number), one, power);

  V half = f.mul(y, f.c(0.5));
  V whole = f.eq(f.floor(y), y);
  V odd = b.CreateAnd(whole, b.CreateFCmpONE(f.floor(half), half));
  V negative = b.CreateICmpSLT(f.bits(x), f.i(0));
  V negated = f.neg(power);
  power = f.select(b.CreateAnd(negative, odd), negated, power);
  V finite = f.gt(x, f.neg(f.infinity()));
  V finite_negative = b.CreateAnd(f.lt(x, zero), finite);
  power = f.select(b.CreateAnd(finite_negative, b.CreateNot(whole)), f.nan(), power);
  V of_one = f.eq(x, one);
  return f.select(b.CreateOr(f.eq(y, zero), of_one), one, power);
}

}  // namespace kiln::codegen
