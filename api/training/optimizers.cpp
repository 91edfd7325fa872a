#include "kiln/optimizers.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "api/support/handles.h"
#include "api/support/names.h"

namespace kiln {
namespace optimizers {
namespace {

using graph::Value;

template <class Args>
OptimizerOptions options(const Args& args) {
  return {args.weight_decay, args.clipnorm, args.clipvalue, args.global_clipnorm, args.name};
}

void check_share(const char* optimizer, const char* argument, double value) {
  if (!(value >= 0 && value <= 1))
    throw ValueError(fmt::format("{}: {} must be in [0, 1], but it is {}", optimizer, argument, value));
}

void check_not_negative(const char* optimizer, const char* argument, double value) {
  if (!(value >= 0 && std::isfinite(value)))
    throw ValueError(
        fmt::format("{}: {} must be finite and not negative, but it is {}", optimizer, argument, value));
}

class SGDImpl final : public OptimizerImpl {
 public:
  explicit SGDImpl(const SGDArgs& args)
      : OptimizerImpl("sgd", args.learning_rate, options(args)),
        momentum_(args.momentum),
        nesterov_(args.nesterov) {
    check_share("SGD", "momentum", momentum_);
  }
  std::vector<Slot> slots() const override {
    if (momentum_ == 0) return {};
    return {{"momentum", 0}};
  }
  Updated update(const Step& step, Value w, Value g, std::span<const Value> slots) const override {
    const Value move = g * step.learning_rate;
    if (momentum_ == 0) return {w - move, {}};
    const Value v = slots[0] * momentum_ - move;
    return {nesterov_ ? w + (v * momentum_ - move) : w + v, {v}};
  }

 private:
  double momentum_;
  bool nesterov_;
};

class RMSpropImpl final : public OptimizerImpl {
 public:
  explicit RMSpropImpl(const RMSpropArgs& args)
      : OptimizerImpl("rmsprop", args.learning_rate, options(args)), args_(args) {
    check_share("RMSprop", "rho", args.rho);
    check_share("RMSprop", "momentum", args.momentum);
    check_not_negative("RMSprop", "epsilon", args.epsilon);
  }
  std::vector<Slot> slots() const override {
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

 private:
  RMSpropArgs args_;
};

class AdagradImpl final : public OptimizerImpl {
 public:
  explicit AdagradImpl(const AdagradArgs& args)
      : OptimizerImpl("adagrad", args.learning_rate, options(args)), args_(args) {
    check_not_negative("Adagrad", "epsilon", args.epsilon);
    check_not_negative("Adagrad", "initial_accumulator_value", args.initial_accumulator_value);
  }
  std::vector<Slot> slots() const override { return {{"accumulator", args_.initial_accumulator_value}}; }
  Updated update(const Step& step, Value w, Value g, std::span<const Value> slots) const override {
    const Value sum = slots[0] + g * g;
    return {w - g * step.learning_rate / graph::sqrt(sum + args_.epsilon), {sum}};
  }

 private:
  AdagradArgs args_;
};

class AdamImpl final : public OptimizerImpl {
 public:
  explicit AdamImpl(const AdamArgs& args)
      : OptimizerImpl("adam", args.learning_rate, options(args)), args_(args) {
    const auto check = [](const char* name, double beta) {
      if (!(beta >= 0 && beta < 1))
        throw ValueError(fmt::format("Adam: {} must be in [0, 1), but it is {}", name, beta));
    };
    check("beta_1", args.beta_1);
    check("beta_2", args.beta_2);
    check_not_negative("Adam", "epsilon", args.epsilon);
  }
  std::vector<Slot> slots() const override {
    std::vector<Slot> slots = {{"momentum", 0}, {"velocity", 0}};
    if (args_.amsgrad) slots.push_back({"velocity_hat", 0});
    return slots;
  }
  Updated update(const Step& step, Value w, Value g, std::span<const Value> slots) const override {
    const Value t = step.iterations + 1.0;
    const Value rate =
        step.learning_rate * graph::sqrt(one_minus_power(args_.beta_2, t)) / one_minus_power(args_.beta_1, t);
    const Value m = slots[0] + (g - slots[0]) * (1 - args_.beta_1);
    const Value v = slots[1] + (g * g - slots[1]) * (1 - args_.beta_2);
    Updated updated = {{}, {m, v}};
    Value largest = v;
    if (args_.amsgrad) {
      largest = graph::maximum(slots[2], v);
      updated.slots.push_back(largest);
    }
    updated.weight = w - m * rate / (graph::sqrt(largest) + args_.epsilon);
    return updated;
  }

 private:
  // 1 - beta^t by expm1: for beta = 0.999 and t = 1 the plain form keeps four digits of seven in f32.
  static Value one_minus_power(double beta, Value t) {
    if (beta == 0) return graph::ones_like(t);
    return -graph::expm1(t * std::log(beta));
  }

  AdamArgs args_;
};

}  // namespace

Optimizer SGD(SGDArgs args) {
  return Optimizer(std::make_shared<SGDImpl>(args));
}
Optimizer RMSprop(RMSpropArgs args) {
  return Optimizer(std::make_shared<RMSpropImpl>(args));
}
Optimizer Adagrad(AdagradArgs args) {
  return Optimizer(std::make_shared<AdagradImpl>(args));
}
Optimizer Adam(AdamArgs args) {
  return Optimizer(std::make_shared<AdamImpl>(args));
}

namespace {

struct Named {
  std::string_view name;
  Optimizer (*make)();
};

constexpr std::array<Named, 8> by_name = {{
    {"sgd", [] { return SGD(); }},
    {"SGD", [] { return SGD(); }},
    {"rmsprop", [] { return RMSprop(); }},
    {"RMSprop", [] { return RMSprop(); }},
    {"adagrad", [] { return Adagrad(); }},
    {"Adagrad", [] { return Adagrad(); }},
    {"adam", [] { return Adam(); }},
    {"Adam", [] { return Adam(); }},
}};

}  // namespace
}  // namespace optimizers

Optimizer::Optimizer(const std::string& name) {
  std::vector<std::string_view> known;
  for (const auto& entry : optimizers::by_name) {
    if (entry.name == name) {
      *this = entry.make();
      return;
    }
    known.push_back(entry.name);
  }
  internal::unknown_name("optimizer", name, known);
}
Optimizer::Optimizer(const char* name) : Optimizer(internal::given_name("optimizer", name)) {}
Optimizer::Optimizer(std::shared_ptr<OptimizerImpl> impl)
    : impl_(internal::not_empty(std::move(impl), "an Optimizer")) {}

OptimizerImpl& Optimizer::impl() const {
  return internal::used(impl_, "Optimizer");
}

double Optimizer::learning_rate() const {
  return impl().learning_rate().item();
}
void Optimizer::set_learning_rate(double rate) const {
  if (!std::isfinite(rate) || rate < 0)
    throw ValueError(fmt::format(
        "optimizer \"{}\": the learning rate must be finite and not negative, but it is {}", name(), rate));
  impl().learning_rate()() = rate;
}
std::int64_t Optimizer::iterations() const {
  return static_cast<std::int64_t>(impl().iterations().item());
}

}  // namespace kiln
