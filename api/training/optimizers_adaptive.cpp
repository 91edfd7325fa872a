// Optimizers that divide by a mean square or a sum of squares of the gradient, without Adam's momentum:
// Adagrad, Adadelta, RMSprop, Adafactor.
#include <fmt/format.h>

#include <cmath>

#include "api/training/optimizers.h"

namespace kiln {

using graph::Value;
using internal::check_not_negative;
using internal::check_share;
using internal::Fields;

namespace optimizers {
namespace {

class AdagradImpl final : public internal::Configured<AdagradImpl, AdagradArgs> {
 public:
  static constexpr const char* keras_name = "Adagrad";
  static void own_fields(Fields& f, AdagradArgs& a) {
    f("initial_accumulator_value", a.initial_accumulator_value)("epsilon", a.epsilon);
  }

  explicit AdagradImpl(const AdagradArgs& args) : Configured(args) {
    check_not_negative("Adagrad", "epsilon", args.epsilon);
    check_not_negative("Adagrad", "initial_accumulator_value", args.initial_accumulator_value);
  }
  std::vector<Slot> slots(const Weight&) const override {
    return {{"accumulator", args_.initial_accumulator_value}};
  }
  Updated update(const Step& step, Value w, Value g, std::span<const Value> slots) const override {
    const Value sum = slots[0] + g * g;
    return {w - g * step.learning_rate / graph::sqrt(sum + args_.epsilon), {sum}};
  }
};

class AdadeltaImpl final : public internal::Configured<AdadeltaImpl, AdadeltaArgs> {
 public:
  static constexpr const char* keras_name = "Adadelta";
  static void own_fields(Fields& f, AdadeltaArgs& a) { f("rho", a.rho)("epsilon", a.epsilon); }

  explicit AdadeltaImpl(const AdadeltaArgs& args) : Configured(args) {
    check_share("Adadelta", "rho", args.rho);
    check_not_negative("Adadelta", "epsilon", args.epsilon);
  }
  std::vector<Slot> slots(const Weight&) const override {
    return {{"accumulated_grad", 0}, {"accumulated_delta_var", 0}};
  }
  Updated update(const Step& step, Value w, Value g, std::span<const Value> slots) const override {
    const Value gradients = mean_square(slots[0], g);
    const Value wanted = graph::sqrt(slots[1] + args_.epsilon) * g;
    const Value delta = -(wanted / graph::sqrt(gradients + args_.epsilon));
    const Value deltas = mean_square(slots[1], delta);
    return {w + delta * step.learning_rate, {gradients, deltas}};
  }

 private:
  Value mean_square(Value old, Value x) const {
    const Value kept = old * args_.rho;
    return kept + x * x * (1 - args_.rho);
  }
};

class RMSpropImpl final : public internal::Configured<RMSpropImpl, RMSpropArgs> {
 public:
  static constexpr const char* keras_name = "RMSprop";
  static void own_fields(Fields& f, RMSpropArgs& a) {
    f("rho", a.rho)("momentum", a.momentum)("epsilon", a.epsilon)("centered", a.centered);
  }

  explicit RMSpropImpl(const RMSpropArgs& args) : Configured(args) {
    check_share("RMSprop", "rho", args.rho);
    check_share("RMSprop", "momentum", args.momentum);
    check_not_negative("RMSprop", "epsilon", args.epsilon);
  }
  std::vector<Slot> slots(const Weight&) const override {
    std::vector<Slot> slots = {{"velocity", 0}};
    if (args_.momentum > 0) slots.push_back({"momentum", 0});
    if (args_.centered) slots.push_back({"average_gradient", 0});
    return slots;
  }
  Updated update(const Step& step, Value w, Value g, std::span<const Value> slots) const override {
    const Value v = slots[0] * args_.rho + g * g * (1 - args_.rho);
    Updated updated = {{}, {v}};
    Value denominator = v + args_.epsilon;
    if (args_.centered) {
      const Value average = slots.back() * args_.rho + g * (1 - args_.rho);
      denominator = v - average * average + args_.epsilon;
      updated.slots.push_back(average);
    }
    Value move = g * step.learning_rate / graph::sqrt(denominator);
    if (args_.momentum > 0) {
      move = slots[1] * args_.momentum + move;
      updated.slots.insert(updated.slots.begin() + 1, move);
    }
    updated.weight = w - move;
    return updated;
  }
};

class AdafactorImpl final : public internal::Configured<AdafactorImpl, AdafactorArgs> {
 public:
  static constexpr const char* keras_name = "Adafactor";
  static void own_fields(Fields& f, AdafactorArgs& a) {
    f("beta_2_decay", a.beta_2_decay)("epsilon_1", a.epsilon_1)("epsilon_2", a.epsilon_2);
    f("clip_threshold", a.clip_threshold)("relative_step", a.relative_step);
  }

