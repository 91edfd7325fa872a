#pragma once
#include <llvm/IR/Module.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "codegen/lower_plan.h"
#include "kiln/codegen/export.h"

namespace kiln::codegen {

/// An exported program's scratch memory: its arena, and what lives within a kernel's tile. One thread has
/// that wherever no array is alive meanwhile; the threads of a team, behind the arena, each its own.
struct ScratchLayout {
  std::vector<std::int64_t> kernels;  ///< where each step's begins
  std::int64_t bytes = 0, alignment = 1;
  ScratchLayout(const LoweredPlan& plan, int max_threads);
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

/// The arrays of the memory that a device trains in: the model's weights first, and what is zero at the start
/// last.
struct DeviceMemory {
  static constexpr std::int64_t alignment = 8;
  std::vector<std::int64_t> offsets;  ///< in the order of the constructor's arrays
  std::int64_t weight_bytes = 0;      ///< of the weights, at its beginning
  std::int64_t bytes = 0;
  std::string image;  ///< its content at the start; zeros behind that

  /// The first `weights` of the arrays are weights.
  DeviceMemory(std::span<const Tensor> arrays, std::size_t weights, const Target& target);
};

/// A program that becomes a function of the module,
/// PREFIX_NAME(inputs..., outputs..., [weights,] [memory,] scratch).
struct ExportFunction {
  std::string name;
  const LoweredPlan& plan;
  const StoredWeights& weights;
  /// Where each of the program's states lies in the device's memory, if there is one.
  std::vector<std::int64_t> states = {};
};

/// What is part of an export beside its programs.
struct ExportParts {
  std::string prefix;
  bool separate_weights = false;
  /// Of the first function's self test; no outputs: there is none. `tolerances` are for each output,
  /// absolute.
  std::span<const Tensor> test_inputs = {}, test_outputs = {};
  std::span<const double> tolerances = {};
  /// That all functions take; with it come functions that initialise it, and get and set its weights.
  const DeviceMemory* memory = nullptr;
  /// Above 1: the programs run with a team of libomp's of up to so many threads.
  int max_threads = 1;
};

/// The whole of an export as one module: constants and kernels (equal ones once) and the functions that
/// export.h describes. All but these functions is internal.
std::unique_ptr<llvm::Module> emit_export(std::span<const ExportFunction> functions, const Target& target,
                                          const ExportParts& parts, llvm::LLVMContext& context);

}  // namespace kiln::codegen
