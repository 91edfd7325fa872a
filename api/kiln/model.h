#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kiln/callbacks.h"
#include "kiln/data/dataset.h"
#include "kiln/layer.h"
#include "kiln/losses.h"
#include "kiln/memory.h"
#include "kiln/metrics.h"
#include "kiln/optimizers.h"
#include "kiln/profile.h"
#include "kiln/runtime/executable.h"
#include "kiln/tensors.h"

namespace kiln {

class ModelImpl;

struct ModelArgs {
  std::vector<SymbolicTensor> inputs;
  std::vector<SymbolicTensor> outputs;
  std::string name = "";
};

struct CompileArgs {
  Optimizer optimizer = "rmsprop";
  Losses loss = {};
  LossWeights loss_weights = {};
  Metrics metrics = {};
  Metrics weighted_metrics = {};  ///< like metrics, but weighted by the sample weights
  /// Bytes that a training step may take for what it computes on the way (`arena` of Model::memory); 0: as
  /// many as it needs. To keep it, values of the forward pass are computed a second time where the gradient
  /// needs them: results are the same to the bit, and steps take longer. Where even that is too much, making
  /// the step throws ValueError.
  std::int64_t memory_limit = 0;
};

/// What `fit` evaluates after each epoch: `{x, y}` or `{x, y, sample_weight}`, or a dataset of batches.
struct ValidationData {
  Tensors x = {};
  Tensors y = {};
  Tensor sample_weight = {};
  std::optional<data::Dataset> dataset = {};
};

struct FitArgs {
  std::int64_t batch_size = 32;
  std::int64_t epochs = 1;
  int verbose = 1;  ///< 0: silent, 1: progress line, 2: one line an epoch
  std::vector<CallbackHandle> callbacks = {};
  double validation_split = 0;  ///< share of the rows, the last ones before shuffling, to validate on
  ValidationData validation_data = {};
  bool shuffle = true;
  std::map<std::int64_t, double> class_weight = {};  ///< class number to weight; others count 1
  Tensor sample_weight = {};
  std::int64_t initial_epoch = 0;
  /// Default: all batches. With a number, an epoch goes on where the last one stopped; where the rows end
  /// within one, a warning is printed, the epoch is over, and the next one begins anew.
  std::optional<std::int64_t> steps_per_epoch = {};
  std::optional<std::int64_t> validation_steps = {};
  std::optional<std::int64_t> validation_batch_size = {};  ///< default: batch_size
  std::int64_t validation_freq = 1;
};

/// For a dataset, which brings its batches, their order and the weights of samples.
struct FitDatasetArgs {
  std::int64_t epochs = 1;
  int verbose = 1;
  std::vector<CallbackHandle> callbacks = {};
  ValidationData validation_data = {};
  std::map<std::int64_t, double> class_weight = {};
  std::int64_t initial_epoch = 0;
  /// Default: until the dataset ends. With a number, an epoch goes on where the last one stopped; where the
  /// dataset ends within one, a warning is printed, the epoch is over, and the next one begins anew.
  std::optional<std::int64_t> steps_per_epoch = {};
  std::optional<std::int64_t> validation_steps = {};
  std::int64_t validation_batch_size = 32;  ///< for validation data in arrays
  std::int64_t validation_freq = 1;
};

struct EvaluateArgs {
  std::int64_t batch_size = 32;
  int verbose = 1;
  Tensor sample_weight = {};
  std::optional<std::int64_t> steps = {};
  std::vector<CallbackHandle> callbacks = {};
};

struct EvaluateDatasetArgs {
  int verbose = 1;
  std::optional<std::int64_t> steps = {};  ///< default: until the dataset ends
  std::vector<CallbackHandle> callbacks = {};
};

struct PredictArgs {
  /// Rows between two calls of callbacks. They may be padded or cut: a model's layers don't mix rows.
  std::int64_t batch_size = 32;
  int verbose = 1;
  std::optional<std::int64_t> steps = {};
  std::vector<CallbackHandle> callbacks = {};
};

struct PredictDatasetArgs {
  int verbose = 1;
  std::optional<std::int64_t> steps = {};  ///< default: until the dataset ends
  std::vector<CallbackHandle> callbacks = {};
};

struct BatchArgs {
  Tensor sample_weight = {};
  std::map<std::int64_t, double> class_weight = {};
};

/// For which machine `Model::export_library` compiles, and what it writes.
///
/// At batch size 1, Dense layers of 256 units and more, 32 KiB to 4 MiB of weights, read only those whose
/// input isn't zero (on CPUs with vectors, `optimize` "speed", `threads` "single"): with half of the inputs
/// zero they take about half the time.
struct ExportArgs {
  /// LLVM's triple: "x86_64-linux-gnu", "aarch64-linux-gnu", "thumbv7em-none-eabihf" (Cortex-M4 and M7),
  /// "thumbv8m.main-none-eabihf" (M33), "riscv64-linux-gnu", "riscv32-unknown-elf", "wasm32-unknown-unknown".
  /// "": this machine.
  std::string target = "";
  /// LLVM's name of the CPU: "cortex-m7", "x86-64-v3". "": what every x86-64 and AArch64 has; Cortex-M4, or
  /// M33 without DSP; rv64imafdc or rv32imfc; WebAssembly with vectors. Without a target, all that this
  /// machine has.
  std::string cpu = "";
  std::string features = "";  ///< LLVM's names of what the CPU has besides: "+v"
  std::int64_t batch_size = 1;
  std::string format = "object";  ///< or "assembly", or "llvm_ir"
  /// "embedded": the weights are read-only data of the object file. "separate": they are written to
  /// `path`.weights, of which the functions take the address: a file that can be mapped into memory.
  std::string weights = "embedded";
  /// "float16" and "bfloat16" keep each float32 weight in two bytes, rounded; all is computed in float32.
  /// (3x3 and 5x5 convolutions in Winograd's form keep transformed kernels, 36 numbers for each pair of
  /// channel and filter, which are rounded in that form: about twice the error. `optimize` "size" has none.)
  /// bfloat16, 8 bits of each weight, is for speed, too: with AVX2 or AVX-512, large Dense layers at batch
  /// size 1, bound by their weights' bytes, take about half the time, if their units are a multiple of two
  /// vectors (16 or 32). On microcontrollers both cost time, float16, which keeps 11 bits, anywhere. (A CPU
  /// that is set to flush subnormal numbers loses float16's below 6e-5.)
  std::string weight_storage = "float32";
  /// "size": short code and direct convolutions, which need no scratch memory but for images with padding,
  /// as microcontrollers get them in any case; the results are then predict's within rounding. "speed": they
  /// have predict's bits, if the code is for this machine (neither target nor cpu) and the weights float32.
  std::string optimize = "speed";
  /// "openmp": the functions run with a team of libomp's, which the program then links; for Linux on CPUs of
  /// 64 bits. The results are the same to the bit. "single": they run on the thread that calls them.
  std::string threads = "single";
  std::int64_t max_threads = 8;  ///< of a team, each of which has its share of the scratch memory
  bool selftest = true;  ///< the function that predicts for known inputs and compares; false: there is none
  /// The inputs that it knows, `batch_size` rows. Without them random ones are taken: floats from 0 to 1, and
  /// whole numbers that the model's checks let pass.
  Tensors test_inputs = {};
};

/// For which machine `Model::export_training_step` compiles, and what it writes.
struct ExportTrainingArgs {
  std::string target = "";              ///< as in ExportArgs
  std::string cpu = "";                 ///< as in ExportArgs
  std::string features = "";            ///< as in ExportArgs
  std::int64_t batch_size = 1;          ///< rows of a training step
  std::int64_t predict_batch_size = 1;  ///< rows of a prediction
  std::string format = "object";        ///< or "assembly", or "llvm_ir"
  std::string optimize = "speed";       ///< as in ExportArgs
  std::string threads = "single";       ///< as in ExportArgs
  std::int64_t max_threads = 8;         ///< as in ExportArgs
  bool sample_weight = false;           ///< a step takes a weight for each row
};

struct SummaryArgs {
  std::optional<int> line_length = {};
  std::vector<double> positions = {};  ///< where each column ends, as a share of the line
  bool expand_nested = false;
  bool show_trainable = false;
};

/// A model: layers between inputs and outputs, with training, evaluation and prediction. A handle, and a
/// layer: a model can be called on symbolic tensors and put into another model.
///
///     auto x = Input({784});
///     auto y = Dense(10)(Dense(128, {.activation = "relu"})(x));
///     Model model({.inputs = {x}, .outputs = {y}});
///
/// Shapes of data: one row for each sample. Data may lack, or have, a last axis of size 1 against what the
/// model expects. Any number of threads may call `predict` at the same time, also while another trains.
class KILN_API Model : public Layer {
 public:
  Model() = default;
  /// Throws StateError if an output doesn't come from the inputs.
  explicit Model(ModelArgs args);
  explicit Model(std::shared_ptr<ModelImpl> impl);
  /// A model that was put into another, as `get_layer` gives it. Throws TypeError for a layer of another
  /// kind.
  explicit Model(const Layer& layer);