  explicit AdafactorImpl(const AdafactorArgs& args) : Configured(args) {
    if (!(args.beta_2_decay <= 0 && std::isfinite(args.beta_2_decay)))
      throw ValueError(
          fmt::format("Adafactor: beta_2_decay must be finite and not above 0, but it is {}; it is the "
                      "exponent of the step's number: -0.8 is usual",
                      args.beta_2_decay));
    check_not_negative("Adafactor", "epsilon_1", args.epsilon_1);
    check_not_negative("Adafactor", "epsilon_2", args.epsilon_2);
    if (!(args.clip_threshold > 0 && std::isfinite(args.clip_threshold)))
      throw ValueError(
          fmt::format("Adafactor: clip_threshold must be positive and finite, but it is {}; 1 is usual",
                      args.clip_threshold));
  }
  /// Only what the rule needs: Keras keeps v for matrices, too, which r and c give.
  std::vector<Slot> slots(const Weight& weight) const override {
    const Shape& shape = weight.variable.shape();
    const int rank = shape.rank();
    if (rank < 2) return {{"velocity", 0}};
    Shape rows, columns;
    for (int axis = 0; axis < rank; axis++) {
      if (axis != rank - 1) rows.push_back(shape.dim(axis));
      if (axis != rank - 2) columns.push_back(shape.dim(axis));
    }
    return {{"r", 0, rows}, {"c", 0, columns}};
  }
  Updated update(const Step& step, Value w, Value g, std::span<const Value> slots) const override {
    const Value t = step.iterations + 1.0;
    const Value rate = graph::minimum(step.learning_rate, graph::rsqrt(t));
    const Value size = root_mean_square(w);
    const Value length = graph::maximum(size, graph::scalar(size, args_.epsilon_2)) * rate;
    const Value fresh = graph::pow(t, graph::scalar(t, args_.beta_2_decay));  // 1 - b
    const Value squares = g * g + args_.epsilon_1;
    Updated updated;
    Value v;
    if (w.rank() < 2) {
      v = mixed(slots[0], squares, fresh);
      updated.slots = {v};
    } else {
      const Value r = mixed(slots[0], graph::reduce_mean(squares, {w.rank() - 1}), fresh);
      const Value c = mixed(slots[1], graph::reduce_mean(squares, {w.rank() - 2}), fresh);
      const Value share = r / graph::reduce_mean(r, {r.rank() - 1}, /*keepdims=*/true);
      const Value down = graph::expand_dims(share, share.rank());
      v = down * graph::expand_dims(c, c.rank() - 1);
      updated.slots = {r, c};
    }
    const Value u = g / graph::sqrt(v);
    const Value excess = root_mean_square(u) / args_.clip_threshold;
    const Value clipped = u / graph::maximum(excess, graph::scalar(excess, 1));
    updated.weight = w - clipped * length;
    return updated;
  }

 private:
  static Value root_mean_square(Value x) { return graph::sqrt(graph::reduce_mean(x * x)); }
  static Value mixed(Value old, Value value, Value fresh) {
    const Value kept = old * (1.0 - fresh);
    return kept + value * fresh;
  }
};

}  // namespace

Optimizer Adagrad(AdagradArgs args) {
  return Optimizer(std::make_shared<AdagradImpl>(args));
}
Optimizer Adadelta(AdadeltaArgs args) {
  return Optimizer(std::make_shared<AdadeltaImpl>(args));
}
Optimizer RMSprop(RMSpropArgs args) {
  return Optimizer(std::make_shared<RMSpropImpl>(args));
}
Optimizer Adafactor(AdafactorArgs args) {
  return Optimizer(std::make_shared<AdafactorImpl>(args));
}

}  // namespace optimizers

void internal::add_adaptive(Registry<Optimizer>& registry) {
  registry.add({"RMSprop", "rmsprop"}, optimizers::RMSpropImpl::read);
  registry.add({"Adagrad", "adagrad"}, optimizers::AdagradImpl::read);
  registry.add({"Adadelta", "adadelta"}, optimizers::AdadeltaImpl::read);
  registry.add({"Adafactor", "adafactor"}, optimizers::AdafactorImpl::read);
}

}  // namespace kiln
