#pragma once
#include <memory>
#include <string>

#include "api/support/registry.h"
#include "kiln/optimizers.h"

/// What the optimizers have in common beside OptimizerImpl: arguments, their checks, configurations.
namespace kiln::internal {

/// Is the regular expression found in the text? Throws ValueError naming `argument` if it is none.
bool matches(const char* argument, const std::string& pattern, const std::string& text);

// Throw ValueError naming class and argument unless the value is in [0, 1], in [0, 1), or finite and not
// negative.
void check_share(const char* optimizer, const char* argument, double value);
void check_beta(const char* optimizer, const char* argument, double value);
void check_not_negative(const char* optimizer, const char* argument, double value);

template <class Args>
OptimizerOptions options_of(const Args& args) {
  return {.weight_decay = args.weight_decay,
          .clipnorm = args.clipnorm,
          .clipvalue = args.clipvalue,
          .global_clipnorm = args.global_clipnorm,
          .use_ema = args.use_ema,
          .ema_momentum = args.ema_momentum,
          .ema_overwrite_frequency = args.ema_overwrite_frequency,
          .loss_scale_factor = args.loss_scale_factor,
          .gradient_accumulation_steps = args.gradient_accumulation_steps,
          .name = args.name};
}

/// All arguments: those that each optimizer has, and Impl's `own_fields`.
template <class Impl, class Args>
void all_fields(Fields& f, Args& a) {
  f("name", a.name)("learning_rate", a.learning_rate)("weight_decay", a.weight_decay)("clipnorm", a.clipnorm);
  f("global_clipnorm", a.global_clipnorm)("clipvalue", a.clipvalue)("use_ema", a.use_ema);
  f("ema_momentum", a.ema_momentum)("ema_overwrite_frequency", a.ema_overwrite_frequency);
  f("loss_scale_factor", a.loss_scale_factor)("gradient_accumulation_steps", a.gradient_accumulation_steps);
  Impl::own_fields(f, a);
}

/// An optimizer that is made from one struct of arguments. Impl has `keras_name`, the class's name, and
/// `own_fields(Fields&, Args&)`.
template <class Impl, class Args>
class Configured : public OptimizerImpl {
 public:
  explicit Configured(const Args& args)
      : OptimizerImpl(Impl::keras_name, args.learning_rate, options_of(args)), args_(args) {}

  std::string class_name() const override { return Impl::keras_name; }
  Config get_config() const override {
    Args args = args_;
    args.name = name();
    args.learning_rate = learning_rate_argument();
    args.loss_scale_factor = options().loss_scale_factor;
    Fields f;
    all_fields<Impl>(f, args);
    return f.config();
  }
  static Optimizer read(Fields& f) {
    Args args;
    all_fields<Impl>(f, args);
    return Optimizer(std::make_shared<Impl>(args));
  }

 protected:
  Args args_;
};

// ---- Adam's parts, which others use as well ---------------------------------------------------------------

/// 1 - beta^t
graph::Value one_minus_power(double beta, graph::Value t);
/// old + (1 - beta) (value - old)
graph::Value moved(graph::Value old, double beta, graph::Value value);

struct AdamRule {
  double beta_1, beta_2, epsilon;
  bool amsgrad = false;
  /// `slots`: momentum, velocity, and with amsgrad the largest velocity.
  OptimizerImpl::Updated update(graph::Value learning_rate, graph::Value iterations, graph::Value weight,
                                graph::Value gradient, std::span<const graph::Value> slots) const;
};

// Make known the optimizers of one file each.
void add_adaptive(Registry<Optimizer>& registry);
void add_adams(Registry<Optimizer>& registry);
void add_momentums(Registry<Optimizer>& registry);
void add_muon(Registry<Optimizer>& registry);
void add_loss_scale(Registry<Optimizer>& registry);

}  // namespace kiln::internal
