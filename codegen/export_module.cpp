#include "codegen/export_module.h"

#include <algorithm>

#include "codegen/entry.h"
#include "codegen/export_builder.h"
#include "codegen/share_kernels.h"

namespace kiln::codegen {
namespace {

using runtime::BufferRef;

class ExportEmitter {
 public:
  ExportEmitter(const Target& target, const ExportParts& parts, llvm::Module& module)
      : parts_(parts), e_(target, parts.prefix, module) {}

  void emit(std::span<const ExportFunction> functions) {
    for (const ExportFunction& f : functions) {
      llvm::Function* function = emit_function(f);
      if (f.has_selftest) emit_selftest(e_, parts_, f.weights, function);
    }
    if (parts_.memory != nullptr) emit_memory_functions(e_, *parts_.memory);
    if (e_.target.is_small && !has_team()) share_kernels(kernels_in_order_);
  }

 private:
  llvm::Type* element_type(const StoredWeights::Constant& c) {
    if (c.storage == Storage::whole) return memory_type(e_.context, c.dtype);
    // As loads read them, for that is an array's alignment.
    return c.pair_lanes > 0 ? e_.b.getInt32Ty() : e_.b.getInt16Ty();
  }
  llvm::Function* kernel_function(const Kernel& kernel) {
    verify(kernel);
    llvm::Function*& function = kernels_[print(kernel, false)];
    if (function == nullptr) {
      function = emit_kernel_into(e_.module, kernel, e_.target,
                                  fmt::format("{}_kernel_{}", parts_.prefix, kernels_.size()),
                                  has_team() ? KernelAbi::table : KernelAbi::alone);
      function->setLinkage(llvm::GlobalValue::InternalLinkage);
      e_.shrink(function);
      function->addFnAttr(llvm::Attribute::NoInline);
      kernels_in_order_.push_back(function);
    }
    return function;
  }

  static std::int64_t alignment_of(const runtime::BufferDesc& d) {
    return static_cast<std::int64_t>(size_of(d.dtype));
  }
  static bool is_read(const runtime::Program& program, int input) {
    const auto is_it = [&](const BufferRef& ref) {
      return ref.space == BufferRef::Space::input && ref.index == input;
    };
    return program.inputs[static_cast<std::size_t>(input)].shape.elements() > 0 &&
           std::any_of(program.steps.begin(), program.steps.end(), [&](const runtime::Step& step) {
             return std::any_of(step.buffers.begin(), step.buffers.end(), is_it);
           });
  }

  llvm::Function* emit_function(const ExportFunction& f) {
    const runtime::Program& program = f.plan.program;
    const std::size_t inputs = program.inputs.size(), outputs = program.outputs.size();
    const ScratchLayout layout(f.plan, parts_.max_threads);
    llvm::Function* function = e_.begin(f.name, inputs + outputs + own_arguments(parts_));
    const auto argument = [&](std::size_t i) { return function->getArg(static_cast<unsigned>(i)); };
    std::vector<ExportBuilder::Address> addresses;
    for (std::size_t i = 0; i < inputs; ++i)
      addresses.push_back({alignment_of(program.inputs[i]), is_read(program, static_cast<int>(i))});
    for (const runtime::BufferDesc& d : program.outputs)
      addresses.push_back({alignment_of(d), d.shape.elements() > 0});
    std::size_t next = inputs + outputs;
    llvm::Value* weights = parts_.separate_weights ? argument(next++) : nullptr;
    if (weights != nullptr) addresses.push_back({StoredWeights::alignment, f.weights.bytes > 0});
    llvm::Value* memory = parts_.memory != nullptr ? argument(next++) : nullptr;
    if (memory != nullptr) addresses.push_back({memory_alignment});
    llvm::Value* scratch = argument(next);
    addresses.push_back({layout.alignment, layout.bytes > 0});
    e_.return_if_wrong(function, addresses);

    const auto constant = [&](std::size_t index) -> llvm::Value* {
      const StoredWeights::Constant& c = f.weights.constants.at(index);
      if (weights != nullptr) return e_.at(weights, c.offset);
      return e_.array(c.bytes, element_type(c), fmt::format("weights_{}", e_.arrays.size()));
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
              return e_.at(scratch, ref.offset);
            case BufferRef::Space::scratch:
              return e_.at(scratch, layout.kernels[s]);
            case BufferRef::Space::constant:
              return constant(index);
            case BufferRef::Space::error:
              return error;
            case BufferRef::Space::state:
              if (memory != nullptr && f.states.at(index) >= 0) return e_.at(memory, f.states[index]);
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
    e_.b.CreateRet(error == nullptr ? e_.b.getInt32(0) : failed_check(error));
    return function;
  }

  void call_kernels(const ExportFunction& f, const std::vector<std::vector<llvm::Value*>>& buffers,
                    llvm::Value* error) {
    for (std::size_t s = 0; s < buffers.size(); ++s) {
      if (f.plan.program.steps[s].leave_on_error) e_.return_if(check_failed(error), failed_check(error));
      e_.b.CreateCall(kernel_function(f.plan.kernels[s]), buffers[s]);
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
    llvm::Value* table = e_.local(llvm::ArrayType::get(e_.b.getPtrTy(), addresses.size()));
    for (std::size_t i = 0; i < addresses.size(); ++i)
      e_.b.CreateStore(addresses[i],
                       e_.b.CreateGEP(e_.b.getPtrTy(), table, e_.word(static_cast<std::int64_t>(i))));
    llvm::Function* entry =
        emit_entry_into(e_.module, steps, e_.target, fmt::format("{}_{}_steps", parts_.prefix, f.name));
    llvm::Type* i32 = e_.b.getInt32Ty();
    llvm::Value* most = e_.b.CreateCall(
        e_.module.getOrInsertFunction("omp_get_max_threads", llvm::FunctionType::get(i32, false)));
    llvm::Value* threads = e_.b.CreateBinaryIntrinsic(
        llvm::Intrinsic::smin, most, e_.b.getInt32(static_cast<std::uint32_t>(parts_.max_threads)));
    e_.b.CreateCall(entry, {table, error, threads, e_.b.getInt32(0)});
  }
  bool has_team() const { return parts_.max_threads > 1; }

  /// On the stack; null if nobody looks at it.
  llvm::Value* make_error_record(const runtime::Program& program) {
    if (program.checks.empty() && !has_team()) return nullptr;
    llvm::Value* record = e_.local(llvm::ArrayType::get(e_.b.getInt64Ty(), 3));
    e_.b.CreateStore(e_.b.getInt64(static_cast<std::uint64_t>(-1)), record);
    return record;
  }
  /// Its number from 1, or 0.
  llvm::Value* failed_check(llvm::Value* record) {
    return e_.b.CreateAdd(e_.b.CreateTrunc(e_.b.CreateLoad(e_.b.getInt64Ty(), record), e_.b.getInt32Ty()),
                          e_.b.getInt32(1));
  }
  llvm::Value* check_failed(llvm::Value* record) {
    return e_.b.CreateICmpNE(failed_check(record), e_.b.getInt32(0));
  }

  const ExportParts& parts_;
  ExportBuilder e_;
  std::map<std::string, llvm::Function*> kernels_;  // by text
  std::vector<llvm::Function*> kernels_in_order_;
};

}  // namespace

std::unique_ptr<llvm::Module> emit_export(std::span<const ExportFunction> functions, const Target& target,
                                          const ExportParts& parts, llvm::LLVMContext& context) {
  auto module = std::make_unique<llvm::Module>(parts.prefix, context);
  ExportEmitter(target, parts, *module).emit(functions);
  return module;
}

}  // namespace kiln::codegen
