#include <fmt/format.h>

#include <set>

#include "codegen/export_parts.h"
#include "codegen/forks.h"

namespace kiln::codegen {
namespace {

/// Which of the graph's states lie in the memory.
std::vector<bool> in_memory(const TrainedGraph& of) {
  std::vector<bool> result;
  for (const int array : of.memory) result.push_back(array >= 0);
  return result;
}

/// Throws if what the graph updates has no place that keeps it.
void check_updates(const TrainedGraph& of) {
  for (std::size_t i = 0; i < of.graph.states().size(); ++i)
    if (of.graph.states()[i].next && of.memory[i] < 0)
      throw StateError(fmt::format("export_training_step: \"{}\" is updated, but not in the device's memory",
                                   of.graph.states()[i].name));
}

std::vector<std::int64_t> offsets_of(const TrainedGraph& of, const DeviceMemory& memory) {
  std::vector<std::int64_t> result;
  for (const int array : of.memory)
    result.push_back(array < 0 ? -1 : memory.offsets.at(static_cast<std::size_t>(array)));
  return result;
}

/// Of the constants of all programs, each once.
std::int64_t bytes_of_constants(std::initializer_list<const DeviceProgram*> programs) {
  std::set<std::string_view> known;
  std::int64_t bytes = 0;
  for (const DeviceProgram* p : programs)
    for (const StoredWeights::Constant& c : p->weights.constants)
      if (known.insert(c.bytes).second) bytes += static_cast<std::int64_t>(c.bytes.size());
  return bytes;
}

}  // namespace

ExportedTraining export_training(const TrainedGraph& step, const TrainedGraph& prediction,
                                 std::span<const Tensor> arrays, std::size_t weights, int learning_rate,
                                 const ExportOptions& options) {
  const Target target = export_target(options);
  check_updates(step);
  for (const graph::StateSlot& s : prediction.graph.states())
    if (s.next)
      throw StateError(fmt::format(
          "export_training_step: the model changes its weight \"{}\" when it predicts, and only training may",
          s.name));
  const Compiling compiling;
  const DeviceMemory memory(arrays, weights, learning_rate);
  check_size("the memory of weights and optimizer", memory.bytes, options, target);
  const DeviceProgram train(step.graph, step.states, in_memory(step), options, target);
  const DeviceProgram predict(prediction.graph, prediction.states, in_memory(prediction), options, target);

  ObjectMaker maker(target, LinkedInto::program);
  const ExportFunction functions[] = {
      {"train_on_batch", train.lowered, train.weights, offsets_of(step, memory)},
      {"predict", predict.lowered, predict.weights, offsets_of(prediction, memory)}};
  const ExportParts parts = {.prefix = options.prefix, .memory = &memory, .max_threads = options.max_threads};
  const CodeOfExport code(emit_export(functions, target, parts, maker.context()), maker, target, options);

  ExportedTraining result;
  static_cast<ExportedCode&>(result) = code.code();
  result.train = train.facts(step.graph);
  result.predict = predict.facts(prediction.graph);
  result.train.stack_bytes = code.stack_bytes(options.prefix + "_train_on_batch");
  result.predict.stack_bytes = code.stack_bytes(options.prefix + "_predict");
  result.offsets = memory.offsets;
  result.weight_bytes = memory.weight_bytes;
  result.memory_bytes = memory.bytes;
  result.initial_bytes = static_cast<std::int64_t>(memory.image.size());
  result.memory_alignment = memory_alignment;
  result.constant_bytes = bytes_of_constants({&train, &predict});
  DigestOf digest;
  add_to(digest, step.graph, train.weights);
  add_to(digest, prediction.graph, predict.weights);
  digest.add(memory.image);
  add_to(digest, options, target);
  result.digest = text_of(digest);
  return result;
}

}  // namespace kiln::codegen
