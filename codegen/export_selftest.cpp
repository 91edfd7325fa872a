#include "codegen/export_builder.h"

namespace kiln::codegen {
namespace {

llvm::Value* close(llvm::IRBuilder<>& b, llvm::Value* a, llvm::Value* e, DType dtype, double tolerance) {
  if (!is_float(dtype)) return b.CreateICmpEQ(a, e);
  llvm::Value* distance = b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, b.CreateFSub(a, e));
  llvm::Value* near = b.CreateFCmpOLE(distance, llvm::ConstantFP::get(a->getType(), tolerance));
  llvm::Value* both_nan = b.CreateAnd(b.CreateFCmpUNO(a, a), b.CreateFCmpUNO(e, e));
  return b.CreateOr(b.CreateOr(near, b.CreateFCmpOEQ(a, e)), both_nan);  // equal infinities, too
}

/// A loop over both arrays, which are like `t`; true if all elements agree.
llvm::Value* compare(ExportBuilder& e, llvm::Value* got, llvm::Value* expected, const Tensor& t,
                     double tolerance) {
  llvm::Value* all = e.local(e.b.getInt1Ty());
  e.b.CreateStore(e.b.getTrue(), all);
  llvm::Type* element = memory_type(e.context, t.dtype());
  e.loop(e.word(t.size()), [&](llvm::Value* i) {
    const auto load = [&](llvm::Value* array) {
      return e.b.CreateAlignedLoad(element, e.b.CreateGEP(element, array, i),
                                   llvm::Align(size_of(t.dtype())));
    };
    llvm::Value* same = close(e.b, load(got), load(expected), t.dtype(), tolerance);
    e.b.CreateStore(e.b.CreateAnd(e.b.CreateLoad(e.b.getInt1Ty(), all), same), all);
  });
  return e.b.CreateLoad(e.b.getInt1Ty(), all);
}

/// StoredWeights::checksum of so many bytes.
llvm::Value* checksum(ExportBuilder& e, llvm::Value* address, std::int64_t bytes) {
  llvm::IRBuilder<>& b = e.b;
  llvm::Value* hash = e.local(b.getInt32Ty());
  b.CreateStore(b.getInt32(fnv_start), hash);
  e.loop(e.word(bytes), [&](llvm::Value* i) {
    llvm::Value* byte = b.CreateLoad(b.getInt8Ty(), b.CreateGEP(b.getInt8Ty(), address, i));
    llvm::Value* mixed = b.CreateXor(b.CreateLoad(b.getInt32Ty(), hash), b.CreateZExt(byte, b.getInt32Ty()));
    b.CreateStore(b.CreateMul(mixed, b.getInt32(fnv_prime)), hash);
  });
  return b.CreateLoad(b.getInt32Ty(), hash);
}

}  // namespace

void emit_selftest(ExportBuilder& e, const ExportParts& parts, const StoredWeights& weights,
                   llvm::Function* predict) {
  const std::span<const Tensor> inputs = parts.test_inputs, outputs = parts.test_outputs;
  llvm::Function* function = e.begin("selftest", outputs.size() + own_arguments(parts));
  std::vector<llvm::Value*> arguments;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    arguments.push_back(e.array(inputs[i], fmt::format("test_input_{}", i)));
  for (llvm::Argument& a : function->args()) arguments.push_back(&a);
  llvm::Value* status = e.b.CreateCall(predict, arguments);
  e.return_if(e.b.CreateICmpNE(status, e.b.getInt32(0)), e.minus_one());
  if (parts.separate_weights && weights.bytes > 0) {
    llvm::Value* sum = checksum(e, function->getArg(static_cast<unsigned>(outputs.size())), weights.bytes);
    e.return_if(e.b.CreateICmpNE(sum, e.b.getInt32(weights.checksum())),
                e.b.getInt32(static_cast<std::uint32_t>(-2)));
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].size() == 0) continue;
    llvm::Value* expected = e.array(outputs[i], fmt::format("test_output_{}", i));
    llvm::Value* same =
        compare(e, function->getArg(static_cast<unsigned>(i)), expected, outputs[i], parts.tolerances[i]);
    e.return_if(e.b.CreateNot(same), e.b.getInt32(static_cast<std::uint32_t>(i + 1)));
  }
  e.b.CreateRet(e.b.getInt32(0));
}

}  // namespace kiln::codegen
