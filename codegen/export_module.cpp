#include "codegen/export_module.h"

#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>

#include <algorithm>
#include <map>

#include "codegen/elementwise.h"
#include "codegen/emit.h"
#include "codegen/narrow_weights.h"

namespace kiln::codegen {
namespace {

using runtime::BufferRef;

std::int64_t round_up(std::int64_t bytes, std::int64_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

class ExportEmitter {
 public:
  ExportEmitter(const LoweredPlan& plan, const StoredWeights& weights, const Target& target,
                const ExportParts& parts, llvm::Module& module)
      : plan_(plan),
        program_(plan.program),
        weights_(weights),
        target_(target),
        parts_(parts),
        module_(module),
        context_(module.getContext()),
        b_(context_),
        word_(b_.getIntNTy(static_cast<unsigned>(target.pointer_bits))),
        scratch_(plan.program) {}

  void emit() {
    if (!parts_.separate_weights)
      for (const StoredWeights::Constant& c : weights_.constants)
        constants_.push_back(array(c.bytes, element_type(c), fmt::format("weights_{}", constants_.size())));
    emit_kernels();
    llvm::Function* predict = emit_predict();
    if (!parts_.test_outputs.empty()) emit_selftest(predict);
  }

 private:
  // ---- constants and kernels ------------------------------------------------------------------------------

  llvm::Type* element_type(const StoredWeights::Constant& c) {
    return c.storage == Storage::whole ? memory_type(context_, c.dtype) : b_.getInt16Ty();
  }
  llvm::GlobalVariable* array(std::string_view bytes, llvm::Type* element, const std::string& name) {
    const std::uint64_t size = element->getScalarSizeInBits() / 8;
    llvm::Constant* value =
        llvm::ConstantDataArray::getRaw({bytes.data(), bytes.size()}, bytes.size() / size, element);
    auto* global =
        new llvm::GlobalVariable(module_, value->getType(), true, llvm::GlobalValue::InternalLinkage, value,
                                 fmt::format("{}_{}", parts_.prefix, name));
    // Lines of a cache where there is one.
    global->setAlignment(llvm::Align(target_.is_small ? size : StoredWeights::alignment));
    return global;
  }
  llvm::GlobalVariable* array(const Tensor& t, const std::string& name) {
    const Tensor dense = t.contiguous();
    return array({static_cast<const char*>(dense.raw()), dense.nbytes()}, memory_type(context_, t.dtype()),
                 name);
  }

  void emit_kernels() {
    std::map<std::string, llvm::Function*> known;
    for (const Kernel& kernel : plan_.kernels) {
      verify(kernel);
      llvm::Function*& function = known[print(kernel, false)];
      if (function == nullptr) {
        function =
            emit_kernel_into(module_, kernel, target_,
                             fmt::format("{}_kernel_{}", parts_.prefix, known.size()), KernelAbi::alone);
        shrink(function);
        function->addFnAttr(llvm::Attribute::NoInline);
      }
      kernels_.push_back(function);
    }
  }

  void shrink(llvm::Function* function) const {
    if (target_.is_small) function->addFnAttr(llvm::Attribute::OptimizeForSize);
  }

  // ---- predict --------------------------------------------------------------------------------------------

  llvm::Function* begin(const std::string& name, std::size_t pointers) {
    const std::vector<llvm::Type*> parameters(pointers, b_.getPtrTy());
    auto* type = llvm::FunctionType::get(b_.getInt32Ty(), parameters, false);
    auto* function = llvm::Function::Create(type, llvm::Function::ExternalLinkage,
                                            fmt::format("{}_{}", parts_.prefix, name), module_);
    set_function_attributes(*function, target_);
    shrink(function);
    b_.SetInsertPoint(llvm::BasicBlock::Create(context_, "entry", function));
    return function;
  }
  /// Weights, if they are apart, and scratch.
  std::size_t own_arguments() const { return parts_.separate_weights ? 2 : 1; }
  llvm::Value* word(std::int64_t n) { return llvm::ConstantInt::get(word_, static_cast<std::uint64_t>(n)); }
  llvm::Value* at(llvm::Value* pointer, std::int64_t bytes) {
    return bytes == 0 ? pointer : b_.CreateGEP(b_.getInt8Ty(), pointer, word(bytes));
  }

  llvm::Function* emit_predict() {
    const std::size_t inputs = program_.inputs.size(), outputs = program_.outputs.size();
    llvm::Function* function = begin("predict", inputs + outputs + own_arguments());
    const auto argument = [&](std::size_t i) { return function->getArg(static_cast<unsigned>(i)); };
    llvm::Value *weights = argument(inputs + outputs),
                *scratch = argument(inputs + outputs + own_arguments() - 1);
    std::vector<std::int64_t> alignments;
    for (const auto* descriptions : {&program_.inputs, &program_.outputs})
      for (const runtime::BufferDesc& d : *descriptions)
        alignments.push_back(static_cast<std::int64_t>(size_of(d.dtype)));
    if (parts_.separate_weights) alignments.push_back(StoredWeights::alignment);
    alignments.push_back(scratch_.alignment);
    return_if_misaligned(function, alignments);

    llvm::Value* error = make_error_record();
    for (std::size_t s = 0; s < program_.steps.size(); ++s) {
      std::vector<llvm::Value*> buffers;
      for (const BufferRef& ref : program_.steps[s].buffers) {
        const auto index = static_cast<std::size_t>(ref.index);
        switch (ref.space) {
          case BufferRef::Space::input:
            buffers.push_back(argument(index));
            break;
          case BufferRef::Space::output:
            buffers.push_back(argument(inputs + index));
            break;
          case BufferRef::Space::arena:
            buffers.push_back(at(scratch, ref.offset));
            break;
          case BufferRef::Space::scratch:
            buffers.push_back(at(scratch, scratch_.kernels));
            break;
          case BufferRef::Space::constant:
            buffers.push_back(parts_.separate_weights ? at(weights, weights_.constants.at(index).offset)
                                                      : static_cast<llvm::Value*>(constants_.at(index)));
            break;
          case BufferRef::Space::error:
            buffers.push_back(error);
            break;
          case BufferRef::Space::state:
            throw InternalError("an exported program reads a state");
        }
      }
      b_.CreateCall(kernels_[s], buffers);
    }
    b_.CreateRet(error == nullptr ? b_.getInt32(0) : failed_check(error));
    return function;
  }

  void return_if_misaligned(llvm::Function* function, const std::vector<std::int64_t>& alignments) {
    llvm::Value* wrong = nullptr;
    for (std::size_t i = 0; i < alignments.size(); ++i) {
      if (alignments[i] == 1) continue;
      llvm::Value* address = b_.CreatePtrToInt(function->getArg(static_cast<unsigned>(i)), word_);
      llvm::Value* low = b_.CreateAnd(address, word(alignments[i] - 1));
      wrong = wrong == nullptr ? low : b_.CreateOr(wrong, low);
    }
    if (wrong != nullptr) return_if(b_.CreateIsNotNull(wrong), b_.getInt32(static_cast<std::uint32_t>(-1)));
  }
  void return_if(llvm::Value* condition, llvm::Value* result) {
    llvm::Function* function = b_.GetInsertBlock()->getParent();
    auto* out = llvm::BasicBlock::Create(context_, "leave", function);
    auto* on = llvm::BasicBlock::Create(context_, "go_on", function);
    b_.CreateCondBr(condition, out, on);
    b_.SetInsertPoint(out);
    b_.CreateRet(result);
    b_.SetInsertPoint(on);
  }

  /// On the stack; null if the program checks nothing.
  llvm::Value* make_error_record() {
    if (program_.checks.empty()) return nullptr;
    llvm::Value* record = b_.CreateAlloca(llvm::ArrayType::get(b_.getInt64Ty(), 3));
    b_.CreateStore(b_.getInt64(static_cast<std::uint64_t>(-1)), record);
    return record;
  }
  llvm::Value* failed_check(llvm::Value* record) {
    return b_.CreateAdd(b_.CreateTrunc(b_.CreateLoad(b_.getInt64Ty(), record), b_.getInt32Ty()),
                        b_.getInt32(1));
  }

  // ---- selftest -------------------------------------------------------------------------------------------

  void emit_selftest(llvm::Function* predict) {
    const std::span<const Tensor> inputs = parts_.test_inputs, outputs = parts_.test_outputs;
    llvm::Function* function = begin("selftest", outputs.size() + own_arguments());
    std::vector<llvm::Value*> arguments;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      arguments.push_back(array(inputs[i], fmt::format("test_input_{}", i)));
    for (llvm::Argument& a : function->args()) arguments.push_back(&a);
    llvm::Value* status = b_.CreateCall(predict, arguments);
    return_if(b_.CreateICmpNE(status, b_.getInt32(0)), b_.getInt32(static_cast<std::uint32_t>(-1)));
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i].size() == 0) continue;
      llvm::Value* expected = array(outputs[i], fmt::format("test_output_{}", i));
      llvm::Value* same =
          compare(function->getArg(static_cast<unsigned>(i)), expected, outputs[i], parts_.tolerances[i]);
      return_if(b_.CreateNot(same), b_.getInt32(static_cast<std::uint32_t>(i + 1)));
    }
    b_.CreateRet(b_.getInt32(0));
  }

