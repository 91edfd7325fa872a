#pragma once
#include <concepts>
#include <functional>
#include <optional>
#include <string>

#include "kiln/graph/graph.h"

/// Keras's activation functions, as functions that emit ops; formulas and defaults are those of
/// https://keras.io/api/layers/activations. A layer takes one by name or as a function:
/// `.activation = "relu"`, `.activation = activations::relu`, or a lambda of your own over graph values,
/// `[](graph::Value x) { return activations::elu(x, {.alpha = 0.5}); }`. NaN stays NaN. An axis may count
/// from the end (-1 is the last); ShapeError if there is no such axis.
namespace kiln::activations {

/// x
KILN_API graph::Value linear(graph::Value x);

struct ReLUArgs {
  double negative_slope = 0;
  std::optional<double> max_value = {};
  double threshold = 0;
};
/// max(x, 0)
KILN_API graph::Value relu(graph::Value x);
/// x where threshold < x < max_value, max_value above, negative_slope * (x - threshold) below
KILN_API graph::Value relu(graph::Value x, ReLUArgs args);
/// min(max(x, 0), 6)
KILN_API graph::Value relu6(graph::Value x);

struct LeakyReLUArgs {
  double negative_slope = 0.2;
};
/// x for x >= 0, else negative_slope * x
KILN_API graph::Value leaky_relu(graph::Value x);
KILN_API graph::Value leaky_relu(graph::Value x, LeakyReLUArgs args);

struct ELUArgs {
  double alpha = 1;
};
/// x for x > 0, else alpha (exp(x) - 1)
KILN_API graph::Value elu(graph::Value x);
KILN_API graph::Value elu(graph::Value x, ELUArgs args);
/// 1.0507... * elu with alpha 1.6732... (Klambauer et al. 2017)
KILN_API graph::Value selu(graph::Value x);
/// x for x > 0, else alpha (exp(x / alpha) - 1); alpha isn't 0 (ValueError)
KILN_API graph::Value celu(graph::Value x);
KILN_API graph::Value celu(graph::Value x, ELUArgs args);

/// log(1 + exp(x))
KILN_API graph::Value softplus(graph::Value x);
/// x / (1 + |x|)
KILN_API graph::Value softsign(graph::Value x);

struct SquareplusArgs {
  double b = 4;
};
/// (x + sqrt(x^2 + b)) / 2 (Barron 2021)
KILN_API graph::Value squareplus(graph::Value x);
KILN_API graph::Value squareplus(graph::Value x, SquareplusArgs args);

/// x sigmoid(x); also "swish"
KILN_API graph::Value silu(graph::Value x);
/// x hard_sigmoid(x); also "hard_swish"
KILN_API graph::Value hard_silu(graph::Value x);

struct GELUArgs {
  bool approximate = false;  ///< by tanh instead of erf
};
/// x Phi(x), Phi the standard normal distribution function (Hendrycks and Gimpel 2016)
KILN_API graph::Value gelu(graph::Value x);
KILN_API graph::Value gelu(graph::Value x, GELUArgs args);
/// x tanh(softplus(x))
KILN_API graph::Value mish(graph::Value x);

KILN_API graph::Value tanh(graph::Value x);
/// 1 / (1 + exp(-x))
KILN_API graph::Value sigmoid(graph::Value x);
/// log(sigmoid(x))
KILN_API graph::Value log_sigmoid(graph::Value x);
/// min(max(x / 6 + 1/2, 0), 1)
KILN_API graph::Value hard_sigmoid(graph::Value x);
/// min(max(x, -1), 1)
KILN_API graph::Value hard_tanh(graph::Value x);
/// exp(x)
KILN_API graph::Value exponential(graph::Value x);

struct ShrinkArgs {
  double threshold = 0.5;
};
/// x where |x| > threshold, else 0
KILN_API graph::Value hard_shrink(graph::Value x);
KILN_API graph::Value hard_shrink(graph::Value x, ShrinkArgs args);
/// x - threshold for x > threshold, x + threshold for x < -threshold, else 0
KILN_API graph::Value soft_shrink(graph::Value x);
KILN_API graph::Value soft_shrink(graph::Value x, ShrinkArgs args);
/// x - tanh(x)
KILN_API graph::Value tanh_shrink(graph::Value x);
/// x for x > bound, else `otherwise`. Not to be had by name, as it has no defaults.
KILN_API graph::Value threshold(graph::Value x, double bound, double otherwise);

/// 0 for x <= -1, (x + 1)^2 / 4 up to 1, x from there
KILN_API graph::Value sparse_plus(graph::Value x);
/// 0 for x <= -1, (x + 1) / 2 up to 1, 1 from there: the derivative of sparse_plus
KILN_API graph::Value sparse_sigmoid(graph::Value x);

struct AxisArgs {
  int axis = -1;
};
/// a sigmoid(b), a and b the halves of x along an axis of even size (else ShapeError; Dauphin et al. 2016)
KILN_API graph::Value glu(graph::Value x);
KILN_API graph::Value glu(graph::Value x, AxisArgs args);
/// exp(x) / sum(exp(x)) along an axis, computed from x - max(x)
KILN_API graph::Value softmax(graph::Value x);
KILN_API graph::Value softmax(graph::Value x, AxisArgs args);
/// x - log(sum(exp(x))) along an axis, computed from x - max(x)
KILN_API graph::Value log_softmax(graph::Value x);
KILN_API graph::Value log_softmax(graph::Value x, AxisArgs args);
/// The nearest point to x whose elements along an axis aren't negative and sum to 1; many of them are 0
/// (Martins and Astudillo 2016)
KILN_API graph::Value sparsemax(graph::Value x);
KILN_API graph::Value sparsemax(graph::Value x, AxisArgs args);

/// An activation argument. Throws ValueError for an unknown name and for an empty function.
class KILN_API Function {
 public:
  /// linear
  Function() = default;
  Function(const char* name);
  Function(const std::string& name);
  /// Names a function that has further arguments as well: `activations::elu`.
  Function(graph::Value (*function)(graph::Value));
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
