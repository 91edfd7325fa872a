#pragma once
#include <llvm/IR/Module.h>

#include <memory>
#include <span>
#include <string>

#include "codegen/target.h"

namespace kiln::codegen {

/// What the entry function needs to know of a step.
struct EntryStep {
  std::string symbol;           ///< of the kernel
  int buffers = 0;              ///< entries of the table that are its own
  bool barrier_before = false;  ///< data crosses threads between the steps before and this one
  bool serial = false;          ///< thread 0 does everything
  bool prepared = false;        ///< left out where the caller says that its results are still there
  int leave_after = -1;  ///< after the barrier, leave if the program's check of this number, or one before
                         ///< it, failed; -1: go on
};

/// The program's entry (runtime::EntryFn):
///
///     i32 symbol(ptr table, ptr error, i32 threads, i32 prepared)
///
/// With one thread it calls the kernels one after the other. With more it opens one parallel region of
/// libomp's, in which every thread calls every kernel with its number and the size of the team that it really
/// got, and waits at a barrier only where a step says so.
std::unique_ptr<llvm::Module> emit_entry(std::span<const EntryStep> steps, const Target& target,
                                         const std::string& symbol, llvm::LLVMContext& context);

/// The same as a function of `module` that only the module itself can call; the kernels are its functions.
llvm::Function* emit_entry_into(llvm::Module& module, std::span<const EntryStep> steps, const Target& target,
                                const std::string& symbol);

}  // namespace kiln::codegen
