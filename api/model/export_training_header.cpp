#include "api/model/export_training_header.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "api/model/c_header.h"

namespace kiln::internal {
namespace {

class TrainingHeader {
 public:
  TrainingHeader(const Model& model, const codegen::ExportedTraining& program, const ExportTrainingArgs& args,
                 const std::vector<DeviceArray>& arrays, const std::vector<bool>& has_loss,
                 const std::string& prefix)
      : header_(prefix), model_(model), program_(program), args_(args), arrays_(arrays), has_loss_(has_loss) {
    header_.own_name("state");
    header_.own_name("learning_rate");
    loss_ = header_.own_name("loss");
    if (args.sample_weight) weight_ = header_.own_name("sample_weight");
    for (const SymbolicTensor& x : model.inputs())
      inputs_.push_back(header_.name_of(x.layer(), "input", "", "_train"));
    for (const SymbolicTensor& y : model.outputs()) {
      outputs_.push_back(header_.name_of(y.layer(), "output"));
      labels_.push_back(header_.name_of(y.layer(), "labels", "_labels"));
    }
  }

  std::string text() {
    const codegen::ExportedFunction &train = program_.train, &predict = program_.predict;
    header_.describe(
        model_, program_,
        fmt::format("{} in training, {} in predictions", args_.batch_size, args_.predict_batch_size),
        "float32, in the device's memory",
        fmt::format("{} of a training step, {} of a prediction", train.multiply_adds, predict.multiply_adds),
        true);
    header_.begin();
    header_.line("/* Rows of a training step and of a prediction. */");
    header_.line("#define {0}_TRAIN_BATCH {1}\n#define {0}_PREDICT_BATCH {2}\n", header_.macro(),
                 args_.batch_size, args_.predict_batch_size);
    const std::size_t inputs = inputs_.size();
    for (std::size_t i = 0; i < inputs; i++) {
      header_.describe("input of a training step", inputs_[i], train.inputs[i], "_train");
      header_.describe("input of a prediction", inputs_[i], predict.inputs[i]);
    }
    for (std::size_t i = 0; i < labels_.size(); i++)
      header_.describe(has_loss_[i] ? "labels" : "labels (never read, may be 0: the output has no loss)",
                       labels_[i], train.inputs[inputs + i]);
    if (args_.sample_weight)
      header_.describe("weights of the samples", weight_, train.inputs[inputs + labels_.size()]);
    header_.describe("output", outputs_, predict.outputs);
    memory();
    header_.begin_functions();
    functions();
    return header_.finish();
  }

 private:
  void memory() {
    const std::string& macro = header_.macro();
    header_.line("/* The state: memory with the weights, which come first, and what the optimizer keeps. */");
    header_.line("#define {}_STATE_BYTES {}", macro, program_.memory_bytes);
    header_.line("#define {}_STATE_ALIGN {}", macro, program_.memory_alignment);
    header_.line("#define {}_WEIGHT_BYTES {}\n", macro, program_.weight_bytes);
    header_.line("/* Where they are in it, in bytes from its beginning. */");
    for (std::size_t i = 0; i < arrays_.size(); i++)
      if (arrays_[i].kind != DeviceArray::Kind::other)
        header_.line("#define {}_{}_OFFSET {} /* {} {} */", macro, upper(name_of(arrays_[i])),
                     program_.offsets[i], c_type(arrays_[i].storage.dtype()),
                     arrays_[i].storage.shape().to_string());
    header_.line(
        "\n/* Read-only data of the object file: what the state begins with, and weights that stay as they "
        "are. */");
    header_.line("#define {}_INIT_BYTES {}", macro, program_.initial_bytes);
    header_.line("#define {}_CONSTANT_BYTES {}\n", macro, program_.constant_bytes);
    header_.line(
        "/* Memory that a call needs while it runs, and its alignment; it may serve others between calls. "
        "*/");
    for (const auto& [name, function] : {std::pair("TRAIN", &program_.train), {"PREDICT", &program_.predict}})
      header_.line("#define {}_{}_SCRATCH_BYTES {}", macro, name,
                   std::max<std::int64_t>(1, function->scratch_bytes));
    header_.line("#define {}_SCRATCH_ALIGN {}", macro,
                 std::max(program_.train.scratch_alignment, program_.predict.scratch_alignment));
    header_.describe_stack(program_, args_.threads == "openmp",
                           std::max(program_.train.stack_bytes, program_.predict.stack_bytes));
    header_.line("");
  }
  std::string name_of(const DeviceArray& array) {
    return array.kind == DeviceArray::Kind::weight ? header_.own_name(c_name(array.path)) : "learning_rate";
  }

