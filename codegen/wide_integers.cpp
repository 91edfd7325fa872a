#include "codegen/wide_integers.h"

#include "codegen/emit.h"

namespace kiln::codegen {
namespace {

using llvm::Value;

/// Bit by bit, from the highest: a quotient as the device would find it on paper.
llvm::Function* division_function(llvm::Module& module, const Target& target) {
  const char* name = "divide_i64";
  if (llvm::Function* known = module.getFunction(name)) return known;
  llvm::LLVMContext& context = module.getContext();
  llvm::Type* i64 = llvm::Type::getInt64Ty(context);
  auto* type = llvm::FunctionType::get(i64, {i64, i64}, false);
  auto* function = llvm::Function::Create(type, llvm::Function::InternalLinkage, name, module);
  set_function_attributes(*function, target);
  function->addFnAttr(llvm::Attribute::NoInline);
  function->addFnAttr(llvm::Attribute::OptimizeForSize);
  function->setDoesNotAccessMemory();

  auto* entry = llvm::BasicBlock::Create(context, "entry", function);
  auto* head = llvm::BasicBlock::Create(context, "bit", function);
  auto* done = llvm::BasicBlock::Create(context, "done", function);
  llvm::IRBuilder<> b(entry);
  const auto size = [&](Value* x) {
    return b.CreateSelect(b.CreateICmpSLT(x, b.getInt64(0)), b.CreateNeg(x), x);
  };
  Value *x = function->getArg(0), *y = function->getArg(1);
  Value *of_x = size(x), *of_y = size(y);
  b.CreateBr(head);

  b.SetInsertPoint(head);
  llvm::PHINode *left = b.CreatePHI(i64, 2), *rest = b.CreatePHI(i64, 2), *quotient = b.CreatePHI(i64, 2);
  llvm::PHINode* bits = b.CreatePHI(b.getInt32Ty(), 2);
  Value* next_rest = b.CreateOr(b.CreateShl(rest, 1), b.CreateLShr(left, 63));
  Value* fits = b.CreateICmpUGE(next_rest, of_y);
  next_rest = b.CreateSelect(fits, b.CreateSub(next_rest, of_y), next_rest);
  Value* next_quotient = b.CreateOr(b.CreateShl(quotient, 1), b.CreateZExt(fits, i64));
  Value* next_left = b.CreateShl(left, 1);
  Value* next_bits = b.CreateSub(bits, b.getInt32(1));
  for (const auto& [phi, first, next] : {std::tuple(left, of_x, next_left),
                                         {rest, static_cast<Value*>(b.getInt64(0)), next_rest},
                                         {quotient, static_cast<Value*>(b.getInt64(0)), next_quotient},
                                         {bits, static_cast<Value*>(b.getInt32(64)), next_bits}}) {
    phi->addIncoming(first, entry);
    phi->addIncoming(next, head);
  }
  b.CreateCondBr(b.CreateIsNotNull(next_bits), head, done);

  b.SetInsertPoint(done);
  Value* negative = b.CreateICmpSLT(b.CreateXor(x, y), b.getInt64(0));
  b.CreateRet(b.CreateSelect(negative, b.CreateNeg(next_quotient), next_quotient));
  return function;
}

}  // namespace

bool needs_wide_arithmetic(const Target& target) {
  return target.is_small && target.pointer_bits == 32;
}

Value* convert_wide(llvm::IRBuilder<>& b, Value* x) {
  llvm::Type* type = x->getType();
  llvm::Type *f32 = type->getWithNewType(b.getFloatTy()), *i32 = type->getWithNewType(b.getInt32Ty());
  Value* negative = b.CreateICmpSLT(x, llvm::Constant::getNullValue(type));
  Value* size = b.CreateSelect(negative, b.CreateNeg(x), x);
  Value* high = b.CreateUIToFP(b.CreateTrunc(b.CreateLShr(size, 32), i32), f32);
  Value* low = b.CreateUIToFP(b.CreateTrunc(size, i32), f32);
  Value* sum = b.CreateFAdd(b.CreateFMul(high, llvm::ConstantFP::get(f32, 0x1p32)), low);
  return b.CreateSelect(negative, b.CreateFNeg(sum), sum);
}

Value* divide_wide(llvm::IRBuilder<>& b, const Target& target, Value* x, Value* y) {
  return b.CreateCall(division_function(*b.GetInsertBlock()->getModule(), target), {x, y});
}

}  // namespace kiln::codegen
