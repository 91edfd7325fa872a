// Optimizers whose steps don't hang on a mean square of the gradient: SGD, Lion, Ftrl.
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

class SGDImpl final : public internal::Configured<SGDImpl, SGDArgs> {
 public:
  static constexpr const char* keras_name = "SGD";
  static void own_fields(Fields& f, SGDArgs& a) { f("momentum", a.momentum)("nesterov", a.nesterov); }

  explicit SGDImpl(const SGDArgs& args) : Configured(args) { check_share("SGD", "momentum", args.momentum); }
  std::vector<Slot> slots(const Weight&) const override {
    if (args_.momentum == 0) return {};
    return {{"momentum", 0}};
  }
  Updated update(const Step& step, Value w, Value g, std::span<const Value> slots) const override {
    const Value move = g * step.learning_rate;
    if (args_.momentum == 0) return {w - move, {}};
    const Value v = slots[0] * args_.momentum - move;
    return {args_.nesterov ? w + (v * args_.momentum - move) : w + v, {v}};
  }
};

class LionImpl final : public internal::Configured<LionImpl, LionArgs> {
 public:
  static constexpr const char* keras_name = "Lion";
  static void own_fields(Fields& f, LionArgs& a) { f("beta_1", a.beta_1)("beta_2", a.beta_2); }

  explicit LionImpl(const LionArgs& args) : Configured(args) {
    if (!(args.beta_1 > 0 && args.beta_1 <= 1))
      throw ValueError(
          fmt::format("Lion: beta_1 must be in (0, 1], but it is {}; with 0 Lion would follow the signs of "
                      "single gradients: give 0.9 or so",
                      args.beta_1));
    check_share("Lion", "beta_2", args.beta_2);
  }
  std::vector<Slot> slots(const Weight&) const override { return {{"momentum", 0}}; }
  Updated update(const Step& step, Value w, Value g, std::span<const Value> slots) const override {
    const Value kept = slots[0] * args_.beta_1;
    const Value direction = graph::sign(kept + g * (1 - args_.beta_1));
    const Value weight = w - direction * step.learning_rate;
    const Value remembered = slots[0] * args_.beta_2;
    const Value momentum = remembered + g * (1 - args_.beta_2);
    return {weight, {momentum}};
  }
};

class FtrlImpl final : public internal::Configured<FtrlImpl, FtrlArgs> {
 public:
  static constexpr const char* keras_name = "Ftrl";
  static void own_fields(Fields& f, FtrlArgs& a) {
    f("learning_rate_power", a.learning_rate_power)("initial_accumulator_value", a.initial_accumulator_value);
    f("l1_regularization_strength", a.l1_regularization_strength);
    f("l2_regularization_strength", a.l2_regularization_strength);
    f("l2_shrinkage_regularization_strength", a.l2_shrinkage_regularization_strength)("beta", a.beta);
  }

  explicit FtrlImpl(const FtrlArgs& args) : Configured(args) {
    if (!(args.learning_rate_power <= 0 && std::isfinite(args.learning_rate_power)))
      throw ValueError(
          fmt::format("Ftrl: learning_rate_power must be finite and not above 0, but it is {}; -0.5 is "
                      "usual, 0 keeps the learning rate as it is",
                      args.learning_rate_power));
    check_not_negative("Ftrl", "initial_accumulator_value", args.initial_accumulator_value);
    check_not_negative("Ftrl", "l1_regularization_strength", args.l1_regularization_strength);
    check_not_negative("Ftrl", "l2_regularization_strength", args.l2_regularization_strength);
    check_not_negative("Ftrl", "l2_shrinkage_regularization_strength",
                       args.l2_shrinkage_regularization_strength);
    check_not_negative("Ftrl", "beta", args.beta);
  }
  std::vector<Slot> slots(const Weight&) const override {
    return {{"accumulator", args_.initial_accumulator_value}, {"linear", 0}};
  }
  Updated update(const Step& step, Value w, Value g, std::span<const Value> slots) const override {
    const double l1 = args_.l1_regularization_strength;
    const double shrinkage = args_.l2_shrinkage_regularization_strength;
    const Value accumulator = slots[0] + g * g;
    const Value power = powered(accumulator);
    const Value growth = (power - powered(slots[0])) / step.learning_rate;
    const Value shrunk = shrinkage == 0 ? g : g + w * (2 * shrinkage);
    const Value linear = slots[1] + (shrunk - growth * w);
    Value quadratic = power / step.learning_rate + 2 * args_.l2_regularization_strength;
    if (args_.beta != 0) quadratic = quadratic + args_.beta / step.learning_rate;
    const Value least = graph::maximum(linear, graph::scalar(linear, -l1));
    const Value clipped = graph::minimum(least, graph::scalar(linear, l1));
    return {(clipped - linear) / quadratic, {accumulator, linear}};
  }

 private:
  // x^(-learning_rate_power)
  Value powered(Value x) const {
    const double power = -args_.learning_rate_power;
    return power == 0.5 ? graph::sqrt(x) : graph::pow(x, graph::scalar(x, power));
  }
};

}  // namespace

Optimizer SGD(SGDArgs args) {
  return Optimizer(std::make_shared<SGDImpl>(args));
}
Optimizer Lion(LionArgs args) {
  return Optimizer(std::make_shared<LionImpl>(args));
}
Optimizer Ftrl(FtrlArgs args) {
  return Optimizer(std::make_shared<FtrlImpl>(args));
}

}  // namespace optimizers

void internal::add_momentums(Registry<Optimizer>& registry) {
  registry.add({"SGD", "sgd"}, optimizers::SGDImpl::read);
  registry.add({"Lion", "lion"}, optimizers::LionImpl::read);
  registry.add({"Ftrl", "ftrl"}, optimizers::FtrlImpl::read);
}

}  // namespace kiln
