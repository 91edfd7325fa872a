#include "api/model/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <shared_mutex>

#include "api/support/random.h"
#include "api/training/loss_reduction.h"
#include "kiln/graph/gradient.h"

namespace kiln::internal {
namespace {

// The k-th of several metrics of one name is called name_k, as in Keras.
std::string numbered(const std::string& name, std::map<std::string, int>& used) {
  const int n = used[name]++;
  return n == 0 ? name : fmt::format("{}_{}", name, n);
}

Tensor zero_sum() {
  return Tensor::scalar(0, DType::f64);
}

}  // namespace

Trainer::Trainer(ModelImpl& model, CompileArgs args) : model_(model), args_(std::move(args)) {
  const std::size_t losses = args_.loss.items().size();
  if (losses == 0)
    throw ValueError(fmt::format("compile: model \"{}\" needs a loss, e.g. .loss = \"mse\"", model.name()));
  for (const Loss& loss : args_.loss.items()) {
    if (!loss.defined()) throw ValueError("compile: a loss is empty");
    check_reduces(loss.impl(), "compile");
  }
  if (args_.memory_limit < 0)
    throw ValueError(fmt::format("compile: memory_limit is {}; give a number of bytes, or 0 for no limit",
                                 args_.memory_limit));
  args_.optimizer.impl().claim(model.shared_from_this());
  random_counter_ = Tensor::zeros({2}, DType::i64);
  random_counter_.data<std::int64_t>()[0] = next_seed();
}

void Trainer::choose_losses() {
  const std::size_t count = model_.outputs().size();
  const std::vector<Loss>& given = args_.loss.items();
  if (given.size() != 1 && given.size() != count)
    throw ValueError(
        fmt::format("compile: {} losses for {} outputs; give one, or one for each", given.size(), count));
  if (!args_.loss_weights.empty() && args_.loss_weights.size() != count)
    throw ValueError(
        fmt::format("compile: {} loss_weights for {} outputs", args_.loss_weights.size(), count));
  losses_ = given.size() == count ? given : std::vector<Loss>(count, given[0]);
}

void Trainer::make_trackers(std::span<const graph::Type> labels) {
  const std::vector<std::string> outputs = model_.output_names();
  const std::size_t count = outputs.size();
  // Kept only when whole: a failure must not leave some of them to the next call.
  std::vector<Tracker> trackers;
  trackers.push_back({"loss", nullptr, 0, false, {zero_sum(), zero_sum()}});
  for (std::size_t i = 0; count > 1 && i < count; i++)
    trackers.push_back({outputs[i] + "_loss", nullptr, i, false, {zero_sum(), zero_sum()}});
  std::map<std::string, int> used;
  const auto add = [&](const Metric& metric, std::size_t output, bool weighted) {
    auto impl = metric.resolve(labels[output].shape, model_.outputs()[output].shape());
    std::string name = count > 1 ? outputs[output] + "_" + metric.name() : metric.name();
    if (weighted && used.contains(name)) name = "weighted_" + name;
    std::vector<Tensor> state = impl->initial_state();
    trackers.push_back({numbered(name, used), std::move(impl), output, weighted, std::move(state)});
  };
  const auto add_all = [&](const std::vector<Metric>& metrics, const char* argument, bool weighted) {
    if (count > 1 && !metrics.empty() && metrics.size() != count)
      throw ValueError(fmt::format("compile: {} {} for {} outputs; give one for each output", metrics.size(),
                                   argument, count));
    for (std::size_t i = 0; i < metrics.size(); i++) add(metrics[i], count > 1 ? i : 0, weighted);
  };
  add_all(args_.metrics, "metrics", false);
  add_all(args_.weighted_metrics, "weighted_metrics", true);
  trackers_ = std::move(trackers);
}

void Trainer::prepare(const Dataset& data) {
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
  BatchTypes types;
  types.x = batch_types(model_, model_.inputs(), batch_size);
  const std::vector<graph::Type> predictions = batch_types(model_, model_.outputs(), batch_size);
  for (std::size_t i = 0; i < predictions.size(); i++)
    types.y.push_back(losses_[i].impl().label_type(predictions[i]));
  return types;
}

// ---- the step's graph -------------------------------------------------------------------------------------

std::unique_ptr<Step> Trainer::make_step(Mode mode, const BatchTypes& types) {
  const bool training = mode == Mode::train;
  graph::Graph graph(
      fmt::format("{}_{}_{}", model_.name(), training ? "train" : "test", types.x[0].shape[0]));
  Call call(graph, training, random_counter_);
  std::vector<graph::Value> x, y;
  for (std::size_t i = 0; i < types.x.size(); i++)
    x.push_back(graph.input(fmt::format("x{}", i), types.x[i]));
  for (std::size_t i = 0; i < types.y.size(); i++)
    y.push_back(graph.input(fmt::format("y{}", i), types.y[i]));
  const graph::Value weight = types.weight ? graph.input("sample_weight", *types.weight) : graph::Value{};

  const std::vector<graph::Value> y_pred = model_.call_all(call, x);
  const std::int64_t rows = types.x[0].shape[0];
  const graph::Value loss = total_loss(call, y, y_pred, weight, rows);
  for (Tracker& tracker : trackers_)
    if (tracker.metric) track_metric(call, tracker, y, y_pred, tracker.weighted ? weight : graph::Value{});
  if (training) add_update(call, loss);
  return std::make_unique<Step>(std::move(graph), call.storage(), model_.guarded_weights(),
                                training ? args_.memory_limit : 0);
}

graph::Value Trainer::total_loss(Call& call, std::span<const graph::Value> y_true,
                                 std::span<const graph::Value> y_pred, graph::Value weight,
                                 std::int64_t rows) {
  graph::Graph& graph = call.graph();
  graph::Value total;
  for (std::size_t i = 0; i < y_pred.size(); i++) {
    const LossImpl& loss = losses_[i].impl();
    const graph::LabelScope label(graph, loss.name());
    graph::Value value = reduced_loss(loss, y_true[i], y_pred[i], weight);
    if (y_pred.size() > 1) track_mean(call, trackers_[1 + i], value, rows);
    if (!args_.loss_weights.empty()) value = value * args_.loss_weights[i];
    total = total ? total + graph::convert(value, total.dtype()) : value;
  }
  const graph::LabelScope label(graph, "regularization");
  for (const Variable& w : trained_) {
    if (!w.regularizer()) continue;
    const graph::Value penalty = w.regularizer()(call(w));
    total = total + graph::convert(penalty, total.dtype());
  }
  for (const graph::Value added : call.losses()) total = total + graph::convert(added, total.dtype());
  track_mean(call, trackers_[0], total, rows);
  return total;
}

// The mean of a batch counts as many times as the batch has rows, so that a short last batch has its right
// share.
void Trainer::track_mean(Call& call, Tracker& tracker, graph::Value mean, std::int64_t rows) {
  graph::Graph& graph = call.graph();
  const graph::LabelScope label(graph, tracker.name);
  const graph::Value sum = call.state("metric/" + tracker.name + "/sum", tracker.state[0]);
  const graph::Value count = call.state("metric/" + tracker.name + "/count", tracker.state[1]);
  graph.update(sum, sum + graph::convert(mean, DType::f64) * static_cast<double>(rows));
  graph.update(count, count + static_cast<double>(rows));
}

void Trainer::track_metric(Call& call, Tracker& tracker, std::span<const graph::Value> y_true,
                           std::span<const graph::Value> y_pred, graph::Value weight) {
  graph::Graph& graph = call.graph();
  const graph::LabelScope label(graph, tracker.name);
  std::vector<graph::Value> state;
  for (std::size_t i = 0; i < tracker.state.size(); i++)
    state.push_back(call.state(fmt::format("metric/{}/{}", tracker.name, i), tracker.state[i]));
  const std::vector<graph::Value> next =
      tracker.metric->update(state, y_true[tracker.output], y_pred[tracker.output], weight);
  for (std::size_t i = 0; i < state.size(); i++) graph.update(state[i], next[i]);
}

std::vector<graph::Value> Trainer::gradients(Call& call, graph::Value loss) const {
  std::vector<graph::Value> values;  // a layer may have given a weight another value: it counts in both
  std::vector<std::size_t> owners;
  for (std::size_t i = 0; i < trained_.size(); i++)
    for (const graph::Value value : call.values(trained_[i])) {
      values.push_back(value);
      owners.push_back(i);
    }
  const std::vector<graph::Value> of_values = graph::gradient_or_none(loss, values);
  std::vector<graph::Value> gradients(trained_.size());
  for (std::size_t i = 0; i < values.size(); i++) {
    graph::Value& gradient = gradients[owners[i]];
    if (of_values[i]) gradient = gradient ? gradient + of_values[i] : of_values[i];
  }
  if (!trained_.empty() && std::none_of(gradients.begin(), gradients.end(), [](auto g) { return bool(g); })) {
    std::string names;
    const Model model(std::static_pointer_cast<ModelImpl>(model_.shared_from_this()));
    for (const auto& [name, weight] : model.named_weights())
      if (std::find(trained_.begin(), trained_.end(), weight) != trained_.end())
        names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", name);
    throw ValueError(fmt::format(
        "No gradients provided for any variable: [{}]. The loss of model \"{}\" doesn't depend on its "
        "weights: a loss or layer ignores its input, or uses ops without a gradient (argmax, "
        "comparisons, stop_gradient, whole numbers)",
        names, model_.name()));
  }
  for (std::size_t i = 0; i < gradients.size(); i++)
    if (!gradients[i]) gradients[i] = graph::zeros_like(call(trained_[i]));
  return gradients;
}

void Trainer::add_update(Call& call, graph::Value loss) {
  graph::Graph& graph = call.graph();
  OptimizerImpl& optimizer = args_.optimizer.impl();
  const graph::Value scaled = optimizer.scale_loss(call, loss);
  optimizer.apply(call, trained_, gradients(call, scaled));
  if (const graph::Value key = call.key()) {
    const graph::Value one_step = graph::constant(graph, Tensor({std::int64_t{0}, std::int64_t{1}}));
    graph.update(key, key + one_step);
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
