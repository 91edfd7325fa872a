// Callbacks that watch one value of the logs: EarlyStopping, ReduceLROnPlateau.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "api/console/console.h"
#include "api/model/model_impl.h"
#include "api/model/trainer.h"
#include "api/support/names.h"
#include "kiln/callbacks.h"

namespace kiln::callbacks {
namespace {

void check_not_negative(const char* owner, const char* argument, double value) {
  if (!(value >= 0 && std::isfinite(value)))
    throw ValueError(fmt::format("{}: {} must not be negative, but it is {}; leave it out for the default",
                                 owner, argument, value));
}

}  // namespace

MonitorCallback::MonitorCallback(const char* owner, std::string monitor, std::string mode, double min_delta)
    : owner_(owner), monitor_(std::move(monitor)), mode_(std::move(mode)), min_delta_(std::abs(min_delta)) {
  static constexpr std::array<std::string_view, 3> modes = {"auto", "min", "max"};
  if (std::find(modes.begin(), modes.end(), mode_) == modes.end())
    internal::unknown_name(owner_ + ": mode", mode_, modes);
}

bool MonitorCallback::improves(double value, std::optional<double> on) {
  if (mode_ == "auto") {
    const std::string name = monitor_.starts_with("val_") ? monitor_.substr(4) : monitor_;
    const MetricImpl* metric = model().model_impl().trainer(owner_.c_str()).metric(name);
    std::optional<bool> larger_is_better;
    if (metric != nullptr)
      larger_is_better = metric->larger_is_better();
    else if (name.ends_with("loss"))
      larger_is_better = false;
    if (!larger_is_better)
      throw ValueError(
          fmt::format("{}: whether \"{}\" should grow or fall isn't known; say .mode = \"max\" or \"min\"",
                      owner_, monitor_));
    mode_ = *larger_is_better ? "max" : "min";
  }
  if (!on) return true;
  return mode_ == "max" ? value - min_delta_ > *on : value + min_delta_ < *on;
}

const double* MonitorCallback::monitored(const char* what, const Logs& logs) const {
  const double* value = logs.find(monitor_);
  if (value == nullptr) {
    std::vector<std::string_view> known;
    for (const auto& [name, number] : logs) known.push_back(name);
    internal::print(
        fmt::format("{} conditioned on metric `{}` which is not available. Available metrics are: {}\n", what,
                    monitor_, internal::quoted_list(known)));
  }
  return value;
}

// ---- EarlyStopping ----------------------------------------------------------------------------------------

EarlyStopping::EarlyStopping(EarlyStoppingArgs args)
    : MonitorCallback("EarlyStopping", args.monitor, args.mode, args.min_delta), args_(std::move(args)) {
  check_not_negative("EarlyStopping", "patience", static_cast<double>(args_.patience));
  check_not_negative("EarlyStopping", "start_from_epoch", static_cast<double>(args_.start_from_epoch));
}

void EarlyStopping::on_train_begin(const Logs&) {
  wait_ = stopped_epoch_ = best_epoch_ = 0;
  best_.reset();
  best_weights_.clear();
}

void EarlyStopping::on_epoch_end(std::int64_t epoch, Logs& logs) {
  if (epoch < args_.start_from_epoch) return;
  const double* current = monitored("Early stopping", logs);
  if (current == nullptr) return;
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

// ---- ReduceLROnPlateau ------------------------------------------------------------------------------------

ReduceLROnPlateau::ReduceLROnPlateau(ReduceLROnPlateauArgs args)
    : MonitorCallback("ReduceLROnPlateau", args.monitor, args.mode, args.min_delta), args_(std::move(args)) {
  if (!(args_.factor >= 0 && args_.factor < 1))
    throw ValueError(
        fmt::format("ReduceLROnPlateau: factor must be in [0, 1), as the learning rate is multiplied by it "
                    "to become less, "
                    "but it is {}",
                    args_.factor));
  check_not_negative("ReduceLROnPlateau", "patience", static_cast<double>(args_.patience));
  check_not_negative("ReduceLROnPlateau", "cooldown", static_cast<double>(args_.cooldown));
  check_not_negative("ReduceLROnPlateau", "min_lr", args_.min_lr);
}

void ReduceLROnPlateau::on_train_begin(const Logs&) {
  wait_ = cooldown_left_ = 0;
  best_.reset();
}

void ReduceLROnPlateau::on_epoch_end(std::int64_t epoch, Logs& logs) {
  const Optimizer optimizer = model().optimizer();
  const double rate = optimizer.learning_rate();
  logs.set("learning_rate", rate);
  const double* current = monitored("Learning rate reduction is", logs);
  if (current == nullptr) return;
  if (cooldown_left_ > 0) {
    cooldown_left_--;
    wait_ = 0;
  }
  if (improves(*current, best_)) {
    best_ = *current;
    wait_ = 0;
    return;
  }
  if (cooldown_left_ > 0 || ++wait_ < args_.patience || rate <= args_.min_lr) return;
  const double reduced = std::max(rate * args_.factor, args_.min_lr);
  optimizer.set_learning_rate(reduced);
  if (args_.verbose > 0)
    internal::print(
        fmt::format("\nEpoch {}: ReduceLROnPlateau reducing learning rate to {}.\n", epoch + 1, reduced));
  cooldown_left_ = args_.cooldown;
  wait_ = 0;
}

}  // namespace kiln::callbacks