  void functions() {
    const std::string& prefix = header_.prefix();
    const codegen::ExportedFunction &train = program_.train, &predict = program_.predict;
    const std::string misaligned =
        "-1 if an address is null, or lacks the alignment of its type, of state or of scratch";
    header_.line(
        "/* Fills the state with the weights that the model had when it was exported, and an optimizer");
    header_.line(
        " * that goes on from there, with its learning rate. Returns 0, or -1 if state lacks its alignment. "
        "*/");
    header_.line("int32_t {}_init(void *state);\n", prefix);

    std::vector<std::string> names = inputs_, parameters;
    names.insert(names.end(), labels_.begin(), labels_.end());
    if (args_.sample_weight) names.push_back(weight_);
    add_parameters(parameters, "const ", names, train.inputs);
    add_parameters(parameters, "", {loss_}, train.outputs);
    header_.line(
        "/* One step of training: gives the loss of the batch, as the weights were before, and updates");
    header_.line(
        " * the state. No two of the arrays may overlap. Returns 0, or the number of what is wrong with");
    header_.line(" * the data, and nothing has changed in the state then:");
    header_.line("{} */", meaning_of_results(misaligned, train.checks));
    header_.line("int32_t {}_train_on_batch({}, void *state, void *scratch);\n", prefix,
                 fmt::join(parameters, ", "));

    parameters.clear();
    add_parameters(parameters, "const ", inputs_, predict.inputs);
    add_parameters(parameters, "", outputs_, predict.outputs);
    header_.line("/* Predicts with the state's weights. No two of the arrays may overlap. Returns 0, or");
    header_.line("{} */", meaning_of_results(misaligned, predict.checks));
    header_.line("int32_t {}_predict({}, const void *state, void *scratch);\n", prefix,
                 fmt::join(parameters, ", "));

    header_.line(
        "/* Copies the weights, {}_WEIGHT_BYTES, out of the state or into it. They keep their places:",
        header_.macro());
    header_.line(
        " * the offsets above are theirs, too. Return 0, or -1 if state lacks its alignment, or weights");
    header_.line(" * that of float. */");
    header_.line("int32_t {}_get_weights(const void *state, void *weights);", prefix);
    header_.line("int32_t {}_set_weights(void *state, const void *weights);", prefix);
    const auto rate = std::find_if(arrays_.begin(), arrays_.end(), [](const DeviceArray& a) {
      return a.kind == DeviceArray::Kind::learning_rate;
    });
    if (rate == arrays_.end()) return;  // it follows a schedule
    header_.line(
        "\n/* Sets the learning rate of the steps that follow. Returns 0, or -1 if state lacks its alignment "
        "or");
    header_.line(" * the rate is below 0 or not finite. */");
    header_.line("int32_t {}_set_learning_rate(void *state, {} rate);", prefix,
                 c_type(rate->storage.dtype()));
  }

  CHeader header_;
  const Model& model_;
  const codegen::ExportedTraining& program_;
  const ExportTrainingArgs& args_;
  const std::vector<DeviceArray>& arrays_;
  const std::vector<bool>& has_loss_;
  std::vector<std::string> inputs_, outputs_, labels_;
  std::string loss_, weight_;
};

}  // namespace

std::string export_training_header(const Model& model, const codegen::ExportedTraining& program,
                                   const ExportTrainingArgs& args, const std::vector<DeviceArray>& arrays,
                                   const std::vector<bool>& has_loss, const std::string& prefix) {
  return TrainingHeader(model, program, args, arrays, has_loss, prefix).text();
}

}  // namespace kiln::internal
