#include "codegen/elementwise.h"

#include <fmt/format.h>
#include <llvm/IR/Intrinsics.h>

#include "codegen/faults.h"
#include "codegen/float_builder.h"
#include "codegen/math.h"
#include "codegen/wide_integers.h"

namespace kiln::codegen {
namespace {

using graph::Op;
using llvm::Value;

bool is_signed(DType t) {
  return t == DType::i32 || t == DType::i64 || (t == DType::u8 && planted() == Fault::signed_bytes);
}

/// A constant (in all lanes the same) that isn't NaN.
bool is_known_number(const Value* x) {
  const auto* constant = llvm::dyn_cast<llvm::Constant>(x);
  if (constant != nullptr && constant->getType()->isVectorTy()) constant = constant->getSplatValue();
  const auto* number = llvm::dyn_cast_or_null<llvm::ConstantFP>(constant);
  return number != nullptr && !number->isNaN();
}

/// maximum(x, y) = y if y is NaN, else y > x ? y : x. With a constant y that is a number, that is one
/// instruction on x86 (which takes the second operand if either is NaN), and the bits are the same when the
/// constant comes from memory instead.
Value* extremum(llvm::IRBuilder<>& b, DType dtype, bool largest, Value* x, Value* y) {
  if (dtype == DType::bool_) return largest ? b.CreateOr(x, y) : b.CreateAnd(x, y);
  if (!is_float(dtype)) {
    const llvm::Intrinsic::ID id = is_signed(dtype)
                                       ? (largest ? llvm::Intrinsic::smax : llvm::Intrinsic::smin)
                                       : (largest ? llvm::Intrinsic::umax : llvm::Intrinsic::umin);
    return b.CreateBinaryIntrinsic(id, x, y);
  }
  Value* winner = b.CreateSelect(largest ? b.CreateFCmpOGT(y, x) : b.CreateFCmpOLT(y, x), y, x);
  if (planted() == Fault::nan_to_number) return b.CreateSelect(b.CreateFCmpUNO(x, x), y, winner);
  if (is_known_number(y)) return winner;
  return b.CreateSelect(b.CreateFCmpUNO(y, y), y, winner);
}

/// Truncated quotient and remainder, total: the divisors 0 and -1, which trap or overflow, are replaced.
Value* integer_division(llvm::IRBuilder<>& b, const Target& target, DType dtype, bool quotient, Value* x,
                        Value* y) {
  Value* zero = llvm::Constant::getNullValue(x->getType());
  Value* one = llvm::ConstantInt::get(x->getType(), 1);
  Value* by_zero = b.CreateICmpEQ(y, zero);
  if (!is_signed(dtype)) {
    Value* divisor = b.CreateSelect(by_zero, one, y);
    return b.CreateSelect(by_zero, zero, quotient ? b.CreateUDiv(x, divisor) : b.CreateURem(x, divisor));
  }
  Value* by_minus_one = b.CreateICmpEQ(y, llvm::Constant::getAllOnesValue(x->getType()));
  Value* divisor = b.CreateSelect(b.CreateOr(by_zero, by_minus_one), one, y);
  const bool is_wide = dtype == DType::i64 && needs_wide_arithmetic(target);
  Value* quotient_of_x = is_wide ? divide_wide(b, target, x, divisor) : b.CreateSDiv(x, divisor);
  if (!quotient) {
    Value* rest = is_wide ? b.CreateSub(x, b.CreateMul(quotient_of_x, divisor)) : b.CreateSRem(x, divisor);
    return b.CreateSelect(by_zero, zero, rest);
  }
  Value* result = b.CreateSelect(by_minus_one, b.CreateNeg(x), quotient_of_x);
  return b.CreateSelect(by_zero, zero, result);
}

Value* shift(llvm::IRBuilder<>& b, bool left, Value* x, Value* by) {
  const unsigned width = x->getType()->getScalarSizeInBits();
  Value* inside = b.CreateICmpULT(by, llvm::ConstantInt::get(x->getType(), width));
  Value* amount = b.CreateAnd(by, llvm::ConstantInt::get(x->getType(), width - 1));
  Value* shifted = left ? b.CreateShl(x, amount) : b.CreateLShr(x, amount);
  return b.CreateSelect(inside, shifted, llvm::Constant::getNullValue(x->getType()));
}

Value* sign(llvm::IRBuilder<>& b, DType dtype, Value* x) {
  llvm::Type* type = x->getType();
  Value* zero = llvm::Constant::getNullValue(type);
  if (is_float(dtype)) {
    Value* unit = b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, llvm::ConstantFP::get(type, 1), x);
    return b.CreateSelect(b.CreateFCmpONE(x, zero), unit, x);  // zeros and NaN stay
  }
  Value* one = llvm::ConstantInt::get(type, 1);
  if (!is_signed(dtype)) return b.CreateBinaryIntrinsic(llvm::Intrinsic::umin, x, one);
  Value* at_most_one = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, x, one);
  return b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, at_most_one, llvm::Constant::getAllOnesValue(type));
}

