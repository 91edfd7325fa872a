#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "codegen/linker.h"
#include "codegen/loop.h"
#include "codegen/target.h"

namespace llvm {
class LLVMContext;
class Module;
}  // namespace llvm

/// From kernels to object files, when a program runs.
namespace kiln::codegen {

/// Makes a module that defines the function `symbol`.
using ModuleMaker =
    std::function<std::unique_ptr<llvm::Module>(llvm::LLVMContext& context, const std::string& symbol)>;

/// Optimises and compiles one module. Throws InternalError if LLVM refuses it.
std::shared_ptr<const ObjectCode> compile_module(const std::string& name, const Target& target,
                                                 const ModuleMaker& make);

/// Makes a module that defines the function `symbol`, which calls the functions `kernels`.
using EntryMaker = std::function<std::unique_ptr<llvm::Module>(
    std::span<const std::string> kernels, llvm::LLVMContext& context, const std::string& symbol)>;

struct ProgramObjects {
  std::vector<std::shared_ptr<const ObjectCode>> kernels;
  std::shared_ptr<const ObjectCode> entry;
};

/// Code of each kernel, in order, and of the entry: one module each, compiled on all cores. Kernels with
/// equal text and target share their object, also with those of programs compiled earlier that are still
/// alive.
ProgramObjects compile_program(const std::string& name, std::span<const Kernel> kernels,
                               const EntryMaker& entry, const Target& target);

/// Kernels alone.
std::vector<std::shared_ptr<const ObjectCode>> compile_kernels(std::span<const Kernel> kernels,
                                                               const Target& target);

/// For tests: the optimised LLVM IR, the assembly and the undefined symbols of a kernel's object, without a
/// sanitizer's instructions.
struct Listing {
  std::string ir, assembly;
  std::vector<std::string> undefined_symbols;
};
Listing list_kernel(const Kernel& kernel, const Target& target);

}  // namespace kiln::codegen
