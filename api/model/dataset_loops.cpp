// evaluate and predict from datasets.
#include <fmt/format.h>

#include <cstring>

#include "api/model/predictor.h"
#include "api/model/run_loops.h"

namespace kiln {

using namespace internal;

Logs Model::evaluate(const data::Dataset& batches, EvaluateDatasetArgs args) {
  ModelImpl& model = model_impl();
  Trainer& trainer = model.trainer("evaluate");
  const std::int64_t steps = steps_over("evaluate", "steps", batches, args.steps);
  DatasetBatches source(model, "evaluate", batches);
  source.fetch();
  trainer.prepare(source.batch());
  CallbackList callbacks(args.callbacks, model, {args.verbose, 1, steps});
  ProgressBar bar(steps, callbacks.verbose(args.verbose));
  run_evaluation(model, source, steps, &callbacks, &bar);
  return trainer.logs();
}

namespace {

/// The rows of all parts, one below the other.
Tensor joined(const std::vector<std::vector<Tensor>>& parts, std::size_t output) {
  if (parts.size() == 1) return parts[0][output];
  std::int64_t rows = 0;
  const Tensor& first = parts[0][output];
  for (const auto& part : parts) {
    if (part[output].shape().tail() != first.shape().tail())
      throw ShapeError(fmt::format(
          "predict: the outputs of the first batch have shape {}, those of another {}; batches whose outputs "
          "differ can't be put together",
          first.shape().to_string(), part[output].shape().to_string()));
    rows += part[output].dim(0);
  }
  Tensor all(first.shape().tail().prepend(rows), first.dtype());
  auto* to = static_cast<std::byte*>(all.raw());
  for (const auto& part : parts) {
    const Tensor& t = part[output];
    if (t.nbytes() > 0) std::memcpy(to, t.raw(), t.nbytes());
    to += t.nbytes();
  }
  return all;
}

}  // namespace

std::vector<Tensor> Model::predict_all(const data::Dataset& batches, PredictDatasetArgs args) const {
  ModelImpl& model = model_impl();
  check_batches("predict", batches);
  const std::int64_t steps = steps_over("predict", "steps", batches, args.steps);
  CallbackList callbacks(args.callbacks, model, {args.verbose, 1, steps});
  ProgressBar bar(steps, callbacks.verbose(args.verbose));
  callbacks.each([](Callback& c) { c.on_predict_begin({}); });
  const std::unique_ptr<Stream> stream = batches.node().open();
  std::vector<std::vector<Tensor>> parts;
  Sample sample;
  for (std::int64_t step = 0; (steps == 0 || step < steps) && stream->next(sample); step++) {
    const std::string place = fmt::format("predict: batch {} of the dataset", step);
    const std::vector<Tensor> inputs = prepare_inputs(model, place.c_str(), sample.take().x);
    callbacks.each([&](Callback& c) { c.on_predict_batch_begin(step, {}); });
    parts.push_back(model.predictor().predict(inputs, std::max<std::int64_t>(1, inputs[0].dim(0))));
    callbacks.each([&](Callback& c) { c.on_predict_batch_end(step, {}); });
    bar.update(step + 1, {}, step + 1 == steps);
  }
  if (parts.empty()) throw ValueError("predict: the dataset has no items");
  const auto done = static_cast<std::int64_t>(parts.size());
  if (done != steps) bar.update(done, {}, true);
  callbacks.each([](Callback& c) { c.on_predict_end({}); });
  std::vector<Tensor> outputs;
  for (std::size_t i = 0; i < model.outputs().size(); i++) outputs.push_back(joined(parts, i));
  return outputs;
}

Tensor Model::predict(const data::Dataset& batches, PredictDatasetArgs args) const {
  internal::require_one_output(model_impl());
  return predict_all(batches, std::move(args))[0];
}

}  // namespace kiln
