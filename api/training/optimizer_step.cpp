// What an optimizer emits into a training step around its rule.
#include <fmt/format.h>

#include "kiln/optimizer.h"

namespace kiln {

using graph::Value;

namespace {

Value in_type(Value x, DType dtype) {
  return x.dtype() == dtype ? x : graph::convert(x, dtype);
}

// ---- clipping ---------------------------------------------------------------------------------------------

// The largest |element| of all gradients, or 1 if that is 0: what norms are scaled by.
Value safe_scale(std::span<const Value> gradients) {
  Value peak;
  for (Value g : gradients) {
    const Value largest = graph::reduce_max(graph::abs(g));
    peak = peak ? graph::maximum(peak, graph::convert(largest, peak.dtype())) : largest;
  }
  return graph::select(graph::compare(peak, graph::scalar(peak, 0), "eq"), graph::scalar(peak, 1), peak);
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

Value OptimizerImpl::scale_loss(Call&, Value loss) const {
  return options_.loss_scale_factor ? loss * *options_.loss_scale_factor : loss;
}

// ---- the step ---------------------------------------------------------------------------------------------

// What is known while one step is emitted. Conditions that are null always hold.
struct OptimizerImpl::Emission {
  Call& call;
  graph::Graph& graph;
  Value proceed;  ///< may anything change?
  Value rate;
  Value updates_done;           ///< i64
  Value updates = {};           ///< is this step an update, not only one that accumulates?
  std::vector<Value> old = {};  ///< of the shared slots
  std::vector<Value> shared = {};

  Step step(DType dtype) const {
    Step step{.learning_rate = in_type(rate, dtype),
              .iterations = graph::convert(updates_done, dtype),
              .shared = {}};
    for (Value value : shared) step.shared.push_back(in_type(value, dtype));
    return step;
  }
  void set(Value state, Value next) const {
    call.update(state, proceed ? graph::select(proceed, next, state) : next);
  }
  /// For what updates change.
  Value if_update(Value next, Value old) const { return updates ? graph::select(updates, next, old) : next; }
};

// Gradients become the means of all since the last update.
void OptimizerImpl::accumulate(Emission& e, Value iterations, std::span<const Variable> weights,
                               std::vector<Value>& gradients) const {
  const auto steps = static_cast<double>(*options_.gradient_accumulation_steps);
  const Value place = graph::rem(iterations, graph::scalar(iterations, steps));
  e.updates = graph::compare(place, graph::scalar(place, steps - 1), "eq");
  for (std::size_t i = 0; i < weights.size(); i++) {
    const Named& kept = find(weights[i])->slots.back();
    const Value before =
        e.call.state(fmt::format("{}/{}/{}", name_, weights[i].name(), kept.name), kept.value);
    const Value sum = before + gradients[i];
    e.set(before, graph::select(e.updates, graph::scalar(sum, 0), sum));
    gradients[i] = sum / steps;
  }
}

// Keeps the weight's average; gives the weight as it becomes. Averages are taken in every step.
Value OptimizerImpl::averaged(Emission& e, const Kept& kept, Value weight) const {
  const Named& slot = kept.slots[kept.own];
  const Value before =
      e.call.state(fmt::format("{}/{}/{}", name_, kept.weight.variable.name(), slot.name), slot.value);
  const Value mixed = before * options_.ema_momentum + weight * (1 - options_.ema_momentum);
  const Value first = graph::compare(e.updates_done, graph::scalar(e.updates_done, 0), "eq");
  const Value average = graph::select(first, weight, mixed);
  e.set(before, average);
  if (!options_.ema_overwrite_frequency) return weight;
  const auto frequency = static_cast<double>(*options_.ema_overwrite_frequency);
  const Value place = graph::rem(e.updates_done, graph::scalar(e.updates_done, frequency));
  return graph::select(graph::compare(place, graph::scalar(place, frequency - 1), "eq"), average, weight);
}

void OptimizerImpl::update_weight(Emission& e, const Kept& kept, Value gradient) const {
  const Variable& variable = kept.weight.variable;
  const Value old = e.call(variable);
  std::vector<Value> slots;
  for (std::size_t s = 0; s < kept.own; s++)
    slots.push_back(e.call.state(fmt::format("{}/{}/{}", name_, variable.name(), kept.slots[s].name),
                                 kept.slots[s].value));
  const Step step = e.step(old.dtype());
  const std::optional<double> decay = decays(variable) ? weight_decay(kept.weight) : std::nullopt;
  const Value decayed = decay ? old - old * *decay * step.learning_rate : old;
  const Updated updated = update(step, decayed, gradient, slots);
  Value weight = e.if_update(updated.weight, old);
  if (options_.use_ema) weight = averaged(e, kept, weight);
  const Constraint& constraint = variable.constraint();
  if (constraint) weight = constraint(weight);
  e.call.assign(variable, e.proceed ? graph::select(e.proceed, weight, old) : weight);
  for (std::size_t s = 0; s < slots.size(); s++) e.set(slots[s], e.if_update(updated.slots[s], slots[s]));
}

void OptimizerImpl::apply(Call& call, std::span<const Variable> weights, std::span<const Value> gradients,
                          Value proceed) {
  graph::Graph& graph = call.graph();
  const graph::LabelScope label(graph, name_);
  const Value number = schedule_ ? Value() : call.state(name_ + "/learning_rate", learning_rate_);
  const Value iterations = call.state(name_ + "/iteration", iterations_);
  const Value rate = schedule_ ? schedule_(graph::convert(iterations, DType::f64)) : number;
  Emission e{.call = call, .graph = graph, .proceed = proceed, .rate = rate, .updates_done = iterations};

  std::vector<Value> g(gradients.begin(), gradients.end());
  if (options_.loss_scale_factor)
    for (Value& gradient : g) gradient = gradient / *options_.loss_scale_factor;
  if (options_.gradient_accumulation_steps) {
    const auto steps = static_cast<double>(*options_.gradient_accumulation_steps);
    e.updates_done = graph::div(iterations, graph::scalar(iterations, steps));
    accumulate(e, iterations, weights, g);
  }
  g = clipped(g);

  for (const Named& slot : shared_) e.old.push_back(call.state(name_ + "/" + slot.name, slot.value));
  if (!shared_.empty()) {
    e.shared = e.old;
    e.shared = update_shared(e.step(shared_[0].value.dtype()));
  }
  for (std::size_t i = 0; i < weights.size(); i++) update_weight(e, *find(weights[i]), g[i]);
  for (std::size_t i = 0; i < shared_.size(); i++) e.set(e.old[i], e.if_update(e.shared[i], e.old[i]));
  e.set(iterations, iterations + graph::scalar(iterations, 1));
}

}  // namespace kiln
