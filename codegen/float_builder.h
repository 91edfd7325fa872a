#pragma once
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>

#include <span>

namespace kiln::codegen {

/// Shorthand for writing formulas in one floating type, f32 or f64, scalar or vector: the type is that of the
/// value given. Nothing here sets fast-math flags.
class FloatBuilder {
 public:
  FloatBuilder(llvm::IRBuilder<>& builder, llvm::Type* type)
      : b(builder), type(type), is_f64(type->getScalarType()->isDoubleTy()) {
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
  V fma(V x, V y, V z) { return b.CreateIntrinsic(llvm::Intrinsic::fma, {type}, {x, y, z}); }
  V abs(V x) { return b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x); }
  V round(V x) { return b.CreateUnaryIntrinsic(llvm::Intrinsic::roundeven, x); }
  V trunc(V x) { return b.CreateUnaryIntrinsic(llvm::Intrinsic::trunc, x); }
  V floor(V x) { return b.CreateUnaryIntrinsic(llvm::Intrinsic::floor, x); }
  V with_sign_of(V magnitude, V sign) {
    return b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, magnitude, sign);
  }

  V select(V condition, V x, V y) { return b.CreateSelect(condition, x, y); }
  V lt(V x, V y) { return b.CreateFCmpOLT(x, y); }
  V gt(V x, V y) { return b.CreateFCmpOGT(x, y); }
  V ge(V x, V y) { return b.CreateFCmpOGE(x, y); }
  V eq(V x, V y) { return b.CreateFCmpOEQ(x, y); }
  V is_nan(V x) { return b.CreateFCmpUNO(x, x); }
  /// low <= x <= high; NaN stays NaN
  V clamp(V x, double low, double high) {
    x = select(gt(c(low), x), c(low), x);
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
    return mul(mul(x, power_of_two(half)), power_of_two(b.CreateSub(n, half)));
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
    return {s, add(sub(x, sub(s, t)), sub(y, t))};
  }
  /// The same where |x| >= |y| or x = 0.
  Pair fast_two_sum(V x, V y) {
    V s = add(x, y);
    return {s, sub(y, sub(s, x))};
  }
  /// x * y exactly.
  Pair two_product(V x, V y) {
    V p = mul(x, y);
    return {p, fma(x, y, neg(p))};
  }

  llvm::IRBuilder<>& b;
  llvm::Type* type;
  llvm::Type* integer = nullptr;
  bool is_f64;
};

}  // namespace kiln::codegen
