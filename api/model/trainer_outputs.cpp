// What `compile` gives for each output, by position or by name: losses, their weights, metrics.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "api/model/trainer.h"
#include "api/support/names.h"

namespace kiln::internal {
namespace {

// The k-th of several metrics of one name is called name_k, as in Keras.
std::string numbered(const std::string& name, std::map<std::string, int>& used) {
  const int n = used[name]++;
  return n == 0 ? name : fmt::format("{}_{}", name, n);
}

}  // namespace

// Where an output of that name stands.
std::size_t Trainer::output_named(const std::string& name, const char* argument) const {
  const std::vector<std::string> outputs = model_.output_names();
  const auto found = std::find(outputs.begin(), outputs.end(), name);
  if (std::count(outputs.begin(), outputs.end(), name) > 1)
    throw ValueError(fmt::format(
        "compile: {}: several outputs come from the layer \"{}\"; give a list in the outputs' order",
        argument, name));
  if (found != outputs.end()) return static_cast<std::size_t>(found - outputs.begin());
  const std::vector<std::string_view> known(outputs.begin(), outputs.end());
  unknown_name(fmt::format("compile: {}: the output", argument), name, known);
}

// Values given in the outputs' order, or by their names, as one for each output; `standard` for the others.
template <class T>
std::vector<T> Trainer::for_outputs(const std::vector<T>& given, const std::vector<std::string>& names,
                                    const char* argument, const T& standard) const {
  std::vector<T> all(model_.outputs().size(), standard);
  if (names.empty()) {
    std::copy(given.begin(), given.end(), all.begin());
    return all;
  }
  std::vector<bool> set(all.size());
  for (std::size_t i = 0; i < names.size(); i++) {
    const std::size_t output = output_named(names[i], argument);
    if (set[output])
      throw ValueError(fmt::format("compile: {}: output \"{}\" is named twice", argument, names[i]));
    set[output] = true;
    all[output] = given[i];
  }
  return all;
}

void Trainer::choose_losses() {
  const std::size_t count = model_.outputs().size();
  const Losses& losses = args_.loss;
  const std::size_t given = losses.items().size();
  if (losses.outputs().empty() && given != 1 && given != count)
    throw ValueError(
        fmt::format("compile: {} losses for {} outputs; give one, or one for each", given, count));
  const LossWeights& weights = args_.loss_weights;
  if (weights.outputs().empty() && !weights.items().empty() && weights.items().size() != count)
    throw ValueError(fmt::format("compile: {} loss_weights for {} outputs; give one for each",
                                 weights.items().size(), count));
  loss_weights_ = for_outputs(weights.items(), weights.outputs(), "loss_weights", 1.0);
  losses_ = losses.outputs().empty() && given == 1
                ? std::vector<Loss>(count, losses.items()[0])
                : for_outputs(losses.items(), losses.outputs(), "loss", Loss());
}

std::vector<MetricList> Trainer::metrics_of_outputs(const Metrics& metrics, const char* argument) const {
  const std::size_t count = model_.outputs().size();
  const MetricList none = std::vector<Metric>();
  if (!metrics.outputs().empty() || !metrics.lists().empty()) {
    if (metrics.outputs().empty() && metrics.lists().size() != count)
      throw ValueError(fmt::format("compile: {} lists of {} for {} outputs; give one for each",
                                   metrics.lists().size(), argument, count));
    return for_outputs(metrics.lists(), metrics.outputs(), argument, none);
  }
  const std::vector<Metric>& items = metrics.items();
  if (count == 1) return {MetricList(items)};
  if (!items.empty() && items.size() != count)
    throw ValueError(
        fmt::format("compile: {} {} for {} outputs; give one for each, or name the outputs: "
                    "{{{{\"{}\", \"{}\"}}}}",
                    items.size(), argument, count, model_.output_names()[0], items[0].name()));
  std::vector<MetricList> lists(count, none);
  for (std::size_t i = 0; i < items.size(); i++) lists[i] = MetricList(items[i]);
  return lists;
}

void Trainer::make_trackers(std::span<const graph::Type> labels) {
  const std::vector<std::string> outputs = model_.output_names();
  const std::size_t count = outputs.size();
  // Kept only when whole: a failure must not leave some of them to the next call.
  std::vector<Tracker> trackers;
  trackers.push_back({"loss", nullptr, {}, false, {zero_sum(), zero_sum()}});
  for (std::size_t i = 0; count > 1 && i < count; i++)
    if (losses_[i].defined())
      trackers.push_back({outputs[i] + "_loss", nullptr, i, false, {zero_sum(), zero_sum()}});
  std::map<std::string, int> used;
  const auto add = [&](const Metric& metric, std::size_t output, bool weighted) {
    auto impl = metric.resolve(labels[output].shape, model_.outputs()[output].shape());
    std::string name = count > 1 ? outputs[output] + "_" + metric.name() : metric.name();
    if (weighted && used.contains(name)) name = "weighted_" + name;
    std::vector<Tensor> state = impl->initial_state();
    trackers.push_back({numbered(name, used), std::move(impl), output, weighted, std::move(state)});
  };
  const auto add_all = [&](const Metrics& metrics, const char* argument, bool weighted) {
    const std::vector<MetricList> lists = metrics_of_outputs(metrics, argument);
    for (std::size_t i = 0; i < count; i++)
      for (const Metric& metric : lists[i].items()) add(metric, i, weighted);
  };
  add_all(args_.metrics, "metrics", false);
  add_all(args_.weighted_metrics, "weighted_metrics", true);
  trackers_ = std::move(trackers);
}

}  // namespace kiln::internal
