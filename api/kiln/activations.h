#pragma once
#include <concepts>
#include <functional>
#include <string>

#include "kiln/graph/graph.h"

/// Keras's activation functions, as functions that emit ops. A layer takes one by name or as a function:
/// `.activation = "relu"`, `.activation = activations::relu`, or a lambda of your own over graph values.
namespace kiln::activations {

/// x
KILN_API graph::Value linear(graph::Value x);
/// max(x, 0); NaN stays NaN
KILN_API graph::Value relu(graph::Value x);
/// min(max(x, 0), 6)
KILN_API graph::Value relu6(graph::Value x);
/// x for x >= 0, else 0.2 x
KILN_API graph::Value leaky_relu(graph::Value x);
/// x for x > 0, else exp(x) - 1
KILN_API graph::Value elu(graph::Value x);
/// 1.0507... * elu with alpha 1.6732... (Klambauer et al. 2017)
KILN_API graph::Value selu(graph::Value x);
/// log(1 + exp(x))
KILN_API graph::Value softplus(graph::Value x);
/// x / (1 + |x|)
KILN_API graph::Value softsign(graph::Value x);
/// x sigmoid(x); also "swish"
KILN_API graph::Value silu(graph::Value x);
/// x Phi(x), Phi the standard normal distribution function (exact, by erf)
KILN_API graph::Value gelu(graph::Value x);
KILN_API graph::Value tanh(graph::Value x);
/// 1 / (1 + exp(-x))
KILN_API graph::Value sigmoid(graph::Value x);
/// log(sigmoid(x))
KILN_API graph::Value log_sigmoid(graph::Value x);
/// min(max(x / 6 + 1/2, 0), 1)
KILN_API graph::Value hard_sigmoid(graph::Value x);
/// exp(x)
KILN_API graph::Value exponential(graph::Value x);
/// x tanh(softplus(x))
KILN_API graph::Value mish(graph::Value x);
/// exp(x) / sum(exp(x)) along an axis, computed from x - max(x)
KILN_API graph::Value softmax_along(graph::Value x, int axis);
/// x - log(sum(exp(x))) along an axis, computed from x - max(x)
KILN_API graph::Value log_softmax_along(graph::Value x, int axis);
/// softmax along the last axis
KILN_API graph::Value softmax(graph::Value x);
/// log_softmax along the last axis
KILN_API graph::Value log_softmax(graph::Value x);

/// An activation argument. Throws ValueError for an unknown name and for an empty function.
class KILN_API Function {
 public:
  /// linear
  Function() = default;
  Function(const char* name);
  Function(const std::string& name);
  template <class F>
    requires(std::is_invocable_r_v<graph::Value, F, graph::Value> &&
             !std::is_same_v<std::decay_t<F>, Function>)
  Function(F f) : Function(std::function<graph::Value(graph::Value)>(std::move(f)), "custom") {}

  graph::Value operator()(graph::Value x) const { return call_ ? call_(x) : x; }
  /// "relu"; "linear" for none, "custom" for a function of the user's.
  const std::string& name() const { return name_; }

 private:
  Function(std::function<graph::Value(graph::Value)> call, std::string name);

  std::function<graph::Value(graph::Value)> call_;
  std::string name_ = "linear";
};

}  // namespace kiln::activations