  /// A loop over both arrays, which are like `t`; true if all elements agree.
  llvm::Value* compare(llvm::Value* got, llvm::Value* expected, const Tensor& t, double tolerance) {
    llvm::BasicBlock* before = b_.GetInsertBlock();
    auto* head = llvm::BasicBlock::Create(context_, "compare", before->getParent());
    auto* done = llvm::BasicBlock::Create(context_, "compared", before->getParent());
    b_.CreateBr(head);
    b_.SetInsertPoint(head);
    llvm::PHINode* i = b_.CreatePHI(word_, 2);
    llvm::PHINode* so_far = b_.CreatePHI(b_.getInt1Ty(), 2);
    i->addIncoming(word(0), before);
    so_far->addIncoming(b_.getTrue(), before);
    llvm::Type* element = memory_type(context_, t.dtype());
    const auto load = [&](llvm::Value* array) {
      return b_.CreateAlignedLoad(element, b_.CreateGEP(element, array, i), llvm::Align(size_of(t.dtype())));
    };
    llvm::Value* all = b_.CreateAnd(so_far, close(load(got), load(expected), t.dtype(), tolerance));
    llvm::Value* next = b_.CreateAdd(i, word(1));
    i->addIncoming(next, head);
    so_far->addIncoming(all, head);
    b_.CreateCondBr(b_.CreateICmpULT(next, word(t.size())), head, done);
    b_.SetInsertPoint(done);
    return all;
  }
  llvm::Value* close(llvm::Value* a, llvm::Value* e, DType dtype, double tolerance) {
    if (!is_float(dtype)) return b_.CreateICmpEQ(a, e);
    llvm::Value* distance = b_.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, b_.CreateFSub(a, e));
    llvm::Value* near = b_.CreateFCmpOLE(distance, llvm::ConstantFP::get(a->getType(), tolerance));
    llvm::Value* both_nan = b_.CreateAnd(b_.CreateFCmpUNO(a, a), b_.CreateFCmpUNO(e, e));
    return b_.CreateOr(b_.CreateOr(near, b_.CreateFCmpOEQ(a, e)), both_nan);  // equal infinities, too
  }

  const LoweredPlan& plan_;
  const runtime::Program& program_;
  const StoredWeights& weights_;
  const Target& target_;
  const ExportParts& parts_;
  llvm::Module& module_;
  llvm::LLVMContext& context_;
  llvm::IRBuilder<> b_;
  llvm::IntegerType* word_;
  ScratchLayout scratch_;
  std::vector<llvm::GlobalVariable*> constants_;
  std::vector<llvm::Function*> kernels_;
};

}  // namespace

