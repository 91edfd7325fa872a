#pragma once
#include <llvm/IR/Module.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "codegen/lower_plan.h"
#include "kiln/codegen/export.h"

namespace kiln::codegen {

/// An exported program's scratch memory: its arena, and behind it what lives within a kernel's tile.
struct ScratchLayout {
  std::int64_t kernels = 0;  ///< where that begins
  std::int64_t bytes = 0, alignment = 1;
  explicit ScratchLayout(const runtime::Program& program);
};

/// The constants of a program as they are stored: bytes, and where each begins if they are one file.
struct StoredWeights {
  struct Constant {
    DType dtype = DType::f32;
    Storage storage = Storage::whole;
    std::string bytes;
    std::int64_t offset = 0;
  };
  std::vector<Constant> constants;
  std::int64_t bytes = 0;  ///< of all
  static constexpr std::int64_t alignment = 64;

  /// Puts those that `storage` can hold into two bytes an element, and says so to the kernels that read them.
  StoredWeights(LoweredPlan& plan, WeightStorage storage);
  std::string file() const;
};

/// What is part of an export beside the plan.
struct ExportParts {
  std::string prefix;
  bool separate_weights = false;
  /// Of the self test; no outputs: there is none. `tolerances` are for each output, absolute.
  std::span<const Tensor> test_inputs, test_outputs;
  std::span<const double> tolerances;
};

/// The whole of an exported program as one module: constants, kernels (equal ones once) and the functions
/// that export.h describes. All but these functions is internal.
std::unique_ptr<llvm::Module> emit_export(const LoweredPlan& plan, const StoredWeights& weights,
                                          const Target& target, const ExportParts& parts,
                                          llvm::LLVMContext& context);

}  // namespace kiln::codegen