Value* unary(llvm::IRBuilder<>& b, const Target& target, Op op, DType dtype, Value* x) {
  const bool floating = is_float(dtype);
  if (!floating && (op == Op::floor || op == Op::ceil || op == Op::round)) return x;
  switch (op) {
    case Op::neg:
      return floating ? b.CreateFNeg(x) : b.CreateNeg(x);
    case Op::abs:
      if (floating) return b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x);
      return is_signed(dtype) ? b.CreateBinaryIntrinsic(llvm::Intrinsic::abs, x, b.getFalse()) : x;
    case Op::sign:
      return sign(b, dtype, x);
    case Op::floor:
      return FloatBuilder(b, target, x->getType()).floor(x);
    case Op::ceil:
      return FloatBuilder(b, target, x->getType()).ceil(x);
    case Op::round:
      return FloatBuilder(b, target, x->getType()).round(x);
    case Op::is_finite:
      if (!floating) return llvm::Constant::getAllOnesValue(llvm::CmpInst::makeCmpResultType(x->getType()));
      return b.CreateFCmpOLT(b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x),
                             llvm::ConstantFP::getInfinity(x->getType()));
    case Op::logical_not:
      return b.CreateNot(x);
    case Op::stop_gradient:
      return x;
    default:
      break;
  }
  if (!floating) {
    throw InternalError(
        fmt::format("code for {} of {} doesn't exist", graph::op_name(op), short_name(dtype)));
  }
  return emit_math(b, target, op, x);
}

Value* binary(llvm::IRBuilder<>& b, const Target& target, Op op, DType dtype, Value* x, Value* y) {
  const bool floating = is_float(dtype);
  switch (op) {
    case Op::add:
      return floating ? b.CreateFAdd(x, y) : b.CreateAdd(x, y);
    case Op::sub:
      return floating ? b.CreateFSub(x, y) : b.CreateSub(x, y);
    case Op::mul:
      return floating ? b.CreateFMul(x, y) : b.CreateMul(x, y);
    case Op::div:
      return floating ? b.CreateFDiv(x, y) : integer_division(b, target, dtype, true, x, y);
    case Op::rem:
      return floating ? emit_remainder(b, target, x, y) : integer_division(b, target, dtype, false, x, y);
    case Op::maximum:
      return extremum(b, dtype, true, x, y);
    case Op::minimum:
      return extremum(b, dtype, false, x, y);
    case Op::bit_and:
      return b.CreateAnd(x, y);
    case Op::bit_or:
      return b.CreateOr(x, y);
    case Op::bit_xor:
      return b.CreateXor(x, y);
    case Op::shift_left:
      return shift(b, true, x, y);
    case Op::shift_right:
      return shift(b, false, x, y);
    case Op::pow:
      if (floating) return emit_pow(b, target, x, y);
      break;
    default:
      break;
  }
  throw InternalError(fmt::format("code for {} of {} doesn't exist", graph::op_name(op), short_name(dtype)));
}

llvm::Type* with_lanes(llvm::Type* element, int lanes) {
  return lanes == 1 ? element : llvm::FixedVectorType::get(element, static_cast<unsigned>(lanes));
}

/// `element` with the lanes of `like`.
llvm::Type* shaped_like(llvm::Type* like, llvm::Type* element) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(like);
  return vector == nullptr ? element : llvm::FixedVectorType::get(element, vector->getNumElements());
}

}  // namespace

