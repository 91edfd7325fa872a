#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kiln/layer_impl.h"

namespace kiln {

/// What every optimizer can do to gradients and weights besides its own rule.
struct OptimizerOptions {
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  std::string name = "";
};

/// What an optimizer is made of. `update` emits one weight's new value inside the training step.
class KILN_API OptimizerImpl {
 public:
  OptimizerImpl(std::string name, double learning_rate, OptimizerOptions options);
  virtual ~OptimizerImpl();

  /// An array that the optimizer keeps for each weight, of the weight's shape.
  struct Slot {
    std::string name;
    double initial = 0;
  };
  virtual std::vector<Slot> slots() const = 0;

  /// What `update` sees: the learning rate and the number of steps done before this one, as rank-0 values of
  /// the weight's type.
  struct Step {
    graph::Value learning_rate;
    graph::Value iterations;
  };
  struct Updated {
    graph::Value weight;
    std::vector<graph::Value> slots;
  };
  virtual Updated update(const Step& step, graph::Value weight, graph::Value gradient,
                         std::span<const graph::Value> slots) const = 0;

  /// Emits the whole update of the weights: clipping, weight decay, `update`, the iteration count; new values
  /// are set as the states' next ones.
  void apply(Call& call, std::span<const Variable> weights, std::span<const graph::Value> gradients);
  /// Makes the slots of weights that have none yet.
  void build(std::span<const Variable> weights);
  /// Called by `compile`. Throws StateError if another model that still exists uses the optimizer.
  void claim(const std::shared_ptr<const void>& model);

  const std::string& name() const { return name_; }
  bool built() const { return built_; }
  Tensor& learning_rate() { return learning_rate_; }
  Tensor& iterations() { return iterations_; }
  /// The slots' storage in the weights' order.
  std::vector<Tensor> variables() const;

 private:
  struct Kept {
    Variable weight;
    std::vector<Tensor> slots;
  };
  std::vector<graph::Value> clipped(std::span<const graph::Value> gradients) const;
  Kept& kept(const Variable& weight);

  std::string name_;
  OptimizerOptions options_;
  Tensor learning_rate_, iterations_;
  bool built_ = false;
  std::weak_ptr<const void> model_;
  std::vector<Kept> kept_;
};

/// A handle to an optimizer, made from an object of namespace `optimizers` or from its name ("adam", "sgd",
/// ...). It belongs to one model. Throws ValueError for an unknown name.
class KILN_API Optimizer {
 public:
  Optimizer(const char* name);
  Optimizer(const std::string& name);
  /// Throws StateError for an empty pointer.
  explicit Optimizer(std::shared_ptr<OptimizerImpl> impl);

  const std::string& name() const { return impl().name(); }
  double learning_rate() const;
  /// Takes effect at the next step.
  void set_learning_rate(double rate) const;
  /// Steps done.
  std::int64_t iterations() const;
  /// Throws StateError for a handle that was moved from.
  OptimizerImpl& impl() const;

 private:
  std::shared_ptr<OptimizerImpl> impl_;
};

/// Keras's optimizers, with its formulas. w is a weight, g its gradient, a the learning rate.
///
/// All: `weight_decay` d first does w -= a d w; `clipnorm` scales each gradient down to that norm,
/// `global_clipnorm` all together, `clipvalue` clips each element. The norms are computed from gradients
/// divided by their largest element, so a gradient whose square overflows is clipped as any other. Only one
/// kind of clipping may be set (ValueError). Numbers that no rule can use (NaN, negative where that has no
/// sense) are a ValueError, too.
namespace optimizers {

struct SGDArgs {
  double learning_rate = 0.01;
  double momentum = 0;
  bool nesterov = false;
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  std::string name = "";
};
/// w -= a g; with momentum v <- momentum v - a g and w += v, or with nesterov w += momentum v - a g.
KILN_API Optimizer SGD(SGDArgs args = {});

struct RMSpropArgs {
  double learning_rate = 0.001;
  double rho = 0.9;
  double momentum = 0;
  double epsilon = 1e-7;
  bool centered = false;
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  std::string name = "";
};
/// v <- rho v + (1 - rho) g^2; w -= a g / sqrt(v + epsilon). `centered` subtracts the square of the mean
/// gradient from v; with momentum the increments are accumulated: m <- momentum m + increment, w -= m.
KILN_API Optimizer RMSprop(RMSpropArgs args = {});

struct AdagradArgs {
  double learning_rate = 0.001;
  double initial_accumulator_value = 0.1;
  double epsilon = 1e-7;
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  std::string name = "";
};
/// s += g^2; w -= a g / sqrt(s + epsilon).
KILN_API Optimizer Adagrad(AdagradArgs args = {});

struct AdamArgs {
  double learning_rate = 0.001;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-7;
  bool amsgrad = false;
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  std::string name = "";
};
/// m += (1 - beta_1) (g - m); v += (1 - beta_2) (g^2 - v); in step t w -= a_t m / (sqrt(v) + epsilon) with
/// a_t = a sqrt(1 - beta_2^t) / (1 - beta_1^t) (Kingma and Ba 2014, end of section 2). `amsgrad` uses the
/// largest v so far.
KILN_API Optimizer Adam(AdamArgs args = {});

}  // namespace optimizers
}  // namespace kiln
