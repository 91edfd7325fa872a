#pragma once
#include <llvm/IR/Module.h>

#include <memory>

#include "codegen/export_layout.h"

namespace kiln::codegen {

/// A program that becomes a function of the module,
/// PREFIX_NAME(inputs..., outputs..., [weights,] [memory,] scratch).
struct ExportFunction {
  std::string name;
  const LoweredPlan& plan;
  const StoredWeights& weights;
  /// Where each of the program's states lies in the device's memory, if there is one.
  std::vector<std::int64_t> states = {};
  bool has_selftest = false;
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

/// How many addresses a function takes beside inputs and outputs: weights and the device's memory, if they
/// are there, and scratch memory.
inline std::size_t own_arguments(const ExportParts& parts) {
  return 1 + (parts.separate_weights ? 1 : 0) + (parts.memory != nullptr ? 1 : 0);
}

/// The whole of an export as one module: constants and kernels (equal ones once) and the functions that
/// export.h describes. All but these functions is internal.
std::unique_ptr<llvm::Module> emit_export(std::span<const ExportFunction> functions, const Target& target,
                                          const ExportParts& parts, llvm::LLVMContext& context);

}  // namespace kiln::codegen