ScratchLayout::ScratchLayout(const runtime::Program& program) {
  kernels = round_up(program.arena_bytes, program.scratch_bytes > 0 ? 64 : 1);
  bytes = kernels + program.scratch_bytes;
  if (bytes > 0) alignment = 8;
}

StoredWeights::StoredWeights(LoweredPlan& plan, WeightStorage storage) {
  for (const Tensor& t : plan.program.constants) {
    const Tensor dense = t.contiguous();
    Constant c{t.dtype(), Storage::whole, {}, round_up(bytes, alignment)};
    if (const auto halves = narrowed(dense, storage)) {
      c.storage = storage == WeightStorage::float16 ? Storage::float16 : Storage::bfloat16;
      c.bytes.assign(reinterpret_cast<const char*>(halves->data()), 2 * halves->size());
    } else {
      c.bytes.assign(static_cast<const char*>(dense.raw()), dense.nbytes());
    }
    bytes = c.offset + static_cast<std::int64_t>(c.bytes.size());
    constants.push_back(std::move(c));
  }
  for (std::size_t s = 0; s < plan.kernels.size(); ++s) {
    const std::vector<BufferRef>& buffers = plan.program.steps[s].buffers;
    for (std::size_t i = 0; i < buffers.size(); ++i)
      if (buffers[i].space == BufferRef::Space::constant)
        plan.kernels[s].buffers[i].storage = constants[static_cast<std::size_t>(buffers[i].index)].storage;
  }
}

std::string StoredWeights::file() const {
  std::string result(static_cast<std::size_t>(bytes), '\0');
  for (const Constant& c : constants)
    result.replace(static_cast<std::size_t>(c.offset), c.bytes.size(), c.bytes);
  return result;
}

std::unique_ptr<llvm::Module> emit_export(const LoweredPlan& plan, const StoredWeights& weights,
                                          const Target& target, const ExportParts& parts,
                                          llvm::LLVMContext& context) {
  auto module = std::make_unique<llvm::Module>(parts.prefix, context);
  ExportEmitter(plan, weights, target, parts, *module).emit();
  return module;
}

}  // namespace kiln::codegen