llvm::Type* value_type(llvm::LLVMContext& context, DType dtype, int lanes) {
  if (dtype == DType::bool_) return with_lanes(llvm::Type::getInt1Ty(context), lanes);
  return memory_type(context, dtype, lanes);
}

llvm::Type* memory_type(llvm::LLVMContext& context, DType dtype, int lanes) {
  switch (dtype) {
    case DType::f64:
      return with_lanes(llvm::Type::getDoubleTy(context), lanes);
    case DType::i32:
      return with_lanes(llvm::Type::getInt32Ty(context), lanes);
    case DType::i64:
      return with_lanes(llvm::Type::getInt64Ty(context), lanes);
    case DType::u8:
    case DType::bool_:
      return with_lanes(llvm::Type::getInt8Ty(context), lanes);
    case DType::f32:
      break;
  }
  return with_lanes(llvm::Type::getFloatTy(context), lanes);
}

llvm::Value* emit_elementwise(llvm::IRBuilder<>& b, const Target& target, Op op, DType dtype,
                              std::span<Value* const> x) {
  if (op == Op::select && x.size() == 3) {
    const bool swapped = planted() == Fault::swapped_select;
    return b.CreateSelect(x[0], x[swapped ? 2 : 1], x[swapped ? 1 : 2]);
  }
  if (x.size() == 1) return unary(b, target, op, dtype, x[0]);
  if (x.size() == 2) return binary(b, target, op, dtype, x[0], x[1]);
  throw InternalError(
      fmt::format("code for {} with {} operands doesn't exist", graph::op_name(op), x.size()));
}

llvm::Value* emit_compare(llvm::IRBuilder<>& b, std::string_view direction, DType dtype, Value* x, Value* y) {
  using P = llvm::CmpInst::Predicate;
  struct Row {
    std::string_view direction;
    P floating, with_sign, without_sign;
  };
  static constexpr Row rows[] = {
      {"eq", P::FCMP_OEQ, P::ICMP_EQ, P::ICMP_EQ},   {"ne", P::FCMP_UNE, P::ICMP_NE, P::ICMP_NE},
      {"lt", P::FCMP_OLT, P::ICMP_SLT, P::ICMP_ULT}, {"le", P::FCMP_OLE, P::ICMP_SLE, P::ICMP_ULE},
      {"gt", P::FCMP_OGT, P::ICMP_SGT, P::ICMP_UGT}, {"ge", P::FCMP_OGE, P::ICMP_SGE, P::ICMP_UGE},
  };
  for (const Row& row : rows) {
    if (row.direction != direction) continue;
    if (is_float(dtype)) return b.CreateFCmp(row.floating, x, y);
    return b.CreateICmp(is_signed(dtype) ? row.with_sign : row.without_sign, x, y);
  }
  throw InternalError(fmt::format("code for compare by \"{}\" doesn't exist", direction));
}

llvm::Value* emit_convert(llvm::IRBuilder<>& b, const Target& target, Value* x, DType from, DType to) {
  if (from == to) return x;
  llvm::Type* type = shaped_like(x->getType(), value_type(b.getContext(), to));
  if (to == DType::bool_) {
    Value* zero = llvm::Constant::getNullValue(x->getType());
    return is_float(from) ? b.CreateFCmpUNE(x, zero) : b.CreateICmpNE(x, zero);
  }
  if (is_float(from)) {
    if (to == DType::f64) return b.CreateFPExt(x, type);
    if (to == DType::f32) return b.CreateFPTrunc(x, type);
    return b.CreateIntrinsic(is_signed(to) ? llvm::Intrinsic::fptosi_sat : llvm::Intrinsic::fptoui_sat,
                             {type, x->getType()}, {x});
  }
  if (from == DType::i64 && to == DType::f32 && needs_wide_arithmetic(target)) return convert_wide(b, x);
  if (is_float(to)) return is_signed(from) ? b.CreateSIToFP(x, type) : b.CreateUIToFP(x, type);
  return is_signed(from) ? b.CreateSExtOrTrunc(x, type) : b.CreateZExtOrTrunc(x, type);
}

llvm::Value* emit_fma(llvm::IRBuilder<>& b, const Target& target, Value* x, Value* y, Value* z) {
  return FloatBuilder(b, target, x->getType()).fma(x, y, z);
}

}  // namespace kiln::codegen
