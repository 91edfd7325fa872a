// Training steps as object files with a C header.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "api/model/export_support.h"
#include "api/model/export_training_header.h"
#include "api/model/trainer.h"

namespace kiln {
namespace {

using internal::DeviceArray;

// The arrays of the device's memory: what a step changes, and the learning rate, which the device may. The
// weights come first.
std::vector<DeviceArray> device_arrays(const Model& model, const Optimizer& optimizer,
                                       const graph::Graph& step, const std::vector<Tensor>& storage) {
  const auto is_updated = [&](const Tensor& t) {
    for (std::size_t i = 0; i < storage.size(); i++)
      if (storage[i].raw() == t.raw()) return step.states()[i].next.node != nullptr;
    return false;
  };
  std::vector<DeviceArray> arrays;
  const auto is_there = [&](const Tensor& t) {
    return std::any_of(arrays.begin(), arrays.end(),
                       [&](const DeviceArray& a) { return a.storage.raw() == t.raw(); });
  };
  for (const auto& [path, weight] : model.named_weights())
    if (is_updated(weight.storage()) && !is_there(weight.storage()))
      arrays.push_back({.name = path, .storage = weight.storage(), .is_weight = true});
  if (const Tensor* rate = optimizer.impl().inner().learning_rate_variable())
    arrays.push_back({.name = "learning_rate", .storage = *rate});
  for (const Tensor& t : storage)
    if (is_updated(t) && !is_there(t)) arrays.push_back({.name = "", .storage = t});
  return arrays;
}

// By state: the number of its array in the memory, or -1.
std::vector<int> places(const std::vector<DeviceArray>& arrays, const std::vector<Tensor>& storage) {
  std::vector<int> result;
  for (const Tensor& t : storage) {
    const auto found = std::find_if(arrays.begin(), arrays.end(),
                                    [&](const DeviceArray& a) { return a.storage.raw() == t.raw(); });
    result.push_back(found == arrays.end() ? -1 : static_cast<int>(found - arrays.begin()));
  }
  return result;
}

}  // namespace

void Model::export_training_step(const std::string& path, ExportTrainingArgs args) const {
  constexpr const char* caller = "export_training_step";
  ModelImpl& model = model_impl();
  internal::Trainer& trainer = model.trainer(caller);
  internal::check_export(caller, *this, path);
  internal::check_row_count(caller, "batch_size", args.batch_size);
  internal::check_row_count(caller, "predict_batch_size", args.predict_batch_size);
  if (trainable_weights().empty())
    throw ValueError(fmt::format(
        "{}: model \"{}\" has no trainable weights, so a step would change nothing; set_trainable(true) "
        "on layers that are to learn, or take export_library",
        caller, name()));
  codegen::ExportOptions options;
  options.caller = caller;
  options.prefix = std::filesystem::path(path).filename().string();
  options.target = args.target;
  options.cpu = args.cpu;
  options.features = args.features;
  options.format = internal::export_format(caller, args.format);
  options.small = internal::optimizes_size(caller, args.optimize);
  options.max_threads = internal::team_size(caller, args.threads, args.max_threads);

  internal::BatchTypes types = trainer.standard_types(args.batch_size);
  if (args.sample_weight) types.weight = graph::Type{DType::f32, {args.batch_size}};
  graph::Graph step(fmt::format("{}_export_train_{}", name(), args.batch_size));
  Call step_call(step, true, trainer.random_counter());
  trainer.emit_training(step_call, types);
  graph::Graph prediction(fmt::format("{}_export_{}", name(), args.predict_batch_size));
  Call prediction_call(prediction, false);
  model.emit_prediction(prediction_call,
                        internal::batch_types(model, model.inputs(), args.predict_batch_size));

  const std::vector<DeviceArray> arrays =
      device_arrays(*this, trainer.optimizer(), step, step_call.storage());
  std::vector<Tensor> contents;
  for (const DeviceArray& a : arrays) contents.push_back(a.storage);
  // All at the same time, so that they belong together.
  std::vector<Tensor> storage = contents;
  for (const Call* call : {&step_call, &prediction_call})
    for (const Tensor& t : call->storage()) storage.push_back(t);
  storage = internal::copies(model, storage);
  const std::span<const Tensor> all(storage);
  const std::size_t step_states = step.states().size();

  const std::vector<int> step_places = places(arrays, step_call.storage()),
                         prediction_places = places(arrays, prediction_call.storage());
  const auto weights =
      std::count_if(arrays.begin(), arrays.end(), [](const DeviceArray& a) { return a.is_weight; });
  // Behind the weights, if there is one.
  const Tensor* rate = trainer.optimizer().impl().inner().learning_rate_variable();
  const codegen::ExportedTraining program = codegen::export_training(
      {step, all.subspan(arrays.size(), step_states), step_places},
      {prediction, all.subspan(arrays.size() + step_states), prediction_places}, all.first(arrays.size()),
      static_cast<std::size_t>(weights), rate == nullptr ? -1 : static_cast<int>(weights), options);
  internal::ExportedFiles files(path);
  files.add(internal::suffix(options.format), program.code);
  files.add(".h", internal::export_training_header(*this, program, args, arrays, trainer.has_loss(),
                                                   options.prefix));
  files.commit();
}

}  // namespace kiln
