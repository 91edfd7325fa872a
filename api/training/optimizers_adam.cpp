// Adam and its relatives: Adam, AdamW, Adamax, Nadam, Lamb.
#include <cmath>

#include "api/training/optimizers.h"

namespace kiln {

using graph::Value;
using internal::check_beta;
using internal::check_not_negative;
using internal::Fields;
using internal::moved;
using internal::one_minus_power;

// By expm1: for beta = 0.999 and t = 1 the plain form keeps four digits of seven in f32.
Value internal::one_minus_power(double beta, Value t) {
  if (beta == 0) return graph::ones_like(t);
  return -graph::expm1(t * std::log(beta));
}

Value internal::moved(Value old, double beta, Value value) {
  return old + (value - old) * (1 - beta);
}

OptimizerImpl::Updated internal::AdamRule::update(Value learning_rate, Value iterations, Value w, Value g,
                                                  std::span<const Value> slots) const {
  const Value t = iterations + 1.0;
  const Value second = graph::sqrt(one_minus_power(beta_2, t));
  const Value rate = learning_rate * second / one_minus_power(beta_1, t);
  const Value m = moved(slots[0], beta_1, g);
  const Value v = moved(slots[1], beta_2, g * g);
  OptimizerImpl::Updated updated = {{}, {m, v}};
  Value largest = v;
  if (amsgrad) {
    largest = graph::maximum(slots[2], v);
    updated.slots.push_back(largest);
  }
  const Value move = m * rate;
  updated.weight = w - move / (graph::sqrt(largest) + epsilon);
  return updated;
}

namespace optimizers {
namespace {

template <class Args>
void adam_fields(Fields& f, Args& a) {
  f("beta_1", a.beta_1)("beta_2", a.beta_2)("epsilon", a.epsilon);
}
template <class Args>
void check_adam(const char* name, const Args& args) {
  check_beta(name, "beta_1", args.beta_1);
  check_beta(name, "beta_2", args.beta_2);
  check_not_negative(name, "epsilon", args.epsilon);
}

// Adam, with or without its decay as a default.
template <class Impl, class Args>
class AdamBase : public internal::Configured<Impl, Args> {
 public:
  using Slot = OptimizerImpl::Slot;
  static void own_fields(Fields& f, Args& a) {
    adam_fields(f, a);
    f("amsgrad", a.amsgrad);
  }

  explicit AdamBase(const Args& args) : internal::Configured<Impl, Args>(args) {
    check_adam(Impl::keras_name, args);
  }
  std::vector<Slot> slots(const OptimizerImpl::Weight&) const override {
    std::vector<Slot> slots = {{"momentum", 0}, {"velocity", 0}};
    if (this->args_.amsgrad) slots.push_back({"velocity_hat", 0});
    return slots;
  }
  OptimizerImpl::Updated update(const OptimizerImpl::Step& step, Value w, Value g,
                                std::span<const Value> slots) const override {
    const Args& a = this->args_;
    const internal::AdamRule rule{a.beta_1, a.beta_2, a.epsilon, a.amsgrad};
    return rule.update(step.learning_rate, step.iterations, w, g, slots);
  }
};

class AdamImpl final : public AdamBase<AdamImpl, AdamArgs> {
 public:
  static constexpr const char* keras_name = "Adam";
  using AdamBase::AdamBase;
};

class AdamWImpl final : public AdamBase<AdamWImpl, AdamWArgs> {
 public:
  static constexpr const char* keras_name = "AdamW";
  explicit AdamWImpl(const AdamWArgs& args) : AdamBase(args) {
    if (!args.weight_decay)
      throw ValueError(
          "AdamW: weight_decay must be a number, but there is none; use Adam for training without it");
  }
};

class AdamaxImpl final : public internal::Configured<AdamaxImpl, AdamaxArgs> {
 public:
  static constexpr const char* keras_name = "Adamax";
  static void own_fields(Fields& f, AdamaxArgs& a) { adam_fields(f, a); }

  explicit AdamaxImpl(const AdamaxArgs& args) : Configured(args) { check_adam("Adamax", args); }
  std::vector<Slot> slots(const Weight&) const override { return {{"momentum", 0}, {"norm", 0}}; }
  Updated update(const Step& step, Value w, Value g, std::span<const Value> slots) const override {
    const Value t = step.iterations + 1.0;
    const Value rate = step.learning_rate / one_minus_power(args_.beta_1, t);
    const Value m = moved(slots[0], args_.beta_1, g);
    const Value faded = slots[1] * args_.beta_2;
    const Value u = graph::maximum(faded, graph::abs(g));
    const Value move = m * rate;
    return {w - move / (u + args_.epsilon), {m, u}};
  }
};

class NadamImpl final : public internal::Configured<NadamImpl, NadamArgs> {
 public:
  static constexpr const char* keras_name = "Nadam";
  static void own_fields(Fields& f, NadamArgs& a) { adam_fields(f, a); }

