#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kiln/optimizers.h"

namespace kiln {

using graph::Value;

namespace {

void check_positive(const std::string& optimizer, const char* argument, const std::optional<double>& value) {
  if (value && !(*value > 0 && std::isfinite(*value)))
    throw ValueError(fmt::format("optimizer \"{}\": {} must be positive and finite, but it is {}", optimizer,
                                 argument, *value));
}

// The largest |element| of all gradients, or 1 if that is 0: what norms are scaled by.
Value safe_scale(std::span<const Value> gradients) {
  Value peak;
  for (Value g : gradients) {
    const Value largest = graph::reduce_max(graph::abs(g));
    peak = peak ? graph::maximum(peak, graph::convert(largest, peak.dtype())) : largest;
  }
  return graph::select(graph::compare(peak, graph::scalar(peak, 0), "eq"), graph::scalar(peak, 1), peak);
}

Value in_type(Value x, DType dtype) {
  return x.dtype() == dtype ? x : graph::convert(x, dtype);
}

// Gradients scaled down together so that their norm is at most `limit`.
std::vector<Value> scaled_to_norm(std::span<const Value> gradients, double limit) {
  const Value scale = safe_scale(gradients);
  Value sum;
  for (Value g : gradients) {
    const Value small = g / in_type(scale, g.dtype());
    const Value squares = in_type(graph::reduce_sum(small * small), scale.dtype());
    sum = sum ? sum + squares : squares;
  }
  const Value norm = graph::sqrt(sum);  // in units of scale
  const Value too_long = graph::compare(norm, limit / scale, "gt");
  // g -> (g / scale) * (limit / norm): the norm itself, norm * scale, may not fit the type.
  const Value shorten = limit / graph::select(too_long, norm, graph::scalar(norm, 1));
  std::vector<Value> clipped;
  for (Value g : gradients) {
    const Value shortened = g / in_type(scale, g.dtype()) * in_type(shorten, g.dtype());
    clipped.push_back(graph::select(too_long, shortened, g));
  }
  return clipped;
}

}  // namespace

OptimizerImpl::OptimizerImpl(std::string name, double learning_rate, OptimizerOptions options)
    : name_(options.name.empty() ? std::move(name) : options.name),
      options_(std::move(options)),
      learning_rate_(Tensor::scalar(learning_rate)),
      iterations_(Tensor::scalar(0, DType::i64)) {
  if (!std::isfinite(learning_rate) || learning_rate < 0)
    throw ValueError(
        fmt::format("optimizer \"{}\": learning_rate must be finite and not negative, but it is {}", name_,
                    learning_rate));
  check_positive(name_, "clipnorm", options_.clipnorm);
  check_positive(name_, "clipvalue", options_.clipvalue);
  check_positive(name_, "global_clipnorm", options_.global_clipnorm);
  if (options_.clipnorm.has_value() + options_.clipvalue.has_value() + options_.global_clipnorm.has_value() >
      1)
    throw ValueError(fmt::format(
        "optimizer \"{}\": only one of clipnorm, clipvalue and global_clipnorm can be set", name_));
}
OptimizerImpl::~OptimizerImpl() = default;

OptimizerImpl::Kept& OptimizerImpl::kept(const Variable& weight) {
  return *std::find_if(kept_.begin(), kept_.end(), [&](const Kept& k) { return k.weight == weight; });
}

void OptimizerImpl::claim(const std::shared_ptr<const void>& model) {
  const std::shared_ptr<const void> other = model_.lock();
  if (other && other != model)
    throw StateError(
        fmt::format("optimizer \"{}\" already trains another model; it keeps state for each weight and "
                    "belongs to one model: make a new one",
                    name_));
  model_ = model;
}

void OptimizerImpl::build(std::span<const Variable> weights) {
  const auto has = [&](const Variable& w) {
    return std::any_of(kept_.begin(), kept_.end(), [&](const Kept& k) { return k.weight == w; });
  };
  for (const Variable& w : weights) {
    if (has(w)) continue;
    Kept k{w, {}};
    for (const Slot& slot : slots()) k.slots.push_back(Tensor::full(w.shape(), slot.initial, w.dtype()));
    kept_.push_back(std::move(k));
  }
  built_ = true;
}

std::vector<Tensor> OptimizerImpl::variables() const {
  std::vector<Tensor> all;
  for (const Kept& k : kept_) all.insert(all.end(), k.slots.begin(), k.slots.end());
  return all;
}

std::vector<Value> OptimizerImpl::clipped(std::span<const Value> gradients) const {
  std::vector<Value> clipped(gradients.begin(), gradients.end());
  if (options_.global_clipnorm && !gradients.empty())
    return scaled_to_norm(gradients, *options_.global_clipnorm);
  for (Value& g : clipped) {
    if (options_.clipnorm) g = scaled_to_norm({&g, 1}, *options_.clipnorm)[0];
    if (options_.clipvalue)
      g = graph::minimum(graph::maximum(g, graph::scalar(g, -*options_.clipvalue)),
                         graph::scalar(g, *options_.clipvalue));
  }
  return clipped;
}

void OptimizerImpl::apply(Call& call, std::span<const Variable> weights, std::span<const Value> gradients) {
  graph::Graph& graph = call.graph();
  const graph::LabelScope label(graph, name_);
  const Value rate = call.state(name_ + "/learning_rate", learning_rate_);
  const Value iterations = call.state(name_ + "/iteration", iterations_);
  const std::vector<Value> g = clipped(gradients);
  const std::vector<Slot> specs = slots();
  for (std::size_t i = 0; i < weights.size(); i++) {
    const Kept& k = kept(weights[i]);
    const Value old = call(weights[i]);
    std::vector<Value> slot_values;
    for (std::size_t s = 0; s < k.slots.size(); s++)
      slot_values.push_back(
          call.state(fmt::format("{}/{}/{}", name_, weights[i].name(), specs[s].name), k.slots[s]));
    const Step step = {in_type(rate, old.dtype()), graph::convert(iterations, old.dtype())};
    const Value decayed =
        options_.weight_decay ? old - old * *options_.weight_decay * step.learning_rate : old;
    const Updated updated = update(step, decayed, g[i], slot_values);
    const Constraint& constraint = weights[i].constraint();
    graph.update(old, constraint ? constraint(updated.weight) : updated.weight);
    for (std::size_t s = 0; s < slot_values.size(); s++) graph.update(slot_values[s], updated.slots[s]);
  }
  graph.update(iterations, iterations + graph::scalar(iterations, 1));
}

}  // namespace kiln
