// Training steps as object files with a C header.
#include <fmt/format.h>

#include <algorithm>

#include "api/model/export_support.h"
#include "api/model/export_training_header.h"
#include "api/model/trainer.h"

namespace kiln {
namespace {

using internal::DeviceArray;
using Kind = DeviceArray::Kind;

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
      arrays.push_back({.kind = Kind::weight, .path = path, .storage = weight.storage()});
  if (const Tensor* rate = optimizer.impl().inner().learning_rate_variable())
    arrays.push_back({.kind = Kind::learning_rate, .path = "", .storage = *rate});
  for (const Tensor& t : storage)
    if (is_updated(t) && !is_there(t)) arrays.push_back({.kind = Kind::other, .path = "", .storage = t});
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
  const codegen::ExportOptions options = internal::common_options(caller, path, args);

  internal::BatchTypes types = trainer.standard_types(args.batch_size);
  if (args.sample_weight) types.weight = graph::Type{DType::f32, {args.batch_size}};
  graph::Graph step(fmt::format("{}_export_train_{}", name(), args.batch_size));
  Call step_call(step, true, trainer.random_counter());
  trainer.emit_training(step_call, types);
  graph::Graph prediction(fmt::format("{}_export_{}", name(), args.predict_batch_size));
  Call prediction_call(prediction, false);
  model.emit_prediction(prediction_call,
                        internal::batch_types(model, model.inputs(), args.predict_batch_size));

  const std::vector<Tensor> step_storage = step_call.storage(),
                            prediction_storage = prediction_call.storage();
  const std::vector<DeviceArray> arrays = device_arrays(*this, trainer.optimizer(), step, step_storage);
  // All are copied at the same time, so that they belong together.
  std::vector<Tensor> storage;
  for (const DeviceArray& a : arrays) storage.push_back(a.storage);
  storage.insert(storage.end(), step_storage.begin(), step_storage.end());
  storage.insert(storage.end(), prediction_storage.begin(), prediction_storage.end());
  storage = internal::copies(model, storage);
  const std::span<const Tensor> all(storage), states = all.subspan(arrays.size());

  const std::vector<int> step_places = places(arrays, step_storage),
                         prediction_places = places(arrays, prediction_storage);
  const auto is_rate = [](const DeviceArray& a) { return a.kind == Kind::learning_rate; };
  const auto rate = std::find_if(arrays.begin(), arrays.end(), is_rate);
  const codegen::ExportedTraining program = codegen::export_training(
      {step, states.first(step_storage.size()), step_places},
      {prediction, states.subspan(step_storage.size()), prediction_places}, all.first(arrays.size()),
      static_cast<std::size_t>(std::count_if(arrays.begin(), arrays.end(),
                                             [](const DeviceArray& a) { return a.kind == Kind::weight; })),
      rate == arrays.end() ? -1 : static_cast<int>(rate - arrays.begin()), options);
  internal::ExportedFiles files("export_training_step", path);
  files.add(internal::suffix(options.format), program.code);
  files.add(".h", internal::export_training_header(*this, program, args, arrays, trainer.has_loss(),
                                                   options.prefix));
  files.commit();
}

}  // namespace kiln
