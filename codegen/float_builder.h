#pragma once
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>

#include <span>

#include "codegen/target.h"

namespace kiln::codegen {

/// Shorthand for writing formulas in one floating type, f32 or f64, scalar or vector: the type is that of the
/// value given. Nothing here sets fast-math flags. What a CPU has no instruction for (a fused multiply-add,
/// rounding to whole numbers) is made of others, without calls.
///
/// Instructions come in the order of the calls, and C++ leaves open which argument is evaluated first: at
/// most one argument of a call makes instructions, or code and its registers would hang on who compiled Kiln.
class FloatBuilder {
 public:
  FloatBuilder(llvm::IRBuilder<>& builder, const Target& target, llvm::Type* type)
      : b(builder), target(target), type(type), is_f64(type->getScalarType()->isDoubleTy()) {
    integer = type->getWithNewType(is_f64 ? b.getInt64Ty() : b.getInt32Ty());
  }

  using V = llvm::Value*;

  V c(double value) const { return llvm::ConstantFP::get(type, value); }
  V i(std::int64_t value) const {
    return llvm::ConstantInt::get(integer, static_cast<std::uint64_t>(value), true);
  }
  V infinity() const { return llvm::ConstantFP::getInfinity(type); }
  V nan() const { return llvm::ConstantFP::getNaN(type); }

  V add(V x, V y) { return b.CreateFAdd(x, y); }
  V sub(V x, V y) { return b.CreateFSub(x, y); }
  V mul(V x, V y) { return b.CreateFMul(x, y); }
  V div(V x, V y) { return b.CreateFDiv(x, y); }
  V neg(V x) { return b.CreateFNeg(x); }
  /// x * y + z, rounded once by CPUs that have an instruction for that, else twice.
  V fma(V x, V y, V z) {
    if (!target.has_fma) return add(mul(x, y), z);
    return b.CreateIntrinsic(llvm::Intrinsic::fma, {type}, {x, y, z});
  }
  /// z - x * y where that is exact with a fused multiply-add: z is a multiple of what the product's last bit
  /// is worth, and both nearly cancel.
  V residue(V z, V x, V y) {
    if (target.has_fma) return fma(neg(x), y, z);
    const Pair product = two_product(x, y);
    return sub(sub(z, product.high), product.low);
  }
  V abs(V x) { return b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x); }
  /// To the nearest whole number, halves to even. Without an instruction: adding 2^52 (f32: 2^23) pushes the
  /// fraction out. From there on all numbers are whole.
  V round(V x) {
    if (target.has_rounding) return b.CreateUnaryIntrinsic(llvm::Intrinsic::roundeven, x);
    V limit = c(is_f64 ? 0x1p52 : 0x1p23), size = abs(x);
    V whole = with_sign_of(sub(add(size, limit), limit), x);
    return select(lt(size, limit), whole, x);
  }
  V floor(V x) {
    if (target.has_rounding) return b.CreateUnaryIntrinsic(llvm::Intrinsic::floor, x);
    V nearest = round(x);
    V below = sub(nearest, c(1));
    return select(gt(nearest, x), below, nearest);
  }
  V ceil(V x) {
    if (target.has_rounding) return b.CreateUnaryIntrinsic(llvm::Intrinsic::ceil, x);
    return neg(floor(neg(x)));
  }
  V trunc(V x) {
    if (target.has_rounding) return b.CreateUnaryIntrinsic(llvm::Intrinsic::trunc, x);
    return with_sign_of(floor(abs(x)), x);
  }
  V with_sign_of(V magnitude, V sign) {
    return b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, magnitude, sign);
  }

  V select(V condition, V x, V y) { return b.CreateSelect(condition, x, y); }
  V lt(V x, V y) { return b.CreateFCmpOLT(x, y); }
  V gt(V x, V y) { return b.CreateFCmpOGT(x, y); }
  V ge(V x, V y) { return b.CreateFCmpOGE(x, y); }
  V eq(V x, V y) { return b.CreateFCmpOEQ(x, y); }
  V is_nan(V x) { return b.CreateFCmpUNO(x, x); }
  /// low <= x; NaN stays NaN
  V at_least(V x, double low) { return select(gt(c(low), x), c(low), x); }
  /// low <= x <= high; NaN stays NaN
  V clamp(V x, double low, double high) {
    x = at_least(x, low);
    return select(lt(c(high), x), c(high), x);
  }

  V bits(V x) { return b.CreateBitCast(x, integer); }
  V from_bits(V x) { return b.CreateBitCast(x, type); }
  /// A whole number as an integer. NaN gives some integer, the same wherever it is used.
  V to_integer(V x) { return b.CreateFreeze(b.CreateFPToSI(x, integer)); }
  V to_float(V x) { return b.CreateSIToFP(x, type); }
  /// 2^n for -bias < n <= bias.
  V power_of_two(V n) {
    return from_bits(b.CreateShl(b.CreateAdd(n, i(is_f64 ? 1023 : 127)), i(is_f64 ? 52 : 23)));
  }
  /// x 2^n, rounded once, for n down to below the subnormals and up to above infinity: in two steps.
  V scale(V x, V n) {
    V half = b.CreateAShr(n, i(1));
    V other = power_of_two(b.CreateSub(n, half));
    return mul(mul(x, power_of_two(half)), other);
  }

  /// Horner's rule; the constant coefficient first.
  V polynomial(V x, std::span<const double> coefficients) {
    V sum = c(coefficients.back());
    for (std::size_t k = coefficients.size() - 1; k-- > 0;) sum = fma(sum, x, c(coefficients[k]));
    return sum;
  }
  V polynomial(V x, std::span<const double> f32, std::span<const double> f64) {
    return polynomial(x, is_f64 ? f64 : f32);
  }

  /// A number as the unevaluated sum of two, the second at most half an ulp of the first.
  struct Pair {
    V high, low;
  };
  /// x + y exactly.
  Pair two_sum(V x, V y) {
    V s = add(x, y), t = sub(s, x);
    V of_y = sub(y, t);
    return {s, add(sub(x, sub(s, t)), of_y)};
  }
  /// The same where |x| >= |y| or x = 0.
  Pair fast_two_sum(V x, V y) {
    V s = add(x, y);
    return {s, sub(y, sub(s, x))};
  }
  /// x * y exactly. Without a fused multiply-add: by halves, whose products are exact (Dekker, 1971).
  Pair two_product(V x, V y) {
    V p = mul(x, y);
    if (target.has_fma) return {p, fma(x, y, neg(p))};
    const Pair u = halves(x), v = halves(y);
    V rest = sub(mul(u.high, v.high), p);
    V cross = mul(u.low, v.high);
    rest = add(add(rest, mul(u.high, v.low)), cross);
    return {p, add(rest, mul(u.low, v.low))};
  }

  llvm::IRBuilder<>& b;
  const Target& target;
  llvm::Type* type;
  llvm::Type* integer = nullptr;
  bool is_f64;

 private:
  /// x as a number of half its bits, rounded to nearest, and the signed rest, which has no more.
  Pair halves(V x) {
    const std::int64_t dropped = is_f64 ? 27 : 12;
    V rounded = b.CreateAdd(bits(x), i(std::int64_t{1} << (dropped - 1)));
    V high = from_bits(b.CreateAnd(rounded, i(-(std::int64_t{1} << dropped))));
    return {high, sub(x, high)};
  }
};

}  // namespace kiln::codegen