  using Layer::operator();
  /// The outputs for a batch, without loops or progress line.
  Tensor operator()(const Tensors& x) const { return predict_on_batch(x); }

  /// Sets optimizer, loss and metrics for training. Needed before fit, evaluate and the like.
  void compile(CompileArgs args);
  /// Trains. Returns each epoch's loss and metrics; Ctrl-C ends it after the running step. Throws StateError
  /// before `compile`, ShapeError and ValueError for data that don't fit, ValueError if the loss gives no
  /// weight a gradient.
  History fit(const Tensors& x, const Tensors& y, FitArgs args = {});
  /// The same from a dataset of batches: with the same batches, the same bits. What the dataset throws comes
  /// out of here; weights keep what steps before have made of them. Throws ValueError besides for a dataset
  /// of samples (without `batch`), one without items, and one without end unless steps_per_epoch is given.
  History fit(const data::Dataset& batches, FitDatasetArgs args = {});
  /// Loss and metrics over all rows, whatever the batch size.
  Logs evaluate(const Tensors& x, const Tensors& y, EvaluateArgs args = {});
  Logs evaluate(const data::Dataset& batches, EvaluateDatasetArgs args = {});
  /// The output for all rows. Zero rows give zero rows. Throws StateError if there are several outputs.
  ///
  /// What hangs on weights alone is computed at the first call after they changed and kept: transformed
  /// kernels, and for batches of 32 rows or more a copy of each Dense kernel of 4 to 64 MiB in the order in
  /// which it is read best. Each batch size has its own; `memory` tells of them.
  Tensor predict(const Tensors& x, PredictArgs args = {}) const;
  /// The output for the x of all batches, one below the other.
  Tensor predict(const data::Dataset& batches, PredictDatasetArgs args = {}) const;
  /// All outputs of a model with several.
  std::vector<Tensor> predict_all(const Tensors& x, PredictArgs args = {}) const;
  std::vector<Tensor> predict_all(const data::Dataset& batches, PredictDatasetArgs args = {}) const;
  /// Writes the prediction into `out`, which must be contiguous and of the output's shape and type (else
  /// ShapeError, or TypeError where only the type differs) and must not overlap `x` (ValueError). After the
  /// first call with as many rows, nothing is allocated.
  void predict_into(const Tensor& x, Tensor& out, std::int64_t batch_size = 32) const;
  void predict_into(const Tensors& x, Tensor& out, std::int64_t batch_size = 32) const;

