#include "kiln/callbacks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "api/console/console.h"
#include "api/model/model_impl.h"
#include "api/model/trainer.h"
#include "api/support/names.h"

namespace kiln {

Callback::~Callback() = default;

void Callback::attach(const std::shared_ptr<ModelImpl>& model, const CallbackParams& params) {
  model_ = model;
  params_ = params;
}

Model Callback::model() const {
  auto model = model_.lock();
  if (!model) throw StateError("Callback::model: the callback isn't used by fit, evaluate or predict yet");
  return Model(std::move(model));
}

void Callback::stop_training() {
  model().stop_training();
}

const std::vector<double>& History::operator[](const std::string& name) const {
  const auto found = history.find(name);
  if (found != history.end()) return found->second;
  std::vector<std::string_view> known;
  for (const auto& [key, values] : history) known.push_back(key);
  internal::unknown_name("history: the name", name, known);
}

void History::on_train_begin(const Logs&) {
  history.clear();
  epoch.clear();
}
void History::on_epoch_end(std::int64_t number, Logs& logs) {
  epoch.push_back(number);
  for (const auto& [name, value] : logs) history[name].push_back(value);
}

namespace callbacks {

EarlyStopping::EarlyStopping(EarlyStoppingArgs args) : args_(std::move(args)) {
  static constexpr std::array<std::string_view, 3> modes = {"auto", "min", "max"};
  if (std::find(modes.begin(), modes.end(), args_.mode) == modes.end())
    internal::unknown_name("EarlyStopping: mode", args_.mode, modes);
  if (args_.patience < 0)
    throw ValueError(
        fmt::format("EarlyStopping: patience must not be negative, but it is {}", args_.patience));
  args_.min_delta = std::abs(args_.min_delta);  // as Keras
}

void EarlyStopping::on_train_begin(const Logs&) {
  wait_ = stopped_epoch_ = best_epoch_ = 0;
  best_.reset();
  best_weights_.clear();
}

void EarlyStopping::on_epoch_end(std::int64_t epoch, Logs& logs) {
  if (epoch < args_.start_from_epoch) return;
  const double* current = logs.find(args_.monitor);
  if (current == nullptr) {
    std::vector<std::string_view> known;
    for (const auto& [name, value] : logs) known.push_back(name);
    internal::print(fmt::format(
        "Early stopping conditioned on metric `{}` which is not available. Available metrics are: "
        "{}\n",
        args_.monitor, internal::quoted_list(known)));
    return;
  }
  if (args_.mode == "auto") {
    const std::string name = args_.monitor.starts_with("val_") ? args_.monitor.substr(4) : args_.monitor;
    const MetricImpl* metric = model().model_impl().trainer("EarlyStopping").metric(name);
    std::optional<bool> direction;
    if (metric != nullptr)
      direction = metric->larger_is_better();
    else if (name.ends_with("loss"))
      direction = false;
    if (!direction)
      throw ValueError(
          fmt::format("EarlyStopping: whether \"{}\" should grow or fall isn't known; say .mode = \"max\" or "
                      "\"min\"",
                      args_.monitor));
    larger_is_better_ = *direction;
  } else {
    larger_is_better_ = args_.mode == "max";
  }

  if (args_.restore_best_weights && best_weights_.empty()) {
    best_weights_ = model().get_weights();
    best_epoch_ = epoch;
  }
  wait_++;
  if (improves(*current, best_)) {
    best_ = *current;
    best_epoch_ = epoch;
    if (args_.restore_best_weights) best_weights_ = model().get_weights();
    // Waiting starts anew only when the baseline is beaten, too.
    if (improves(*current, args_.baseline)) wait_ = 0;
    return;
  }
  if (wait_ >= args_.patience && epoch > 0) {
    stopped_epoch_ = epoch;
    stop_training();
  }
}

void EarlyStopping::on_train_end(const Logs&) {
  if (stopped_epoch_ > 0 && args_.verbose > 0)
    internal::print(fmt::format("Epoch {}: early stopping\n", stopped_epoch_ + 1));
  if (!args_.restore_best_weights || best_weights_.empty()) return;
  if (args_.verbose > 0)
    internal::print(
        fmt::format("Restoring model weights from the end of the best epoch: {}.\n", best_epoch_ + 1));
  model().set_weights(best_weights_);
}

bool EarlyStopping::improves(double value, std::optional<double> on) const {
  if (!on) return true;
  return larger_is_better_ ? value - args_.min_delta > *on : value + args_.min_delta < *on;
}

}  // namespace callbacks
}  // namespace kiln
