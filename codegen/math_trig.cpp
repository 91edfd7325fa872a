#include <llvm/IR/Module.h>

#include "codegen/math_parts.h"
#include "codegen/math_tables.h"

namespace kiln::codegen {
namespace {

/// x = n pi/2 + high + low with |high| <= pi/4 (a little more where n was rounded the other way); n mod 4
/// counts. All in f64.
struct Quadrant {
  V n, high, low;
};

/// Up to here the three-part constant is long enough, and n is exact.
constexpr double quick_bound = 0x1p30;

/// Subtracts n times a three-part pi/2. The first difference is exact (nearby numbers); the second is
/// taken with its rounding errors; the third part adds what is left, to 2^-134 absolute.
Quadrant quick_reduction(FloatBuilder& f, V x) {
  V n = f.round(f.mul(x, f.c(0x1.45f306dc9c883p-1)));
  V rest = f.residue(x, n, f.c(tables::half_pi[0]));
  const FloatBuilder::Pair product = f.two_product(n, f.c(tables::half_pi[1]));
  const FloatBuilder::Pair sum = f.two_sum(rest, f.neg(product.high));
  V low = f.fma(n, f.c(-tables::half_pi[2]), f.sub(sum.low, product.low));
  const FloatBuilder::Pair r = f.fast_two_sum(sum.high, low);
  return {f.to_integer(n), r.high, r.low};
}

/// A constant array: 64 zero bits, then the bits of 2/pi.
V two_over_pi_table(llvm::IRBuilder<>& b) {
  llvm::Module& module = *b.GetInsertBlock()->getModule();
  if (llvm::GlobalVariable* known = module.getNamedGlobal("two_over_pi")) return known;
  std::vector<std::uint64_t> words = {0};
  words.insert(words.end(), std::begin(tables::two_over_pi), std::end(tables::two_over_pi));
  llvm::Constant* data = llvm::ConstantDataArray::get(b.getContext(), words);
  return new llvm::GlobalVariable(module, data->getType(), true, llvm::GlobalValue::PrivateLinkage, data,
                                  "two_over_pi");
}

/// Payne and Hanek's reduction of one x >= 2^30 in integers. x = m 2^e with a whole m of 53 bits. Of the bits
/// of 2/pi, those that make m 2^e 2^-k a multiple of 4 can be dropped; the next 192 give x 2/pi mod 4 to 126
/// bits behind the point, of which at most 62 are leading zeros.
Quadrant exact_reduction(FloatBuilder& scalar, V x) {
  llvm::IRBuilder<>& b = scalar.b;
  llvm::Type* i64 = b.getInt64Ty();
  llvm::Type* i128 = b.getInt128Ty();
  V bits = scalar.bits(x);
  V mantissa = b.CreateOr(b.CreateAnd(bits, (std::uint64_t{1} << 52) - 1), std::uint64_t{1} << 52);
  V biased = b.CreateLShr(bits, 52);
  // e - 2 + 64 (the table's zeros); small x, which don't come here to stay, are kept inside the table.
  V start = b.CreateSub(biased, b.getInt64(1075 + 2 - 64));
  start = b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, start, b.getInt64(0));
  start = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, start, b.getInt64(1033));
  V word = b.CreateLShr(start, 6), shift = b.CreateAnd(start, 63);
  V table = two_over_pi_table(b);
  V words[4];
  for (std::uint64_t k = 0; k < 4; ++k) {
    words[k] = b.CreateLoad(i64, b.CreateGEP(i64, table, b.CreateAdd(word, b.getInt64(k))));
  }
  V window[3];
  for (int k = 0; k < 3; ++k) {
    window[k] = b.CreateIntrinsic(llvm::Intrinsic::fshl, {i64}, {words[k], words[k + 1], shift});
  }
  const auto wide = [&](V v) { return b.CreateZExt(v, i128); };
  V wide_mantissa = wide(mantissa);
  V lowest = b.CreateMul(wide_mantissa, wide(window[2]));
  V carry = b.CreateLShr(lowest, 64);
  V middle = b.CreateAdd(b.CreateMul(wide_mantissa, wide(window[1])), carry);
  carry = b.CreateTrunc(b.CreateLShr(middle, 64), i64);
  V top = b.CreateAdd(b.CreateMul(mantissa, window[0]), carry);
  V bottom = wide(b.CreateTrunc(middle, i64));
  V product = b.CreateOr(b.CreateShl(wide(top), 64), bottom);