  /// One step on one batch. Returns loss and metrics since the last `reset_metrics`, as Keras does.
  Logs train_on_batch(const Tensors& x, const Tensors& y, BatchArgs args = {});
  Logs test_on_batch(const Tensors& x, const Tensors& y, BatchArgs args = {});
  Tensor predict_on_batch(const Tensors& x) const;
  void reset_metrics();

  /// Prints the table of layers.
  void summary(SummaryArgs args = {}) const;
  /// The same as a string.
  std::string summary_text(SummaryArgs args = {}) const;

  /// Makes the weights of a model without Input for inputs of this shape, `(None, ...)`.
  void build(const Shape& input_shape);
  std::vector<Layer> layers() const;
  /// Throws ValueError (with the nearest name) or ShapeError if there is no such layer.
  Layer get_layer(const std::string& name) const;
  Layer get_layer(std::int64_t index) const;
  /// The model's input, or output, itself. Throws StateError if it isn't built, or has several.
  SymbolicTensor input() const;
  SymbolicTensor output() const;
  const std::vector<SymbolicTensor>& inputs() const;
  const std::vector<SymbolicTensor>& outputs() const;
  /// Throws StateError before `compile`.
  Optimizer optimizer() const;
  /// Names of what evaluate returns; metrics are known once data were seen.
  std::vector<std::string> metrics_names() const;
  /// Ends a running fit after its step, as a callback may wish.
  void stop_training();

  /// The model without its weights' values, as JSON in Keras's form: in one line, or indented by so many
  /// spaces. `model_from_json` makes an equal model of it, and Keras's function of that name does, too, as
  /// long as there are no layers of your own. Throws StateError for what can't be written down, such as a
  /// lambda as activation.
  std::string to_json(int indent = -1) const;

