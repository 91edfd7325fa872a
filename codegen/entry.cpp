#include "codegen/entry.h"

#include <llvm/IR/IRBuilder.h>

#include <cstddef>

#include "codegen/emit.h"
#include "codegen/faults.h"
#include "kiln/runtime/executable.h"

namespace kiln::codegen {
namespace {

static_assert(offsetof(runtime::ErrorRecord, check) == 0,
              "generated code reads ErrorRecord::check at its start");

class EntryEmitter {
 public:
  EntryEmitter(std::span<const EntryStep> steps, const Target& target, llvm::Module& module)
      : steps_(steps), target_(target), module_(module), context_(module.getContext()), b_(context_) {}

  llvm::Function* emit(const std::string& symbol) {
    llvm::Type* pointer = b_.getPtrTy();
    llvm::Type* i32 = b_.getInt32Ty();
    auto* type = llvm::FunctionType::get(i32, {pointer, pointer, i32, i32}, false);
    llvm::Function* entry = begin(type, symbol, llvm::Function::ExternalLinkage);
    llvm::Value *table = entry->getArg(0), *error = entry->getArg(1), *threads = entry->getArg(2);
    llvm::Value* prepared = entry->getArg(3);
    auto* serial = llvm::BasicBlock::Create(context_, "serial", entry);
    auto* parallel = llvm::BasicBlock::Create(context_, "parallel", entry);
    b_.CreateCondBr(b_.CreateICmpSLE(threads, b_.getInt32(1)), serial, parallel);

    b_.SetInsertPoint(serial);
    call_steps({table, error, prepared}, b_.getInt64(0), b_.getInt64(1), nullptr);
    leave(error);

    b_.SetInsertPoint(parallel);
    llvm::Value* thread = b_.CreateCall(runtime("__kmpc_global_thread_num", i32, {pointer}), {place()});
    b_.CreateCall(runtime("__kmpc_push_num_threads", b_.getVoidTy(), {pointer, i32, i32}),
                  {place(), thread, threads});
    llvm::FunctionCallee fork = runtime("__kmpc_fork_call", b_.getVoidTy(), {pointer, i32, pointer}, true);
    b_.CreateCall(fork, {place(), b_.getInt32(3), region(symbol), table, error,
                         b_.CreateIntToPtr(b_.CreateZExt(prepared, b_.getInt64Ty()), pointer)});
    leave(error);
    return entry;
  }

 private:
  llvm::Function* begin(llvm::FunctionType* type, const std::string& name,
                        llvm::Function::LinkageTypes linkage) {
    llvm::Function* function = llvm::Function::Create(type, linkage, name, module_);
    set_function_attributes(*function, target_);
    b_.SetInsertPoint(llvm::BasicBlock::Create(context_, "entry", function));
    return function;
  }

  /// What each thread of the team runs: libomp passes the addresses of its global and local thread numbers.
  llvm::Function* region(const std::string& symbol) {
    const auto outer = b_.saveIP();
    llvm::Type* pointer = b_.getPtrTy();
    llvm::Type* i32 = b_.getInt32Ty();
    auto* type =
        llvm::FunctionType::get(b_.getVoidTy(), {pointer, pointer, pointer, pointer, pointer}, false);
    llvm::Function* body = begin(type, symbol + ".region", llvm::Function::InternalLinkage);
    llvm::Value* global_thread = b_.CreateLoad(i32, body->getArg(0));
    llvm::Value* thread =
        b_.CreateZExt(b_.CreateCall(runtime("omp_get_thread_num", i32, {}), {}), b_.getInt64Ty());
    llvm::Value* team =
        b_.CreateZExt(b_.CreateCall(runtime("omp_get_num_threads", i32, {}), {}), b_.getInt64Ty());
    llvm::Value* prepared = b_.CreateTrunc(b_.CreatePtrToInt(body->getArg(4), b_.getInt64Ty()), i32);
    call_steps({body->getArg(2), body->getArg(3), prepared}, thread, team, global_thread);
    b_.CreateRetVoid();
    b_.restoreIP(outer);
    return body;
  }

  /// Of the entry.
  struct Arguments {
    llvm::Value *table, *error, *prepared;
  };

  /// Calls every kernel. `global_thread` null: no team, no barriers.
  void call_steps(const Arguments& arguments, llvm::Value* thread, llvm::Value* team,
                  llvm::Value* global_thread) {
    const auto [table, error, prepared] = arguments;
    std::uint64_t first_buffer = 0;
    bool synchronised = true;  // nothing has run since the last barrier (or the start)
    for (const EntryStep& step : steps_) {
      if (step.barrier_before && !synchronised) barrier(global_thread);
      if (step.leave_after >= 0) leave_if_failed(error, step.leave_after);
      llvm::Value* buffers = b_.CreateConstInBoundsGEP1_64(b_.getPtrTy(), table, first_buffer);
      const auto run = [&] {
        if (step.serial && global_thread != nullptr)
          only_if_zero(thread, [&] { call(step, buffers, b_.getInt64(0), b_.getInt64(1)); });
        else
          call(step, buffers, thread, team);
      };
      if (step.prepared)
        only_if_zero(prepared, run);
      else
        run();
      synchronised = false;
      first_buffer += static_cast<std::uint64_t>(step.buffers);
    }
  }

