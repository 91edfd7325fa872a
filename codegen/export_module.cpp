#include "codegen/export_module.h"

#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>

#include <algorithm>
#include <map>

#include "codegen/elementwise.h"
#include "codegen/emit.h"
#include "codegen/entry.h"
#include "codegen/narrow_weights.h"

namespace kiln::codegen {
namespace {

using runtime::BufferRef;

std::int64_t round_up(std::int64_t bytes, std::int64_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

class ExportEmitter {
 public:
  ExportEmitter(const Target& target, const ExportParts& parts, llvm::Module& module)
      : target_(target),
        parts_(parts),
        module_(module),
        context_(module.getContext()),
        b_(context_),
        word_(b_.getIntNTy(static_cast<unsigned>(target.pointer_bits))) {}

  void emit(std::span<const ExportFunction> functions) {
    for (const ExportFunction& f : functions) {
      llvm::Function* function = emit_function(f);
      if (&f == &functions[0] && !parts_.test_outputs.empty()) emit_selftest(function);
    }
    if (parts_.memory != nullptr) emit_memory_functions(*parts_.memory);
  }

 private:
  // ---- constants and kernels ------------------------------------------------------------------------------

  llvm::Type* element_type(const StoredWeights::Constant& c) {
    return c.storage == Storage::whole ? memory_type(context_, c.dtype) : b_.getInt16Ty();
  }
  /// Read-only data; the same bytes of one type lie there once.
  llvm::GlobalVariable* array(std::string_view bytes, llvm::Type* element, const std::string& name) {
    const std::uint64_t size = element->getScalarSizeInBits() / 8;
    llvm::Constant* value =
        llvm::ConstantDataArray::getRaw({bytes.data(), bytes.size()}, bytes.size() / size, element);
    llvm::GlobalVariable*& global = arrays_[value];
    if (global != nullptr) return global;
    global = new llvm::GlobalVariable(module_, value->getType(), true, llvm::GlobalValue::InternalLinkage,
                                      value, fmt::format("{}_{}", parts_.prefix, name));
    // Lines of a cache where there is one.
    global->setAlignment(llvm::Align(target_.is_small ? size : StoredWeights::alignment));
    return global;
  }
  llvm::GlobalVariable* array(const Tensor& t, const std::string& name) {
    const Tensor dense = t.contiguous();
    return array({static_cast<const char*>(dense.raw()), dense.nbytes()}, memory_type(context_, t.dtype()),
                 name);
  }

  llvm::Function* kernel_function(const Kernel& kernel) {
    verify(kernel);
    llvm::Function*& function = kernels_[print(kernel, false)];
    if (function == nullptr) {
      function = emit_kernel_into(module_, kernel, target_,
                                  fmt::format("{}_kernel_{}", parts_.prefix, kernels_.size()),
                                  has_team() ? KernelAbi::table : KernelAbi::alone);
      function->setLinkage(llvm::GlobalValue::InternalLinkage);
      shrink(function);
      function->addFnAttr(llvm::Attribute::NoInline);
    }
    return function;
  }

  void shrink(llvm::Function* function) const {
    if (target_.is_small) function->addFnAttr(llvm::Attribute::OptimizeForSize);
  }

  // ---- programs -------------------------------------------------------------------------------------------

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
  /// Weights and the device's memory, if they are there, and scratch.
  std::size_t own_arguments() const {
    return 1 + (parts_.separate_weights ? 1 : 0) + (parts_.memory != nullptr ? 1 : 0);
  }
  llvm::Value* word(std::int64_t n) { return llvm::ConstantInt::get(word_, static_cast<std::uint64_t>(n)); }
  llvm::Value* at(llvm::Value* pointer, std::int64_t bytes) {
    return bytes == 0 ? pointer : b_.CreateGEP(b_.getInt8Ty(), pointer, word(bytes));
  }
  llvm::Value* minus_one() { return b_.getInt32(static_cast<std::uint32_t>(-1)); }

  llvm::Function* emit_function(const ExportFunction& f) {
    const runtime::Program& program = f.plan.program;
    const std::size_t inputs = program.inputs.size(), outputs = program.outputs.size();
    const ScratchLayout layout(f.plan, parts_.max_threads);
    llvm::Function* function = begin(f.name, inputs + outputs + own_arguments());
    const auto argument = [&](std::size_t i) { return function->getArg(static_cast<unsigned>(i)); };
    std::vector<std::int64_t> alignments;
    for (const auto* descriptions : {&program.inputs, &program.outputs})
      for (const runtime::BufferDesc& d : *descriptions)
        alignments.push_back(static_cast<std::int64_t>(size_of(d.dtype)));
    std::size_t next = inputs + outputs;
    llvm::Value* weights = parts_.separate_weights ? argument(next++) : nullptr;
    if (weights != nullptr) alignments.push_back(StoredWeights::alignment);
    llvm::Value* memory = parts_.memory != nullptr ? argument(next++) : nullptr;
    if (memory != nullptr) alignments.push_back(DeviceMemory::alignment);
    llvm::Value* scratch = argument(next);
    alignments.push_back(layout.alignment);
    return_if_misaligned(function, alignments);

    const auto constant = [&](std::size_t index) -> llvm::Value* {
      const StoredWeights::Constant& c = f.weights.constants.at(index);
      if (weights != nullptr) return at(weights, c.offset);
      return array(c.bytes, element_type(c), fmt::format("weights_{}", arrays_.size()));
    };
    llvm::Value* error = make_error_record(program);
    std::vector<std::vector<llvm::Value*>> buffers;  // of each step
    for (std::size_t s = 0; s < program.steps.size(); ++s) {
      buffers.emplace_back();
      for (const BufferRef& ref : program.steps[s].buffers) {
        const auto index = static_cast<std::size_t>(ref.index);
        const auto address = [&]() -> llvm::Value* {
          switch (ref.space) {
            case BufferRef::Space::input:
              return argument(index);
            case BufferRef::Space::output:
              return argument(inputs + index);
            case BufferRef::Space::arena:
              return at(scratch, ref.offset);
            case BufferRef::Space::scratch:
              return at(scratch, layout.kernels[s]);
            case BufferRef::Space::constant:
              return constant(index);
            case BufferRef::Space::error:
              return error;
            case BufferRef::Space::state:
              if (memory != nullptr && f.states.at(index) >= 0) return at(memory, f.states[index]);
              break;
          }
          throw InternalError(fmt::format("exported code reads the state \"{}\", which no memory holds",
                                          program.states[index].name));
        };
        buffers.back().push_back(address());
      }
    }
    if (has_team())
      call_team(f, buffers, error);
    else
      call_kernels(f, buffers, error);
    b_.CreateRet(error == nullptr ? b_.getInt32(0) : failed_check(error));
    return function;
  }

  void call_kernels(const ExportFunction& f, const std::vector<std::vector<llvm::Value*>>& buffers,
                    llvm::Value* error) {
    for (std::size_t s = 0; s < buffers.size(); ++s) {
      if (f.plan.program.steps[s].leave_on_error) return_if(check_failed(error), failed_check(error));
      b_.CreateCall(kernel_function(f.plan.kernels[s]), buffers[s]);
    }
  }

  /// All kernels in one parallel region, which reads the addresses from a table.
  void call_team(const ExportFunction& f, const std::vector<std::vector<llvm::Value*>>& buffers,
                 llvm::Value* error) {
    std::vector<EntryStep> steps = f.plan.entry;
    std::vector<llvm::Value*> addresses;
    for (std::size_t s = 0; s < steps.size(); ++s) {
      steps[s].symbol = kernel_function(f.plan.kernels[s])->getName();
      addresses.insert(addresses.end(), buffers[s].begin(), buffers[s].end());
    }
    llvm::Value* table = b_.CreateAlloca(llvm::ArrayType::get(b_.getPtrTy(), addresses.size()));
    for (std::size_t i = 0; i < addresses.size(); ++i)
      b_.CreateStore(addresses[i], b_.CreateGEP(b_.getPtrTy(), table, word(static_cast<std::int64_t>(i))));
    llvm::Function* entry =
        emit_entry_into(module_, steps, target_, fmt::format("{}_{}_steps", parts_.prefix, f.name));
    llvm::Type* i32 = b_.getInt32Ty();
    llvm::Value* most = b_.CreateCall(
        module_.getOrInsertFunction("omp_get_max_threads", llvm::FunctionType::get(i32, false)));
    llvm::Value* threads = b_.CreateBinaryIntrinsic(
        llvm::Intrinsic::smin, most, b_.getInt32(static_cast<std::uint32_t>(parts_.max_threads)));
    b_.CreateCall(entry, {table, error, threads, b_.getInt32(0)});
  }
  bool has_team() const { return parts_.max_threads > 1; }

  void return_if_misaligned(llvm::Function* function, const std::vector<std::int64_t>& alignments) {
    llvm::Value* wrong = nullptr;
    for (std::size_t i = 0; i < alignments.size(); ++i) {
      if (alignments[i] == 1) continue;
      llvm::Value* address = b_.CreatePtrToInt(function->getArg(static_cast<unsigned>(i)), word_);
      llvm::Value* low = b_.CreateAnd(address, word(alignments[i] - 1));
      wrong = wrong == nullptr ? low : b_.CreateOr(wrong, low);
    }
    if (wrong != nullptr) return_if(b_.CreateIsNotNull(wrong), minus_one());
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

  /// On the stack; null if nobody looks at it.
  llvm::Value* make_error_record(const runtime::Program& program) {
    if (program.checks.empty() && !has_team()) return nullptr;
    llvm::Value* record = b_.CreateAlloca(llvm::ArrayType::get(b_.getInt64Ty(), 3));
    b_.CreateStore(b_.getInt64(static_cast<std::uint64_t>(-1)), record);
    return record;
  }
  /// Its number from 1, or 0.
  llvm::Value* failed_check(llvm::Value* record) {
    return b_.CreateAdd(b_.CreateTrunc(b_.CreateLoad(b_.getInt64Ty(), record), b_.getInt32Ty()),
                        b_.getInt32(1));
  }
  llvm::Value* check_failed(llvm::Value* record) {
    return b_.CreateICmpNE(failed_check(record), b_.getInt32(0));
  }

  // ---- the memory of a device that trains -----------------------------------------------------------------

  void emit_memory_functions(const DeviceMemory& memory) {
    const auto image_bytes = static_cast<std::int64_t>(memory.image.size());
    llvm::Function* init = begin("init", 1);
    return_if_misaligned(init, {DeviceMemory::alignment});
    if (image_bytes > 0)
      copy(init->getArg(0), array(memory.image, b_.getInt32Ty(), "initial_state"), image_bytes);
    copy(at(init->getArg(0), image_bytes), nullptr, memory.bytes - image_bytes);
    b_.CreateRet(b_.getInt32(0));

    for (const bool get : {true, false}) {
      llvm::Function* function = begin(get ? "get_weights" : "set_weights", 2);
      llvm::Value *state = function->getArg(0), *weights = function->getArg(1);
      return_if_misaligned(function, {DeviceMemory::alignment, word_bytes});
      copy(get ? weights : state, get ? state : weights, memory.weight_bytes);
      b_.CreateRet(b_.getInt32(0));
    }
  }

  /// Copies bytes, a multiple of 4, from one array to another; from null: zeros. A loop of our own, since
  /// there may be no memcpy to call.
  void copy(llvm::Value* to, llvm::Value* from, std::int64_t bytes) {
    if (bytes == 0) return;
    llvm::Type* unit = b_.getInt32Ty();
    loop(word(bytes / word_bytes), [&](llvm::Value* i) {
      const auto element = [&](llvm::Value* array) { return b_.CreateGEP(unit, array, i); };
      llvm::Value* value = b_.getInt32(0);
      if (from != nullptr) value = b_.CreateAlignedLoad(unit, element(from), llvm::Align(word_bytes));
      b_.CreateAlignedStore(value, element(to), llvm::Align(word_bytes));
    });
  }
  static constexpr std::int64_t word_bytes = 4;

  /// A loop of `count` times, at least one.
  template <class Body>
  void loop(llvm::Value* count, Body body) {
    llvm::BasicBlock* before = b_.GetInsertBlock();
    auto* head = llvm::BasicBlock::Create(context_, "loop", before->getParent());
    auto* done = llvm::BasicBlock::Create(context_, "done", before->getParent());
    b_.CreateBr(head);
    b_.SetInsertPoint(head);
    llvm::PHINode* i = b_.CreatePHI(word_, 2);
    i->addIncoming(word(0), before);
    body(i);
    llvm::Value* next = b_.CreateAdd(i, word(1));
    i->addIncoming(next, b_.GetInsertBlock());
    b_.CreateCondBr(b_.CreateICmpULT(next, count), head, done);
    b_.SetInsertPoint(done);
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
    return_if(b_.CreateICmpNE(status, b_.getInt32(0)), minus_one());
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
    llvm::BasicBlock& entry = b_.GetInsertBlock()->getParent()->getEntryBlock();
    llvm::Value* all = llvm::IRBuilder<>(&entry, entry.begin()).CreateAlloca(b_.getInt1Ty());
    b_.CreateStore(b_.getTrue(), all);
    llvm::Type* element = memory_type(context_, t.dtype());
    loop(word(t.size()), [&](llvm::Value* i) {
      const auto load = [&](llvm::Value* array) {
        return b_.CreateAlignedLoad(element, b_.CreateGEP(element, array, i),
                                    llvm::Align(size_of(t.dtype())));
      };
      llvm::Value* same = close(load(got), load(expected), t.dtype(), tolerance);
      b_.CreateStore(b_.CreateAnd(b_.CreateLoad(b_.getInt1Ty(), all), same), all);
    });
    return b_.CreateLoad(b_.getInt1Ty(), all);
  }
  llvm::Value* close(llvm::Value* a, llvm::Value* e, DType dtype, double tolerance) {
    if (!is_float(dtype)) return b_.CreateICmpEQ(a, e);
    llvm::Value* distance = b_.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, b_.CreateFSub(a, e));
    llvm::Value* near = b_.CreateFCmpOLE(distance, llvm::ConstantFP::get(a->getType(), tolerance));
    llvm::Value* both_nan = b_.CreateAnd(b_.CreateFCmpUNO(a, a), b_.CreateFCmpUNO(e, e));
    return b_.CreateOr(b_.CreateOr(near, b_.CreateFCmpOEQ(a, e)), both_nan);  // equal infinities, too
  }

  const Target& target_;
  const ExportParts& parts_;
  llvm::Module& module_;
  llvm::LLVMContext& context_;
  llvm::IRBuilder<> b_;
  llvm::IntegerType* word_;
  std::map<llvm::Constant*, llvm::GlobalVariable*> arrays_;  // LLVM has equal constants once
  std::map<std::string, llvm::Function*> kernels_;           // by text
};

bool is_zero(const Tensor& t) {
  const Tensor dense = t.contiguous();
  const auto* bytes = static_cast<const char*>(dense.raw());
  return std::all_of(bytes, bytes + dense.nbytes(), [](char c) { return c == 0; });
}

/// The lowest place of so many bytes that no array has that is alive at the step.
std::int64_t free_place(const runtime::Program& program, std::size_t step, std::int64_t bytes) {
  std::int64_t place = 0;
  for (bool moved = true; moved;) {
    moved = false;
    for (const runtime::ArenaValue& v : program.arena_values) {
      const bool is_alive = v.first <= step && step <= v.last;
      if (!is_alive || place + bytes <= v.offset || v.offset + v.bytes <= place) continue;
      place = round_up(v.offset + v.bytes, DeviceMemory::alignment);
      moved = true;
    }
  }
  return place;
}

}  // namespace

ScratchLayout::ScratchLayout(const LoweredPlan& plan, int max_threads) {
  const runtime::Program& program = plan.program;
  for (const runtime::ArenaValue& v : program.arena_values) bytes = std::max(bytes, v.offset + v.bytes);
  const std::int64_t behind = round_up(bytes, StoredWeights::alignment);
  for (std::size_t s = 0; s < plan.scratch_bytes.size(); ++s) {
    const std::int64_t own = plan.scratch_bytes[s];
    kernels.push_back(max_threads > 1 ? behind : free_place(program, s, own));
    if (own > 0)
      bytes = std::max(bytes, kernels[s] + (max_threads > 1 ? max_threads * program.scratch_bytes : own));
  }
  if (bytes > 0) alignment = DeviceMemory::alignment;
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

DeviceMemory::DeviceMemory(std::span<const Tensor> arrays, std::size_t weights, const Target& target)
    : offsets(arrays.size()) {
  // Lines of a cache where there is one.
  const std::int64_t unit = target.is_small ? alignment : StoredWeights::alignment;
  const auto place = [&](auto belongs) {
    for (std::size_t i = 0; i < arrays.size(); ++i) {
      if (!belongs(i)) continue;
      offsets[i] = bytes;
      bytes = round_up(bytes + static_cast<std::int64_t>(arrays[i].nbytes()), unit);
    }
  };
  place([&](std::size_t i) { return i < weights; });
  weight_bytes = bytes;
  place([&](std::size_t i) { return i >= weights && !is_zero(arrays[i]); });
  image.resize(static_cast<std::size_t>(bytes));
  place([&](std::size_t i) { return i >= weights && is_zero(arrays[i]); });
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    if (offsets[i] >= static_cast<std::int64_t>(image.size())) continue;
    const Tensor dense = arrays[i].contiguous();
    image.replace(static_cast<std::size_t>(offsets[i]), dense.nbytes(), static_cast<const char*>(dense.raw()),
                  dense.nbytes());
  }
}

std::unique_ptr<llvm::Module> emit_export(std::span<const ExportFunction> functions, const Target& target,
                                          const ExportParts& parts, llvm::LLVMContext& context) {
  auto module = std::make_unique<llvm::Module>(parts.prefix, context);
  ExportEmitter(target, parts, *module).emit(functions);
  return module;
}

}  // namespace kiln::codegen