  // Two bits of quadrant, 126 of fraction; rounded to the nearest quadrant the fraction is signed.
  V round_up = b.CreateAnd(b.CreateTrunc(b.CreateLShr(product, 125), i64), 1);
  V n = b.CreateAdd(b.CreateTrunc(b.CreateLShr(product, 126), i64), round_up);
  V fraction = b.CreateShl(product, 2);
  V negative = b.CreateICmpSLT(fraction, llvm::Constant::getNullValue(i128));
  V size = b.CreateSelect(negative, b.CreateNeg(fraction), fraction);
  V zeros = b.CreateAnd(b.CreateIntrinsic(llvm::Intrinsic::ctlz, {i128}, {size, b.getFalse()}), 127);
  V normal = b.CreateShl(size, zeros);
  V head = b.CreateAnd(b.CreateTrunc(b.CreateLShr(normal, 64), i64), ~std::uint64_t{0x7ff});
  V tail = b.CreateTrunc(b.CreateLShr(b.CreateSub(normal, b.CreateShl(wide(head), 64)), 11), i64);
  V exponent = b.CreateSub(b.getInt64(static_cast<std::uint64_t>(-64)), b.CreateTrunc(zeros, i64));
  V unit = scalar.power_of_two(exponent);
  unit = scalar.select(negative, scalar.neg(unit), unit);
  V high = scalar.mul(b.CreateUIToFP(head, scalar.type), unit);
  V low = scalar.mul(scalar.mul(b.CreateUIToFP(tail, scalar.type), unit), scalar.c(0x1p-53));

  const FloatBuilder::Pair r = scalar.two_product(high, scalar.c(tables::half_pi[0]));
  V rest = scalar.fma(high, scalar.c(tables::half_pi[1]), scalar.mul(low, scalar.c(tables::half_pi[0])));
  const FloatBuilder::Pair sum = scalar.fast_two_sum(r.high, scalar.add(r.low, rest));
  return {n, sum.high, sum.low};
}