  void call(const EntryStep& step, llvm::Value* buffers, llvm::Value* thread, llvm::Value* team) {
    llvm::Type* i64 = b_.getInt64Ty();
    auto* type = llvm::FunctionType::get(b_.getVoidTy(), {b_.getPtrTy(), i64, i64}, false);
    b_.CreateCall(module_.getOrInsertFunction(step.symbol, type), {buffers, thread, team});
  }

  template <class Body>
  void only_if_zero(llvm::Value* number, Body body) {
    llvm::Function* function = b_.GetInsertBlock()->getParent();
    auto* zero = llvm::BasicBlock::Create(context_, "zero", function);
    auto* all = llvm::BasicBlock::Create(context_, "all", function);
    b_.CreateCondBr(b_.CreateIsNull(number), zero, all);
    b_.SetInsertPoint(zero);
    body();
    b_.CreateBr(all);
    b_.SetInsertPoint(all);
  }

  void barrier(llvm::Value* global_thread) {
    if (global_thread == nullptr || planted() == Fault::dropped_barrier) return;
    b_.CreateCall(runtime("__kmpc_barrier", b_.getVoidTy(), {b_.getPtrTy(), b_.getInt32Ty()}),
                  {place(), global_thread});
  }

  llvm::Value* failed_check(llvm::Value* error) { return b_.CreateLoad(b_.getInt64Ty(), error); }

  /// Returns from the function if check `check` or one before it failed. All threads decide alike: these are
  /// known since the barrier just passed; a later check, which a faster thread may be writing already,
  /// doesn't count.
  void leave_if_failed(llvm::Value* error, int check) {
    llvm::Value* found = failed_check(error);
    llvm::Value* failed =
        b_.CreateICmpULE(found, b_.getInt64(static_cast<std::uint64_t>(check)));  // -1 is large
    llvm::Function* function = b_.GetInsertBlock()->getParent();
    auto* out = llvm::BasicBlock::Create(context_, "leave", function);
    auto* on = llvm::BasicBlock::Create(context_, "go_on", function);
    b_.CreateCondBr(failed, out, on);
    b_.SetInsertPoint(out);
    if (function->getReturnType()->isVoidTy()) {
      b_.CreateRetVoid();
    } else {
      b_.CreateRet(b_.getInt32(1));
    }
    b_.SetInsertPoint(on);
  }

  void leave(llvm::Value* error) {
    b_.CreateRet(b_.CreateZExt(b_.CreateICmpSGE(failed_check(error), b_.getInt64(0)), b_.getInt32Ty()));
  }

  llvm::FunctionCallee runtime(const char* name, llvm::Type* result, llvm::ArrayRef<llvm::Type*> arguments,
                               bool variadic = false) {
    return module_.getOrInsertFunction(name, llvm::FunctionType::get(result, arguments, variadic));
  }

  /// libomp's ident_t: flags 2 (KMP_IDENT_KMPC) and a source position that names no file.
  llvm::Constant* place() {
    const char* name = "place";
    if (llvm::GlobalVariable* known = module_.getNamedGlobal(name)) return known;
    llvm::Constant* text = b_.CreateGlobalString(";kiln;step;0;0;;", "place.text", 0, &module_);
    llvm::Type* i32 = b_.getInt32Ty();
    auto* type = llvm::StructType::get(context_, {i32, i32, i32, i32, b_.getPtrTy()});
    llvm::Constant* value = llvm::ConstantStruct::get(
        type, {b_.getInt32(0), b_.getInt32(2), b_.getInt32(0), b_.getInt32(16), text});
    return new llvm::GlobalVariable(module_, type, true, llvm::GlobalValue::PrivateLinkage, value, name);
  }

  std::span<const EntryStep> steps_;
  const Target& target_;
  llvm::Module& module_;
  llvm::LLVMContext& context_;
  llvm::IRBuilder<> b_;
};

}  // namespace

std::unique_ptr<llvm::Module> emit_entry(std::span<const EntryStep> steps, const Target& target,
                                         const std::string& symbol, llvm::LLVMContext& context) {
  auto module = std::make_unique<llvm::Module>(symbol, context);
  EntryEmitter(steps, target, *module).emit(symbol);
  return module;
}

llvm::Function* emit_entry_into(llvm::Module& module, std::span<const EntryStep> steps, const Target& target,
                                const std::string& symbol) {
  llvm::Function* entry = EntryEmitter(steps, target, module).emit(symbol);
  entry->setLinkage(llvm::GlobalValue::InternalLinkage);
  return entry;
}

}  // namespace kiln::codegen
