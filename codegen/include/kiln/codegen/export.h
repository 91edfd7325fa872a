#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kiln/graph/graph.h"
#include "kiln/graph/ops.h"
#include "kiln/runtime/executable.h"

namespace kiln::codegen {

/// What an exported file holds.
enum class ExportFormat : std::uint8_t { object, assembly, llvm_ir };

/// Where the weights are, and in how many bytes each.
enum class WeightPlace : std::uint8_t { object, separate };
enum class WeightStorage : std::uint8_t { float32, float16, bfloat16 };

struct ExportOptions {
  /// Every symbol that others can see begins with it: a C identifier.
  std::string prefix = "model";
  std::string target = {};  ///< LLVM's triple ("thumbv7em-none-eabihf"); "": this machine
  std::string cpu = {};     ///< LLVM's name; "": the least that all CPUs of the target have, or this machine
  std::string features = {};  ///< LLVM's ("+v"), beside those of the CPU
  int vector_bits = 0;        ///< of the kernels' vectors; 0: the CPU's widest
  ExportFormat format = ExportFormat::object;
  WeightPlace weights = WeightPlace::object;
  WeightStorage weight_storage = WeightStorage::float32;
  bool selftest = true;
  graph::ConvAlgorithm conv = graph::ConvAlgorithm::automatic;
};

/// A graph as code that needs no library, and what a caller has to know of it.
struct ExportedProgram {
  std::string code;     ///< the object file, the assembly or the IR
  std::string weights;  ///< the file of weights, if they are separate
  std::string target, cpu;
  std::vector<runtime::BufferDesc> inputs, outputs;
  std::vector<std::string> checks;  ///< messages of data errors: predict gives a failed one's number, from 1
  std::int64_t scratch_bytes = 0;
  std::int64_t scratch_alignment = 1;
  std::int64_t weight_bytes = 0;
  std::int64_t weight_alignment = 1;
  std::int64_t code_bytes = 0;      ///< of instructions
  std::int64_t selftest_bytes = 0;  ///< of its inputs and outputs
  std::int64_t multiply_adds = 0;   ///< of products and convolutions, as the graph has them
  std::string digest;               ///< of graph, weights and target
};

/// Compiles a graph, with `states` as the elements of its states, to the functions
///
///     int32_t PREFIX_predict(const T *input..., T *output..., [const void *weights,] void *scratch);
///     int32_t PREFIX_selftest(T *output..., [const void *weights,] void *scratch);
///
/// predict gives 0, or -1 if an address lacks its alignment, or the number of a check that failed. selftest
/// predicts for `test_inputs` and gives 0 if the results are those that this machine computes, or the number
/// of an output, from 1, that isn't: floats may differ by 1e-5 of the output's largest, or by as much as
/// rounding makes of them when sums have another order; others are equal. What hangs on a threshold (argmax)
/// may differ all the same.
///
/// On this machine's CPU the results have the bits of `compile`'s. With weights in two bytes they are those
/// of the rounded arrays that kernels read: of weights, or of what is computed of weights alone (a kernel in
/// Winograd's form, a scale).
///
/// Throws ValueError for targets and CPUs that aren't known or can't compute what the graph does, for arrays
/// that are too large for the target's addresses or for float16, and where `test_inputs` don't pass the
/// graph's checks; StateError if the graph updates a state.
KILN_API ExportedProgram export_program(const graph::Graph& graph, std::span<const Tensor> states,
                                        std::span<const Tensor> test_inputs,
                                        const ExportOptions& options = {});

}  // namespace kiln::codegen
