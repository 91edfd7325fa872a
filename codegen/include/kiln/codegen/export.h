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
  std::string caller = "export_library";  ///< named in messages
  /// Every symbol that others can see begins with it: a C identifier.
  std::string prefix = "model";
  std::string target = {};  ///< LLVM's triple ("thumbv7em-none-eabihf"); "": this machine
  std::string cpu = {};     ///< LLVM's name; "": the least that all CPUs of the target have, or this machine
  std::string features = {};  ///< LLVM's ("+v"), beside those of the CPU
  int vector_bits = 0;        ///< of the kernels' vectors; 0: the CPU's widest
  ExportFormat format = ExportFormat::object;
  WeightPlace weights = WeightPlace::object;
  WeightStorage weight_storage = WeightStorage::float32;
  /// Short code, direct convolutions and little scratch memory, as on microcontrollers. The results are then
  /// those of `compile` within rounding, no longer its bits.
  bool small = false;
  bool selftest = true;
  int max_threads = 1;  ///< above 1: a team of libomp's of up to so many threads works
  graph::ConvAlgorithm conv = graph::ConvAlgorithm::automatic;
};

/// One of the functions that were made, and what its callers have to know.
struct ExportedFunction {
  std::vector<runtime::BufferDesc> inputs, outputs;
  std::vector<std::string> checks;  ///< messages of data errors: it gives a failed one's number, from 1
  std::int64_t scratch_bytes = 0;
  std::int64_t scratch_alignment = 1;
  /// That it and what it calls take at most; of the caller alone with a team, and without vectors that are
  /// saved on CPUs whose vectors have no size that is known here.
  std::int64_t stack_bytes = 0;
  std::int64_t multiply_adds = 0;  ///< of products and convolutions, as the graph has them
};

/// Code that needs no library.
struct ExportedCode {
  std::string code;  ///< the object file, the assembly or the IR
  std::string target, cpu;
  bool has_scalable_vectors = false;
  std::int64_t code_bytes = 0;      ///< of instructions
  std::int64_t constant_bytes = 0;  ///< of weights that no function changes
  std::string digest;               ///< of graphs, weights and target
};

struct ExportedProgram : ExportedCode {
  ExportedFunction predict;
  std::string weights;  ///< the file of weights, if they are separate
  std::int64_t weight_alignment = 1;
  std::int64_t selftest_bytes = 0;  ///< of its inputs and outputs
  std::int64_t selftest_stack_bytes = 0;
};

/// Compiles a graph, with `states` as the elements of its states, to the functions
///
///     int32_t PREFIX_predict(const T *input..., T *output..., [const void *weights,] void *scratch);
///     int32_t PREFIX_selftest(T *output..., [const void *weights,] void *scratch);
///
/// predict gives 0, or -1 if an address is null or lacks its alignment, or the number of a check that failed.
/// selftest predicts for `test_inputs` and gives 0 if the results are those that this machine computes, or
/// the number of an output, from 1, that isn't: floats may differ by 1e-5 of the output's largest, or by as
/// much as rounding makes of them when sums have another order; others are equal. What hangs on a threshold
/// (argmax) may differ all the same.
///
/// With a team, the functions call libomp, which the program then links, and nothing else; the scratch memory
/// is for `max_threads` threads.
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

/// A graph of a device that trains: the elements of its states, and the place of each in the device's memory:
/// a number of one of its arrays, or -1 for a state that stays as it is.
struct TrainedGraph {
  const graph::Graph& graph;
  std::span<const Tensor> states;
  std::span<const int> memory;
};

struct ExportedTraining : ExportedCode {
  ExportedFunction train, predict;
  std::vector<std::int64_t> offsets;  ///< of the memory's arrays
  std::int64_t weight_bytes = 0;      ///< of the weights, at its beginning
  std::int64_t memory_bytes = 0;
  std::int64_t initial_bytes = 0;  ///< of read-only data that hold what it is at the start; zeros aren't kept
  std::int64_t memory_alignment = 1;
};

/// Compiles a training step and a prediction to functions over memory that the caller owns:
///
///     int32_t PREFIX_train_on_batch(const T *input..., T *output..., void *memory, void *scratch);
///     int32_t PREFIX_predict(const T *input..., T *output..., const void *memory, void *scratch);
///     int32_t PREFIX_init(void *memory);
///     int32_t PREFIX_get_weights(const void *memory, void *weights);
///     int32_t PREFIX_set_weights(void *memory, const void *weights);
///     int32_t PREFIX_set_learning_rate(void *memory, float rate);
///
/// `arrays` are what the memory holds at the start, the first `weights` of them the model's weights, and
/// number `learning_rate` a learning rate (-1: there is none, nor that function). States
/// that aren't in it become constants, and what hangs on them alone is computed here. A step that gives a
/// failed check's number has changed nothing in the memory.
///
/// `options` say what they do for `export_program`, but that there is no self test and weights are neither
/// separate nor narrow. Throws as that does; StateError if the step updates a state, or the prediction any,
/// that has no place in the memory.
KILN_API ExportedTraining export_training(const TrainedGraph& step, const TrainedGraph& prediction,
                                          std::span<const Tensor> arrays, std::size_t weights,
                                          int learning_rate, const ExportOptions& options);

}  // namespace kiln::codegen
