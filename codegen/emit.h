#pragma once
#include <llvm/IR/Module.h>

#include <memory>
#include <string>

#include "codegen/loop.h"
#include "codegen/target.h"

namespace kiln::codegen {

/// How a kernel is called.
enum class KernelAbi : std::uint8_t {
  table,  ///< (ptr buffers, i64 thread, i64 threads): runtime::KernelFn
  alone,  ///< (ptr b0, ptr b1, ...): one thread does everything
};

/// LLVM IR of a kernel: a module with the one function
///
///     void symbol(ptr buffers, i64 thread, i64 threads)
///
/// (runtime::KernelFn). Iterations [P t/T, P (t+1)/T) of a parallel loop of P iterations belong to thread t
/// of T. The kernel must be verified. Throws InternalError where the form asks for what has no code.
std::unique_ptr<llvm::Module> emit_kernel(const Kernel& kernel, const Target& target,
                                          const std::string& symbol, llvm::LLVMContext& context);

/// The same as a function of `module` that only the module itself can call.
llvm::Function* emit_kernel_into(llvm::Module& module, const Kernel& kernel, const Target& target,
                                 const std::string& symbol, KernelAbi abi);

/// Attributes every generated function has: nounwind, no builtins, the target's vector width.
void set_function_attributes(llvm::Function& function, const Target& target);

}  // namespace kiln::codegen
