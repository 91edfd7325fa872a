#include "api/model/run_loops.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "api/model/predictor.h"
#include "api/model/trainer.h"

namespace kiln {
namespace internal {

CallbackList::CallbackList(std::vector<CallbackHandle> callbacks, ModelImpl& model,
                           const CallbackParams& params)
    : callbacks_(std::move(callbacks)) {
  const auto shared = std::static_pointer_cast<ModelImpl>(model.shared_from_this());
  for (const CallbackHandle& callback : callbacks_)
    if (!callback) throw StateError("callbacks: one of them is empty");
  each([&](Callback& c) { c.attach(shared, params); });
}

int CallbackList::verbose(int given) const {
  for (const CallbackHandle& callback : callbacks_)
    if (dynamic_cast<const callbacks::ProgbarLogger*>(&*callback) != nullptr) return 0;
  return given;
}

void check_batch_size(const char* caller, std::int64_t batch_size) {
  if (batch_size < 1)
    throw ValueError(fmt::format("{}: batch_size must be positive, but it is {}", caller, batch_size));
  if (batch_size > std::numeric_limits<std::int32_t>::max())
    throw ValueError(fmt::format("{}: batch_size must be below 2^31, but it is {}", caller, batch_size));
}

std::int64_t steps_over(const char* argument, std::int64_t rows, std::int64_t batch_size,
                        std::optional<std::int64_t> steps) {
  if (steps && *steps < 1)
    throw ValueError(fmt::format("{} must be positive, but it is {}", argument, *steps));
  const std::int64_t batches = (rows + batch_size - 1) / batch_size;
  return std::min(batches, steps.value_or(batches));
}

void run_evaluation(ModelImpl& model, BatchSource& source, std::int64_t steps, CallbackList* callbacks,
                    ProgressBar* bar, const InterruptGuard* guard) {
  Trainer& trainer = model.trainer("evaluate");
  trainer.reset_metrics();
  source.start_epoch(true);
  if (callbacks) callbacks->each([](Callback& c) { c.on_test_begin({}); });
  std::int64_t step = 0;
  while (steps == 0 || step < steps) {
    if (guard && guard->interrupted()) break;
    if (!source.fetch()) break;
    if (callbacks) callbacks->each([&](Callback& c) { c.on_test_batch_begin(step, {}); });
    source.run(trainer, Mode::test);
    step++;
    if (!callbacks && !bar) continue;
    const Logs so_far = sorted(trainer.logs());
    if (callbacks) callbacks->each([&](Callback& c) { c.on_test_batch_end(step - 1, so_far); });
    if (bar) bar->update(step, so_far);
  }
  const Logs logs = sorted(trainer.logs());
  if (bar) bar->update(step, logs, true);
  if (callbacks) callbacks->each([&](Callback& c) { c.on_test_end(logs); });
}

}  // namespace internal

using namespace internal;

Logs Model::evaluate(const Tensors& x, const Tensors& y, EvaluateArgs args) {
  ModelImpl& model = model_impl();
  Trainer& trainer = model.trainer("evaluate");
  check_batch_size("evaluate", args.batch_size);
  const Samples data = prepare_samples(model, "evaluate", x, y, args.sample_weight);
  const std::int64_t steps = steps_over("evaluate: steps", data.rows, args.batch_size, args.steps);
  CallbackList callbacks(args.callbacks, model, {args.verbose, 1, steps});
  ProgressBar bar(steps, callbacks.verbose(args.verbose));
  trainer.prepare(data);
  ArrayBatches batches(data, args.batch_size, false);
  run_evaluation(model, batches, steps, &callbacks, &bar);
  return trainer.logs();
}

std::vector<Tensor> Model::predict_all(const Tensors& x, PredictArgs args) const {
  ModelImpl& model = model_impl();
  check_batch_size("predict", args.batch_size);
  std::vector<Tensor> inputs = prepare_inputs(model, "predict", x);
  const std::int64_t rows = inputs[0].dim(0);
  const std::int64_t steps = steps_over("predict: steps", rows, args.batch_size, args.steps);
  if (args.steps)
    for (Tensor& t : inputs) t = t.slice(0, std::min(rows, steps * args.batch_size));
  CallbackList callbacks(args.callbacks, model, {args.verbose, 1, steps});
  ProgressBar bar(steps, callbacks.verbose(args.verbose));
  callbacks.each([](Callback& c) { c.on_predict_begin({}); });
  std::int64_t begun = 0;
  const auto begin_batch = [&] {
    if (begun < steps) callbacks.each([&](Callback& c) { c.on_predict_batch_begin(begun, {}); });
    begun++;
  };
  begin_batch();
  std::vector<Tensor> outputs = model.predictor().predict(inputs, args.batch_size, [&](std::int64_t done) {
    callbacks.each([&](Callback& c) { c.on_predict_batch_end(done - 1, {}); });
    bar.update(done, {}, done == steps);
    begin_batch();
  });
  callbacks.each([](Callback& c) { c.on_predict_end({}); });
  return outputs;
}

Tensor Model::predict(const Tensors& x, PredictArgs args) const {
  internal::require_one_output(model_impl());
  return predict_all(x, std::move(args))[0];
}

namespace internal {

void require_one_output(const ModelImpl& model) {
  if (model.connected() && model.outputs().size() != 1)
    throw StateError(fmt::format("model \"{}\" has {} outputs; call predict_all, which returns them all",
                                 model.name(), model.outputs().size()));
}

}  // namespace internal

namespace {

void predict_rows(ModelImpl& model, std::span<const Tensor> x, Tensor& out, std::int64_t batch_size) {
  check_batch_size("predict_into", batch_size);
  // The usual case, an array as the model wants it, is not copied, so that nothing is allocated for it.
  const bool ready = model.connected() && x.size() == 1 && model.inputs().size() == 1 &&
                     x[0].is_contiguous() && x[0].rank() == model.inputs()[0].shape().rank();
  std::vector<Tensor> prepared;
  if (ready)
    model.check({&x[0].shape(), 1});
  else
    prepared = prepare_inputs(model, "predict_into", std::vector<Tensor>(x.begin(), x.end()));
  const std::span<const Tensor> inputs = ready ? x : prepared;
  if (model.outputs().size() != 1)
    throw StateError(fmt::format("model \"{}\" has {} outputs; predict_into is for one", model.name(),
                                 model.outputs().size()));
  const Shape& symbolic = model.outputs()[0].shape();
  bool fits = out.defined() && out.dtype() == model.outputs()[0].dtype() && out.is_contiguous() &&
              out.rank() == symbolic.rank() && out.dim(0) == inputs[0].dim(0);
  bool sizes_known = true;
  for (int axis = 1; fits && axis < symbolic.rank(); axis++) {
    sizes_known = sizes_known && symbolic.dim(axis) != None;
    fits = symbolic.dim(axis) == None || symbolic.dim(axis) == out.dim(axis);
  }
  if (fits && !sizes_known) fits = model.predictor().output_type(0, inputs).shape == out.shape();
  if (!fits) {
    const graph::Type type = model.predictor().output_type(0, inputs);
    const std::string came =
        !out.defined() ? "is an empty Tensor"
                       : fmt::format("has shape {} and type {}{}", out.shape().to_string(), name(out.dtype()),
                                     out.is_contiguous() ? "" : " and isn't contiguous");
    const std::string problem =
        fmt::format("predict_into: `out` must be contiguous, of shape {} and type {}, but it {}",
                    type.shape.to_string(), name(type.dtype), came);
    const bool type_alone = out.defined() && out.is_contiguous() && out.shape() == type.shape;
    if (type_alone) throw TypeError(problem);
    throw ShapeError(problem);
  }
  for (const Tensor& t : inputs)
    if (overlap(t, out))
      throw ValueError(
          "predict_into: `out` lies over `x` in memory, which would be written before it was read; give "
          "another array");
  model.predictor().predict_into(inputs, {&out, 1}, batch_size);
}

}  // namespace

void Model::predict_into(const Tensor& x, Tensor& out, std::int64_t batch_size) const {
  predict_rows(model_impl(), {&x, 1}, out, batch_size);
}
void Model::predict_into(const Tensors& x, Tensor& out, std::int64_t batch_size) const {
  predict_rows(model_impl(), {x.begin(), x.end()}, out, batch_size);
}

Tensor Model::predict_on_batch(const Tensors& x) const {
  // One batch of the next power of two, so that ever new numbers of rows don't compile ever new graphs.
  const std::int64_t rows = x.empty() || x[0].rank() < 1 ? 1 : std::max<std::int64_t>(1, x[0].dim(0));
  const auto batch_size = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(rows)));
  return predict(x, {.batch_size = batch_size, .verbose = 0});
}

namespace {

Logs run_batch(ModelImpl& model, Mode mode, const char* caller, const Tensors& x, const Tensors& y,
               const BatchArgs& args) {
  Trainer& trainer = model.trainer(caller);
  Samples data = prepare_samples(model, caller, x, y, args.sample_weight);
  apply_class_weight(data, caller, args.class_weight);
  trainer.prepare(data);
  Feeder feeder(data.arrays(), data.rows);
  trainer.run(mode, data.types(data.rows), feeder.consecutive(0), 0);
  return trainer.logs();
}

}  // namespace

Logs Model::train_on_batch(const Tensors& x, const Tensors& y, BatchArgs args) {
  return run_batch(model_impl(), Mode::train, "train_on_batch", x, y, args);
}
Logs Model::test_on_batch(const Tensors& x, const Tensors& y, BatchArgs args) {
  return run_batch(model_impl(), Mode::test, "test_on_batch", x, y, args);
}
void Model::reset_metrics() {
  model_impl().trainer("reset_metrics").reset_metrics();
}

}  // namespace kiln