  /// Writes all weights into a safetensors file, atomically: a temporary file, then a rename. Throws
  /// StateError if the model isn't built, ValueError for a path that ends as Keras's own formats do (".h5",
  /// ".keras"), FileError if the file can't be written.
  void save_weights(const std::string& path) const;
  /// Reads them back, into this model or another of the same architecture. Throws FileError if the file is
  /// damaged or lacks a weight, or has one that the model lacks, ShapeError if a shape differs; the model is
  /// unchanged then.
  void load_weights(const std::string& path);
  /// All weights with names that don't depend on what else the program has built: `dense/kernel`,
  /// `dense_1/bias`, `sequential/dense/kernel` for a nested model; a layer's own name where the user gave
  /// one.
  std::vector<std::pair<std::string, Variable>> named_weights() const;

  /// What was compiled for this model so far, one program for each kind of step and batch size: its kernels,
  /// its memory, the time it took. First training and evaluation, then prediction.
  std::vector<std::shared_ptr<const runtime::Program>> programs() const;
  /// Times each kernel of a training step over the first `batch_size` rows. Weights, optimizer and metrics
  /// stay as they are. Throws StateError before `compile` and where graphs are interpreted (KILN_BACKEND),
  /// else as train_on_batch does.
  Profile profile(const Tensors& x, const Tensors& y, ProfileArgs args = {});
  /// The same of a prediction, while the weights stay as they are.
  Profile profile(const Tensors& x, ProfileArgs args = {}) const;
  /// What steps of that batch size need, as planned; they are compiled, and none is run. Inputs and labels
  /// are of the types seen last; before any were seen, of those that the model's inputs and losses say.
  /// Without `compile` there is only the prediction. Throws StateError if the model isn't built or graphs are
  /// interpreted (KILN_BACKEND), ShapeError if sizes aren't known before data come.
  Memory memory(MemoryArgs args = {});

  /// Writes the model's prediction, for batches of `batch_size` rows, as code that needs no library:
  /// `path`.o (".s" for assembly, ".ll" for IR) and `path`.h, a C99 header with the functions and what a
  /// caller has to know. Every C name begins with the path's last part, so several models can be linked into
  /// one program. The weights are as they are now. Nothing is allocated; a call uses the caller's scratch
  /// memory and PREFIX_STACK_BYTES of stack.
  ///
  /// Throws StateError if the model isn't built, or changes weights when it predicts; ShapeError if its
  /// inputs have sizes that aren't known, or test_inputs don't fit; ValueError for a target or CPU that isn't
  /// known or can't compute the model, for a name that isn't C's, and where no test inputs pass the model's
  /// checks; FileError if a file can't be written.
  void export_library(const std::string& path, ExportArgs args = {}) const;

  /// Writes a training step, with the model's loss, gradients and optimizer, and the prediction as code that
  /// needs no library: `path`.o and `path`.h as `export_library` does. Both work on memory that the caller
  /// owns, PREFIX_STATE_BYTES: the weights, the optimizer's slots, its learning rate and counters. Functions
  /// fill it with what the model has now, and get and set the weights. Layers with `trainable = false` keep
  /// their weights as constants, and nothing is computed or stored for their gradients. Metrics are left out:
  /// a step gives the loss.
  ///
  /// On this machine a step gives the bits of `train_on_batch`. Labels are of the types that the losses want:
  /// float32 in the outputs' shape, int32 for sparse ones.
  ///
  /// Throws StateError if the model isn't compiled or built, ValueError if no weight is trainable; else as
  /// `export_library` does. Schedules and Adafactor need float64, which small CPUs lack: compile with a
  /// number as learning rate, and let the device set others.
  void export_training_step(const std::string& path, ExportTrainingArgs args = {}) const;

  ModelImpl& model_impl() const;
};

/// A model from what `to_json` gave, in Kiln or in Keras: with new weights, not compiled. Throws ValueError
/// or TypeError for anything else, and for layers that Kiln doesn't know.
KILN_API Model model_from_json(std::string_view text);
/// The same from a class name, "Sequential" or "Functional", and what `get_config` gave.
KILN_API Model model_from_config(const std::string& class_name, const Config& config);
/// A model of the same layers, with new weights.
KILN_API Model clone_model(const Model& model);

}  // namespace kiln
