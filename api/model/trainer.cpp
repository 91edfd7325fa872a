#include "api/model/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <shared_mutex>

#include "api/model/gradients.h"
#include "api/support/random.h"
#include "api/training/loss_reduction.h"

namespace kiln::internal {
namespace {

/// What `make` gives; its errors say of which of several outputs they speak.
template <class F>
graph::Value of_output(const std::string& output, F make) {
  const auto told = [&](const Error& error) {
    return fmt::format("output \"{}\": {}", output, error.what());
  };
  try {
    return make();
  } catch (const ShapeError& error) {
    throw ShapeError(told(error));
  } catch (const TypeError& error) {
    throw TypeError(told(error));
  } catch (const ValueError& error) {
    throw ValueError(told(error));
  }
}

}  // namespace

Trainer::Trainer(ModelImpl& model, CompileArgs args) : model_(model), args_(std::move(args)) {
  const std::size_t losses = args_.loss.items().size();
  if (losses == 0)
    throw ValueError(fmt::format("compile: model \"{}\" needs a loss, e.g. .loss = \"mse\"", model.name()));
  for (const Loss& loss : args_.loss.items()) {
    if (!loss.defined())
      throw ValueError(
          "compile: a loss is empty; give one such as losses::MeanSquaredError(), or name the outputs that "
          "have one");
    check_reduces(loss.impl(), "compile");
  }
  if (args_.memory_limit < 0)
    throw ValueError(fmt::format("compile: memory_limit is {}; give a number of bytes, or 0 for no limit",
                                 args_.memory_limit));
  if (model.connected()) {  // else once the outputs are known
    choose_losses();
    metrics_of_outputs(args_.metrics, "metrics");
    metrics_of_outputs(args_.weighted_metrics, "weighted_metrics");
  }
  args_.optimizer.impl().claim(model.shared_from_this());
  random_counter_ = Tensor::zeros({2}, DType::i64);
  random_counter_.data<std::int64_t>()[0] = next_seed();
}

void Trainer::prepare(const Samples& data) {
  if (!expected_labels_.empty()) {
    const auto alike = [](const graph::Type& a, const Tensor& b) {
      return a.shape.rank() == b.rank() && a.shape.tail() == b.shape().tail();
    };
    // Which accuracy is meant hangs on the labels' shape.
    if (!std::equal(expected_labels_.begin(), expected_labels_.end(), data.y.begin(), alike)) forget_steps();
    expected_labels_.clear();
  }
  if (trackers_.empty()) {
    choose_losses();
    make_trackers(data.types(data.rows).y);
  }
  prepare_weights();
}

BatchTypes Trainer::prepare(std::int64_t batch_size) {
  if (trackers_.empty()) choose_losses();
  const BatchTypes types = expected_types(batch_size);
  if (trackers_.empty()) {
    make_trackers(types.y);
    expected_labels_ = types.y;
  }
  prepare_weights();
  return types;
}

void Trainer::prepare_weights() {
  // A layer may have been frozen or unfrozen since the last step: those made for other weights are no use.
  const std::vector<Variable> trainable = Layer(model_.shared_from_this()).trainable_weights();
  if (trainable != trained_) {
    steps_.clear();
    trained_ = trainable;
  }
  OptimizerImpl& optimizer = args_.optimizer.impl();
  if (optimizer.built_for(trained_)) return;
  const auto named = Model(std::static_pointer_cast<ModelImpl>(model_.shared_from_this())).named_weights();
  std::vector<OptimizerImpl::Weight> weights;
  for (const Variable& w : trained_) {
    const auto found = std::find_if(named.begin(), named.end(), [&](const auto& n) { return n.second == w; });
    weights.push_back({w, found == named.end() ? w.name() : found->first});
  }
  optimizer.build(weights);
}

void Trainer::finalize_weights() {
  args_.optimizer.impl().inner().finalize_variable_values(trained_);
}

BatchTypes Trainer::expected_types(std::int64_t batch_size) {
  if (const std::optional<BatchTypes> seen = steps_.newest_types(batch_size)) return *seen;
  return standard_types(batch_size);
}

BatchTypes Trainer::standard_types(std::int64_t batch_size) {
  if (losses_.empty()) choose_losses();
  BatchTypes types;
  types.x = batch_types(model_, model_.inputs(), batch_size);
  const std::vector<graph::Type> predictions = batch_types(model_, model_.outputs(), batch_size);
  for (std::size_t i = 0; i < predictions.size(); i++)
    types.y.push_back(losses_[i].defined() ? losses_[i].impl().label_type(predictions[i]) : predictions[i]);
  return types;
}

// ---- the step's graph -------------------------------------------------------------------------------------

Trainer::Forward Trainer::emit_forward(Call& call, const BatchTypes& types) {
  graph::Graph& graph = call.graph();
  Forward forward;
  std::vector<graph::Value> x;
  for (std::size_t i = 0; i < types.x.size(); i++)
    x.push_back(graph.input(fmt::format("x{}", i), types.x[i]));
  for (std::size_t i = 0; i < types.y.size(); i++)
    forward.y_true.push_back(graph.input(fmt::format("y{}", i), types.y[i]));
  if (types.weight) forward.weight = graph.input("sample_weight", *types.weight);
  forward.y_pred = model_.call_all(call, x);
  model_.require_known_weights(call);
  add_total_loss(call, forward);
  return forward;
}

std::unique_ptr<Step> Trainer::make_step(Mode mode, const BatchTypes& types) {
  const bool training = mode == Mode::train;
  const std::int64_t rows = types.x[0].shape[0];
  graph::Graph graph(fmt::format("{}_{}_{}", model_.name(), training ? "train" : "test", rows));
  Call call(graph, training, random_counter_);
  const Forward forward = emit_forward(call, types);
  for (Tracker& tracker : trackers_) {
    if (tracker.metric)
      track_metric(call, tracker, forward.y_true, forward.y_pred,
                   tracker.weighted ? forward.weight : graph::Value{});
    else
      track_mean(call, tracker, tracker.output ? forward.losses[*tracker.output] : forward.loss, rows);
  }
  if (training) add_update(call, forward.loss);
  return std::make_unique<Step>(std::move(graph), call.storage(), model_.guarded_weights(),
                                training ? args_.memory_limit : 0);
}

void Trainer::emit_training(Call& call, const BatchTypes& types) {
  prepare_weights();
  const Forward forward = emit_forward(call, types);
  call.graph().output("loss", forward.loss);
  add_update(call, forward.loss);
}

void Trainer::add_total_loss(Call& call, Forward& forward) {
  graph::Graph& graph = call.graph();
  const std::vector<std::string> outputs = model_.output_names();
  graph::Value& total = forward.loss;
  for (std::size_t i = 0; i < forward.y_pred.size(); i++) {
    forward.losses.emplace_back();
    if (!losses_[i].defined()) continue;
    const LossImpl& loss = losses_[i].impl();
    const graph::LabelScope label(graph, losses_.size() == 1 ? loss.name() : outputs[i] + "/" + loss.name());
    const auto reduced = [&] {
      return reduced_loss(loss, forward.y_true[i], forward.y_pred[i], forward.weight);
    };
    graph::Value value = losses_.size() == 1 ? reduced() : of_output(outputs[i], reduced);
    forward.losses[i] = value;
    if (loss_weights_[i] != 1) value = value * loss_weights_[i];
    total = total ? total + graph::convert(value, total.dtype()) : value;
  }
  const graph::LabelScope label(graph, "regularization");
  for (const Variable& w : trained_) {
    if (!w.regularizer()) continue;
    const graph::Value penalty = w.regularizer()(call(w));
    total = total + graph::convert(penalty, total.dtype());
  }
  for (const graph::Value added : call.losses()) total = total + graph::convert(added, total.dtype());
}

// The mean of a batch counts as many times as the batch has rows, so that a short last batch has its right
// share.
void Trainer::track_mean(Call& call, Tracker& tracker, graph::Value mean, std::int64_t rows) {
  graph::Graph& graph = call.graph();
  const graph::LabelScope label(graph, tracker.name);
  const graph::Value sum = call.state("metric/" + tracker.name + "/sum", tracker.state[0]);
  const graph::Value count = call.state("metric/" + tracker.name + "/count", tracker.state[1]);
  call.update(sum, sum + graph::convert(mean, DType::f64) * static_cast<double>(rows));
  call.update(count, count + static_cast<double>(rows));
}

void Trainer::track_metric(Call& call, Tracker& tracker, std::span<const graph::Value> y_true,
                           std::span<const graph::Value> y_pred, graph::Value weight) {
  graph::Graph& graph = call.graph();
  const graph::LabelScope label(graph, tracker.name);
  std::vector<graph::Value> state;
  for (std::size_t i = 0; i < tracker.state.size(); i++)
    state.push_back(call.state(fmt::format("metric/{}/{}", tracker.name, i), tracker.state[i]));
  const std::vector<graph::Value> next =
      tracker.metric->update(state, y_true[*tracker.output], y_pred[*tracker.output], weight);
  for (std::size_t i = 0; i < state.size(); i++) call.update(state[i], next[i]);
}

std::vector<graph::Value> Trainer::gradients(Call& call, graph::Value loss) const {
  std::vector<std::string> names;
  const Model model(std::static_pointer_cast<ModelImpl>(model_.shared_from_this()));
  for (const auto& [name, weight] : model.named_weights())
    if (std::find(trained_.begin(), trained_.end(), weight) != trained_.end()) names.push_back(name);
  return weight_gradients(call, loss, trained_, fmt::format("model \"{}\"", model_.name()), names);
}

void Trainer::add_update(Call& call, graph::Value loss) {
  graph::Graph& graph = call.graph();
  OptimizerImpl& optimizer = args_.optimizer.impl();
  const graph::Value scaled = optimizer.scale_loss(call, loss);
  optimizer.apply(call, trained_, gradients(call, scaled));
  if (const graph::Value key = call.key()) {
    const graph::Value one_step = graph::constant(graph, Tensor({std::int64_t{0}, std::int64_t{1}}));
    call.update(key, key + one_step);
  }
}

// ---- running ----------------------------------------------------------------------------------------------

std::shared_ptr<Step> Trainer::step(Mode mode, const BatchTypes& types) {
  return steps_.get(mode, types, [&] { return make_step(mode, types); });
}

void Trainer::run(Mode mode, const BatchTypes& types, std::span<void* const> addresses,
                  std::int64_t first_row, std::span<const std::int64_t> rows) {
  const std::shared_ptr<Step> step = this->step(mode, types);
  try {
    if (mode == Mode::train) {
      const std::unique_lock lock(model_.weight_guards());
      step->run(addresses.data());
    } else {
      const std::lock_guard one_evaluation(metrics_mutex_);
      const std::shared_lock lock(model_.weight_guards());
      step->run(addresses.data(), nullptr, model_.weight_guards().version());
    }
  } catch (const DataError& error) {
    const std::int64_t batch_size = types.x[0].shape[0];
    if (error.row() >= batch_size) throw;
    const std::int64_t row =
        rows.empty() ? first_row + error.row() : rows[static_cast<std::size_t>(error.row())];
    throw DataError(error.message(), row, error.value());
  }
}

void Trainer::reset_metrics() {
  for (Tracker& tracker : trackers_) {
    const std::vector<Tensor> start =
        tracker.metric ? tracker.metric->initial_state() : std::vector<Tensor>{zero_sum(), zero_sum()};
    for (std::size_t i = 0; i < start.size(); i++)
      std::memcpy(tracker.state[i].raw(), start[i].raw(), start[i].nbytes());
  }
}

Logs Trainer::logs() const {
  Logs logs;
  for (const Tracker& tracker : trackers_) {
    double value;
    if (tracker.metric) {
      value = tracker.metric->result(tracker.state);
    } else {
      const double count = tracker.state[1].item();
      value = count == 0 ? 0 : tracker.state[0].item() / count;
    }
    logs.set(tracker.name, value);
  }
  return logs;
}

std::vector<std::string> Trainer::metrics_names() const {
  std::vector<std::string> names;
  for (const Tracker& tracker : trackers_) names.push_back(tracker.name);
  if (names.empty()) names.push_back("loss");
  return names;
}

const MetricImpl* Trainer::metric(const std::string& name) const {
  for (const Tracker& tracker : trackers_)
    if (tracker.name == name) return tracker.metric.get();
  return nullptr;
}

}  // namespace kiln::internal
