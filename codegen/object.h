#pragma once
#include <llvm/IR/Module.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Target/TargetMachine.h>

#include <memory>
#include <string>

#include "codegen/sanitize.h"
#include "codegen/target.h"

/// From LLVM IR to an object file in memory.
namespace kiln::codegen {

/// A machine for `target`. One per thread: LLVM's isn't safe to share.
std::unique_ptr<llvm::TargetMachine> make_machine(const Target& target);

/// Verifies the module and runs the few passes that our IR, vectorised and unrolled already, needs: registers
/// into SSA, common subexpressions, invariants out of loops. In builds with -fsanitize=address it then
/// instruments every access. Throws InternalError with the module's text if it is broken.
void optimize(llvm::Module& module, llvm::TargetMachine& machine,
              bool instrument = built_with_address_sanitizer);

/// Both throw InternalError if LLVM has no code for the module.
std::unique_ptr<llvm::MemoryBuffer> make_object(llvm::Module& module, llvm::TargetMachine& machine);
std::string make_assembly(const llvm::Module& module, llvm::TargetMachine& machine);
std::string text_of(const llvm::Module& module);

}  // namespace kiln::codegen