  explicit NadamImpl(const NadamArgs& args) : Configured(args) { check_adam("Nadam", args); }
  std::vector<Slot> slots(const Weight&) const override { return {{"momentum", 0}, {"velocity", 0}}; }
  std::vector<Slot> shared_slots() const override { return {{"u_product", 1}}; }
  std::vector<Value> update_shared(const Step& step) const override {
    return {step.shared[0] * momentum(step.iterations + 1.0)};
  }
  Updated update(const Step& step, Value w, Value g, std::span<const Value> slots) const override {
    const Value t = step.iterations + 1.0;
    const Value now = momentum(t);
    const Value next = momentum(step.iterations + 2.0);
    const Value product = step.shared[0];
    const Value m = moved(slots[0], args_.beta_1, g);
    const Value v = moved(slots[1], args_.beta_2, g * g);
    const Value share_of_m = next / (1.0 - product * next);
    const Value share_of_g = (1.0 - now) / (1.0 - product);
    const Value from_m = m * share_of_m;
    const Value direction = from_m + g * share_of_g;
    const Value size = graph::sqrt(v / one_minus_power(args_.beta_2, t)) + args_.epsilon;
    const Value move = direction * step.learning_rate;
    return {w - move / size, {m, v}};
  }

 private:
  // u_t, which rises to beta_1
  Value momentum(Value t) const {
    const Value faded = graph::exp(t * std::log(0.96));
    return (1.0 - faded * 0.5) * args_.beta_1;
  }
};

class LambImpl final : public internal::Configured<LambImpl, LambArgs> {
 public:
  static constexpr const char* keras_name = "Lamb";
  static void own_fields(Fields& f, LambArgs& a) { adam_fields(f, a); }

  explicit LambImpl(const LambArgs& args) : Configured(args) { check_adam("Lamb", args); }
  std::vector<Slot> slots(const Weight&) const override { return {{"momentum", 0}, {"velocity", 0}}; }
  Updated update(const Step& step, Value w, Value g, std::span<const Value> slots) const override {
    const Value t = step.iterations + 1.0;
    const Value m = moved(slots[0], args_.beta_1, g);
    const Value v = moved(slots[1], args_.beta_2, g * g);
    const Value direction = m / one_minus_power(args_.beta_1, t);
    const Value size = graph::sqrt(v / one_minus_power(args_.beta_2, t)) + args_.epsilon;
    const Value u = direction / size;
    const Value length = graph::sqrt(graph::reduce_sum(w * w));
    const Value step_length = graph::sqrt(graph::reduce_sum(u * u));
    const Value zero = graph::scalar(length, 0);
    const Value has_length = graph::compare(length, zero, "gt");
    const Value moves = graph::compare(step_length, zero, "gt");
    const Value usable = graph::bit_and(has_length, moves);
    const Value trust = graph::select(usable, length / step_length, graph::scalar(length, 1));
    return {w - u * (trust * step.learning_rate), {m, v}};
  }
};

}  // namespace

Optimizer Adam(AdamArgs args) {
  return Optimizer(std::make_shared<AdamImpl>(args));
}
Optimizer AdamW(AdamWArgs args) {
  return Optimizer(std::make_shared<AdamWImpl>(args));
}
Optimizer Adamax(AdamaxArgs args) {
  return Optimizer(std::make_shared<AdamaxImpl>(args));
}
Optimizer Nadam(NadamArgs args) {
  return Optimizer(std::make_shared<NadamImpl>(args));
}
Optimizer Lamb(LambArgs args) {
  return Optimizer(std::make_shared<LambImpl>(args));
}

}  // namespace optimizers

void internal::add_adams(Registry<Optimizer>& registry) {
  registry.add({"Adam", "adam"}, optimizers::AdamImpl::read);
  registry.add({"AdamW", "adamw"}, optimizers::AdamWImpl::read);
  registry.add({"Adamax", "adamax"}, optimizers::AdamaxImpl::read);
  registry.add({"Nadam", "nadam"}, optimizers::NadamImpl::read);
  registry.add({"Lamb", "lamb"}, optimizers::LambImpl::read);
}

}  // namespace kiln