/// The quick reduction; if any lane is too large for it, the exact one, lane by lane, for those lanes.
Quadrant reduce(FloatBuilder& f, V x) {
  llvm::IRBuilder<>& b = f.b;
  const Quadrant quick = quick_reduction(f, x);
  V finite = f.lt(x, f.infinity());
  V large = b.CreateAnd(f.gt(x, f.c(quick_bound)), finite);
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(f.type);

  llvm::BasicBlock* before = b.GetInsertBlock();
  llvm::Function* function = before->getParent();
  auto* exact = llvm::BasicBlock::Create(b.getContext(), "exact_reduction", function);
  auto* done = llvm::BasicBlock::Create(b.getContext(), "reduced", function);
  b.CreateCondBr(vector == nullptr ? large : b.CreateOrReduce(large), exact, done);
  b.SetInsertPoint(exact);
  Quadrant slow;
  if (vector == nullptr) {
    slow = exact_reduction(f, x);
  } else {
    FloatBuilder scalar(b, f.target, b.getDoubleTy());
    llvm::PHINode* lane = b.CreatePHI(b.getInt64Ty(), 2);
    llvm::PHINode* so_far[3];
    const V start[] = {quick.n, quick.high, quick.low};
    for (int k = 0; k < 3; ++k) {
      so_far[k] = b.CreatePHI(start[k]->getType(), 2);
      so_far[k]->addIncoming(start[k], before);
    }
    lane->addIncoming(b.getInt64(0), before);
    const Quadrant one = exact_reduction(scalar, b.CreateExtractElement(x, lane));
    V is_large = b.CreateExtractElement(large, lane);
    const V values[] = {one.n, one.high, one.low};
    V next[3];
    for (int k = 0; k < 3; ++k) {
      V kept = b.CreateSelect(is_large, values[k], b.CreateExtractElement(so_far[k], lane));
      next[k] = b.CreateInsertElement(so_far[k], kept, lane);
      so_far[k]->addIncoming(next[k], b.GetInsertBlock());
    }
    V next_lane = b.CreateAdd(lane, b.getInt64(1));
    lane->addIncoming(next_lane, b.GetInsertBlock());
    auto* finished = llvm::BasicBlock::Create(b.getContext(), "all_lanes", function);
    b.CreateCondBr(b.CreateICmpEQ(next_lane, b.getInt64(vector->getNumElements())), finished, exact);
    b.SetInsertPoint(finished);
    slow = {next[0], next[1], next[2]};
  }
  llvm::BasicBlock* after = b.GetInsertBlock();
  b.CreateBr(done);
  b.SetInsertPoint(done);
  const auto join = [&](V a, V c) {
    llvm::PHINode* phi = b.CreatePHI(a->getType(), 2);
    phi->addIncoming(a, before);
    phi->addIncoming(c, after);
    return phi;
  };
  return {join(quick.n, slow.n), join(quick.high, slow.high), join(quick.low, slow.low)};
}

}  // namespace

V emit_sin_cos(FloatBuilder& f, V x, bool cosine) {
  llvm::IRBuilder<>& b = f.b;
  V magnitude = f.abs(x);
  V high, low, n;
  if (f.is_f64) {
    const Quadrant q = reduce(f, magnitude);
    high = q.high;
    low = q.low;
    n = q.n;
  } else {
    FloatBuilder wide(b, f.target, f.type->getWithNewType(b.getDoubleTy()));
    const Quadrant q = reduce(wide, b.CreateFPExt(magnitude, wide.type));
    high = b.CreateFPTrunc(q.high, f.type);
    low = b.CreateFPTrunc(wide.sub(q.high, b.CreateFPExt(high, wide.type)), f.type);
    n = b.CreateTrunc(q.n, f.integer);
  }
  V z = f.mul(high, high);
  V half_z = f.mul(z, f.c(0.5));
  V of_low = f.mul(low, f.sub(f.c(1), half_z));
  V polynomial = f.polynomial(z, tables::sin_f32, tables::sin_f64);
  V sine_tail = f.fma(f.mul(z, high), polynomial, of_low);
  V sine = f.add(high, sine_tail);
  V rounded = f.sub(f.c(1), half_z);
  V lost = f.sub(f.sub(f.c(1), rounded), half_z);
  of_low = f.fma(f.neg(high), low, lost);
  polynomial = f.polynomial(z, tables::cos_f32, tables::cos_f64);
  V cosine_tail = f.fma(f.mul(z, z), polynomial, of_low);
  V cosine_value = f.add(rounded, cosine_tail);

  // sin(r + n pi/2) = sin r, cos r, -sin r, -cos r; the cosine is one quadrant ahead.
  if (cosine) n = b.CreateAdd(n, f.i(1));
  V odd = b.CreateICmpNE(b.CreateAnd(n, f.i(1)), f.i(0));
  V result = f.select(odd, cosine_value, sine);
  const int sign_bit = f.is_f64 ? 63 : 31;
  V sign = b.CreateShl(b.CreateAnd(n, f.i(2)), f.i(sign_bit - 1));
  if (!cosine) sign = b.CreateXor(sign, b.CreateAnd(f.bits(x), b.CreateShl(f.i(1), f.i(sign_bit))));
  return f.from_bits(b.CreateXor(f.bits(result), sign));
}

}  // namespace kiln::codegen
