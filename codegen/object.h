#pragma once
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/Target/TargetMachine.h>

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "codegen/sanitize.h"
#include "codegen/target.h"

/// From LLVM IR to an object file in memory.
namespace kiln::codegen {

/// Where an object is to be linked: into this process, or into somebody's program.
enum class LinkedInto : std::uint8_t { process, program };

/// Makes objects of modules, one module after the other. For one thread: LLVM's classes aren't safe to share.
/// It is worth keeping one for many modules, as setting up LLVM's passes takes as long as a small kernel
/// takes in them.
class ObjectMaker {
 public:
  explicit ObjectMaker(const Target& target, LinkedInto place = LinkedInto::process);
  ~ObjectMaker();
  ObjectMaker(const ObjectMaker&) = delete;
  ObjectMaker& operator=(const ObjectMaker&) = delete;

  /// Where its modules are to be made.
  llvm::LLVMContext& context() { return context_; }

  /// Verifies the module and runs the few passes that our IR, vectorised and unrolled already, needs:
  /// registers into SSA, common subexpressions, invariants out of loops. In builds with -fsanitize=address it
  /// then instruments every access. Throws InternalError with the module's text if it is broken.
  void optimize(llvm::Module& module, bool instrument = built_with_address_sanitizer);

  /// The object file's bytes, or the assembly. Both throw InternalError if LLVM has no code for the module.
  std::string make_object(llvm::Module& module);
  /// Bytes of stack that the functions of the last object or assembly take for themselves, if they have the
  /// attribute warn-stack-size.
  const std::map<std::string, std::int64_t>& frame_bytes() const { return frame_bytes_; }
  std::string make_assembly(const llvm::Module& module);

 private:
  class Optimizer;
  class Generator;

  LinkedInto place_;
  llvm::LLVMContext context_;  // dies after all that was made in it
  std::unique_ptr<llvm::TargetMachine> machine_;
  std::unique_ptr<Optimizer> optimizer_;
  // For small modules, and for large ones:
  std::array<std::vector<llvm::StringRef>, 2> passes_left_out_;
  std::array<std::unique_ptr<Generator>, 2> objects_;
  std::map<std::string, std::int64_t> frame_bytes_;
};

std::string text_of(const llvm::Module& module);

/// What an object file says of itself.
struct ObjectFacts {
  std::vector<std::string> undefined_symbols;
  std::int64_t text_bytes = 0;  ///< instructions
};
/// Throws InternalError for bytes that are no object file.
ObjectFacts object_facts(const std::string& object);

}  // namespace kiln::codegen
