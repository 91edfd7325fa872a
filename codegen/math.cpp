#include "codegen/math.h"

#include <fmt/format.h>

#include "codegen/emit.h"
#include "codegen/math_parts.h"

namespace kiln::codegen {

using graph::Op;

namespace {

llvm::Value* inline_math(llvm::IRBuilder<>& b, const Target& target, Op op, llvm::Value* x) {
  FloatBuilder f(b, target, x->getType());
  switch (op) {
    case Op::exp:
      return emit_exp(f, x);
    case Op::expm1:
      return emit_expm1(f, x);
    case Op::log:
      return emit_log(f, x);
    case Op::log1p:
      return emit_log1p(f, x);
    case Op::sqrt:
      return b.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, x);
    case Op::rsqrt:
      return f.div(f.c(1), b.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, x));
    case Op::tanh:
      return emit_tanh(f, x);
    case Op::sigmoid:
      return emit_sigmoid(f, x);
    case Op::erf:
      return emit_erf(f, x);
    case Op::sin:
      return emit_sin_cos(f, x, false);
    case Op::cos:
      return emit_sin_cos(f, x, true);
    default:
      break;
  }
  throw InternalError(fmt::format("code for {} of a floating type doesn't exist", graph::op_name(op)));
}

/// The same by a function of the module, which all that computes it calls.
llvm::Value* call_math(llvm::IRBuilder<>& b, const Target& target, Op op, llvm::Value* x) {
  llvm::Module& module = *b.GetInsertBlock()->getModule();
  const std::string name =
      fmt::format("{}_f{}", graph::op_name(op), x->getType()->getPrimitiveSizeInBits().getFixedValue());
  llvm::Function* function = module.getFunction(name);
  if (function == nullptr) {
    auto* type = llvm::FunctionType::get(x->getType(), {x->getType()}, false);
    function = llvm::Function::Create(type, llvm::Function::InternalLinkage, name, module);
    set_function_attributes(*function, target);
    function->addFnAttr(llvm::Attribute::NoInline);
    function->addFnAttr(llvm::Attribute::OptimizeForSize);
    function->setOnlyReadsMemory();  // a table of constants
    llvm::IRBuilder<> body(llvm::BasicBlock::Create(b.getContext(), "entry", function));
    body.CreateRet(inline_math(body, target, op, function->getArg(0)));
  }
  return b.CreateCall(function, {x});
}

}  // namespace

llvm::Value* emit_math(llvm::IRBuilder<>& b, const Target& target, Op op, llvm::Value* x) {
  // Hundreds of bytes each, but for what is one instruction.
  const bool is_long = op != Op::sqrt && op != Op::rsqrt;
  return is_long && target.is_small && !x->getType()->isVectorTy() ? call_math(b, target, op, x)
                                                                   : inline_math(b, target, op, x);
}

namespace {

/// |x| mod |y| in f64 by long division, 52 bits of quotient a step. With q = x / y rounded, x - q y is exact:
/// it has at most 53 bits. It may be negative; then y is added at the end.
V long_division(FloatBuilder& f, V x, V y) {
  llvm::IRBuilder<>& b = f.b;
  // Where a quotient would overflow, multiples of y are taken instead.
  V multiples[] = {y, nullptr, nullptr, nullptr};
  for (int k = 1; k < 4; ++k) multiples[k] = f.mul(multiples[k - 1], f.c(0x1p512));

  llvm::BasicBlock* before = b.GetInsertBlock();
  llvm::Function* function = before->getParent();
  auto* head = llvm::BasicBlock::Create(b.getContext(), "remainder", function);
  auto* step = llvm::BasicBlock::Create(b.getContext(), "remainder.step", function);
  auto* done = llvm::BasicBlock::Create(b.getContext(), "remainder.done", function);
  b.CreateBr(head);
  b.SetInsertPoint(head);
  llvm::PHINode* rest = b.CreatePHI(f.type, 2);
  rest->addIncoming(x, before);
  V unfinished = f.ge(f.abs(rest), y);
  b.CreateCondBr(f.type->isVectorTy() ? b.CreateOrReduce(unfinished) : unfinished, step, done);

  b.SetInsertPoint(step);
  V divisor = y;
  for (int k = 0; k < 3; ++k) {
    V too_small = f.gt(f.abs(f.div(rest, multiples[k])), f.c(0x1p1000));
    divisor = f.select(too_small, multiples[k + 1], divisor);
  }
  V quotient = f.trunc(f.div(rest, divisor));
  // A quarter of the largest numbers, so that q y doesn't overflow where it is computed apart.
  V huge = f.gt(f.abs(rest), f.c(0x1p1000));
  V down = f.select(huge, f.c(0.25), f.c(1)), up = f.select(huge, f.c(4), f.c(1));
  V scaled = f.mul(divisor, down);
  V next = f.mul(f.residue(f.mul(rest, down), quotient, scaled), up);
  rest->addIncoming(f.select(unfinished, next, rest), step);
  b.CreateBr(head);

  b.SetInsertPoint(done);
  V above = f.add(rest, y);
  return f.select(f.lt(rest, f.c(0)), above, rest);
}

}  // namespace

llvm::Value* emit_remainder(llvm::IRBuilder<>& b, const Target& target, llvm::Value* x, llvm::Value* y) {
  FloatBuilder narrow(b, target, x->getType());
  FloatBuilder f(b, target, x->getType()->getWithNewType(b.getDoubleTy()));
  V a = f.abs(narrow.is_f64 ? x : b.CreateFPExt(x, f.type));
  V d = f.abs(narrow.is_f64 ? y : b.CreateFPExt(y, f.type));
  V positive = f.gt(d, f.c(0));
  V valid = b.CreateAnd(f.lt(a, f.infinity()), positive);
  V divisor = f.select(valid, d, f.c(1));
  V rest = long_division(f, f.select(valid, a, f.c(0)), divisor);
  rest = f.select(valid, rest, f.nan());
  return narrow.with_sign_of(narrow.is_f64 ? rest : b.CreateFPTrunc(rest, narrow.type), x);
}

}  // namespace kiln::codegen
