#pragma once
#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/support/registry.h"
#include "kiln/graph/ops.h"
#include "kiln/losses.h"

/// What Keras's losses are made of.
namespace kiln::losses {

/// Keras's backend.epsilon(): probabilities are kept this far from 0 and 1.
inline constexpr double epsilon = 1e-7;

graph::Value clip(graph::Value x, double low, double high);
/// The mean over an axis; of a value for each sample, that value.
graph::Value mean_over(const char* loss, graph::Value x, int axis);
graph::Value mean_last(graph::Value x);
/// wrong^gamma, wrong being how far a probability is from right.
graph::Value focal_factor(graph::Value wrong, double gamma);

/// Throws ValueError unless the argument is in [0, 1].
void check_share(const char* loss, const char* argument, double value);
/// Throws ValueError unless the argument is a number from 0 on.
void check_not_negative(const char* loss, const char* argument, double value);

/// A loss of Keras's, written down by
///
///     struct Huber_ {                                                     // any name
///       using Args = HuberArgs;
///       static constexpr const char* class_name = "Huber";
///       static constexpr const char* name = "huber_loss";                 // unless the arguments have one
///       static void fields(internal::Fields& f, Args& args);              // those beside name and reduction
///       static void check(const Args& args);
///       static graph::Value values(const Args& args, graph::Value y_true, graph::Value y_pred);
///     };
template <class Kind>
class LossOf : public LossImpl {
 public:
  using Args = typename Kind::Args;

  explicit LossOf(Args args)
      : LossImpl(args.name.empty() ? Kind::name : args.name, args.reduction), args_(std::move(args)) {
    if constexpr (requires { Kind::check(args_); }) Kind::check(args_);
  }
  graph::Value values(graph::Value y_true, graph::Value y_pred) const override {
    return Kind::values(args_, y_true, y_pred);
  }
  std::string class_name() const override { return Kind::class_name; }
  Config get_config() const override {
    Args args = args_;  // `fields` takes references, as it reads as well
    args.name = name();
    internal::Fields f;
    fields(f, args);
    return f.config();
  }
  /// The arguments from a configuration.
  static Args read(internal::Fields& f) {
    Args args;
    fields(f, args);
    return args;
  }

 protected:
  Args args_;

 private:
  static void fields(internal::Fields& f, Args& args) {
    std::optional<std::string> reduction = args.reduction;  // Keras's None is "none"
    f("name", args.name)("reduction", reduction);
    args.reduction = reduction.value_or("none");
    if constexpr (requires { Kind::fields(f, args); }) Kind::fields(f, args);
  }
};

/// From a configuration.
template <class Impl>
Loss from_fields(internal::Fields& f) {
  return Loss(std::make_shared<Impl>(Impl::read(f)));
}
template <class Kind>
Loss loss_of(typename Kind::Args args) {
  return Loss(std::make_shared<LossOf<Kind>>(std::move(args)));
}

/// An argument that Keras's `get_config` forgets: written only where it isn't Keras's default, so that
/// nothing is lost and the rest is as Keras has it.
template <class T>
void forgotten_by_keras(internal::Fields& f, const char* key, T& value, const T& standard) {
  if (f.reads() || value != standard) f(key, value);
}

using LossRegistry = internal::Registry<Loss>;
void add_regression_losses(LossRegistry& registry);
void add_binary_losses(LossRegistry& registry);
void add_categorical_losses(LossRegistry& registry);
void add_margin_losses(LossRegistry& registry);

}  // namespace kiln::losses
