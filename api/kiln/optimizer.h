#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kiln/layer_impl.h"
#include "kiln/schedules.h"

namespace kiln {

/// What every optimizer can do to gradients and weights besides its own rule; see namespace `optimizers`.
struct OptimizerOptions {
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency = {};
  std::optional<double> loss_scale_factor = {};
  std::optional<std::int64_t> gradient_accumulation_steps = {};
  std::string name = "";
};

/// Which weights `weight_decay` leaves alone: these, and those in whose name ("kernel", "bias") one of the
/// regular expressions is found.
struct ExcludeFromWeightDecayArgs {
  std::vector<Variable> var_list = {};
  std::vector<std::string> var_names = {};
};

/// What an optimizer is made of. Derive from this for one of your own and wrap it:
/// `Optimizer(std::make_shared<Mine>())`. `update` emits one weight's new value inside the training step;
/// clipping, decay, averages and the like are emitted around it.
class KILN_API OptimizerImpl {
 public:
  /// `class_name` stands in messages, and in lower case with underscores it is the name if none is given.
  OptimizerImpl(const std::string& class_name, LearningRate learning_rate, OptimizerOptions options);
  virtual ~OptimizerImpl();

  /// An array that the optimizer keeps for a weight.
  struct Slot {
    std::string name;
    double initial = 0;
    std::optional<Shape> shape = {};  ///< default: the weight's
  };
  /// A weight as the optimizer knows it.
  struct Weight {
    Variable variable;
    std::string path;  ///< its name in the model: "dense_1/kernel"
  };
  virtual std::vector<Slot> slots(const Weight& weight) const = 0;
  /// Numbers that it keeps once for all weights, besides the learning rate and the number of steps.
  virtual std::vector<Slot> shared_slots() const { return {}; }

  /// What `update` sees, as rank-0 values of the weight's type.
  struct Step {
    graph::Value learning_rate;
    graph::Value iterations;           ///< the number of updates done before this one
    std::vector<graph::Value> shared;  ///< what `update_shared` gave
  };
  struct Updated {
    graph::Value weight;
    std::vector<graph::Value> slots;
  };
  virtual Updated update(const Step& step, graph::Value weight, graph::Value gradient,
                         std::span<const graph::Value> slots) const = 0;
  /// The new values of the shared slots, which `step.shared` has as they were; called before `update`.
  virtual std::vector<graph::Value> update_shared(const Step& step) const { return step.shared; }
  /// The decay of one weight, which isn't excluded from it: the argument.
  virtual std::optional<double> weight_decay(const Weight& weight) const;

  /// "Adam": the default is the C++ class's name without "Impl".
  virtual std::string class_name() const;
  /// The arguments by Keras's names. The default throws StateError: one of your own can't be written down.
  virtual Config get_config() const;

  /// Emits the whole update of the weights: clipping, weight decay, `update`, averages, the iteration count;
  /// new values are set as the states' next ones. Where the rank-0 bool `proceed` is given and false, all
  /// stays as it is.
  virtual void apply(Call& call, std::span<const Variable> weights, std::span<const graph::Value> gradients,
                     graph::Value proceed = {});
  /// Emits the loss whose gradients `apply` wants: scaled, if that was asked for.
  virtual graph::Value scale_loss(Call& call, graph::Value loss) const;
  /// Does every one of these weights have its slots?
  virtual bool built_for(std::span<const Variable> weights) const;
  /// Makes the slots of weights that have none yet.
  virtual void build(std::span<const Weight> weights);
  /// Called by `compile`. Throws StateError if another model that still exists uses the optimizer.
  virtual void claim(const std::shared_ptr<const void>& model);
  /// The optimizer that has the learning rate and the slots: another one only where this one wraps it.
  virtual OptimizerImpl& inner() { return *this; }
  /// All states: the number of steps, the learning rate unless it is a schedule, shared ones, then the slots
  /// in the weights' order.
  virtual std::vector<Tensor> variables() const;

  const std::string& name() const { return name_; }
  const OptimizerOptions& options() const { return options_; }
  bool built() const { return built_; }
  double learning_rate() const;
  /// Throws TypeError if the learning rate is a schedule, ValueError for a rate below 0 or not finite.
  void set_learning_rate(double rate);
  /// The number or the schedule, as it is now.
  LearningRate learning_rate_argument() const;
  /// The number as steps read it, of rank 0; null for a schedule.
  const Tensor* learning_rate_variable() const { return schedule_ ? nullptr : &learning_rate_; }
  /// The number of updates done.
  std::int64_t iterations() const;
  /// See Optimizer::exclude_from_weight_decay.
  void exclude_from_weight_decay(ExcludeFromWeightDecayArgs args);
  void disable_loss_scale() { options_.loss_scale_factor.reset(); }

  /// One of a weight's slots, "average" (use_ema) and "gradient_accumulator" among them; null if there is
  /// none.
  const Tensor* slot(const Variable& weight, const std::string& name) const;
  /// A shared slot; null if there is none.
  const Tensor* shared_slot(const std::string& name) const;
  /// Sets weights to their averages, as Keras does at the end of `fit`; of no effect without `use_ema`.
  void finalize_variable_values(std::span<const Variable> weights);

 private:
  struct Named {
    std::string name;
    Tensor value;
  };
  struct Kept {
    Weight weight;
    std::vector<Named> slots;  ///< the rule's own, then average and gradient_accumulator
    std::size_t own = 0;       ///< how many are the rule's own
  };
  struct Emission;
  bool decays(const Variable& weight) const;
  std::vector<graph::Value> clipped(std::span<const graph::Value> gradients) const;
  void accumulate(Emission& e, graph::Value iterations, std::span<const Variable> weights,
                  std::vector<graph::Value>& gradients) const;
  void update_weight(Emission& e, const Kept& kept, graph::Value gradient) const;
  graph::Value averaged(Emission& e, const Kept& kept, graph::Value weight) const;
  const Kept* find(const Variable& weight) const;

  std::string name_;
  OptimizerOptions options_;
  LearningRateSchedule schedule_;  ///< if it is one
  double rate_;  ///< else the number, of which learning_rate_ is the image in a weight's type
  Tensor learning_rate_, iterations_;
  Tensor short_rate_;  ///< the rate as float32, where learning_rate_ has become float64
  bool built_ = false;
  std::weak_ptr<const void> model_;
  ExcludeFromWeightDecayArgs excluded_;
  std::vector<Named> shared_;
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

  // All but `impl` throw StateError for a handle that was moved from.
  const std::string& name() const { return impl().name(); }
  std::string class_name() const { return impl().class_name(); }
  /// The arguments by Keras's names; see OptimizerImpl.
  Config get_config() const { return impl().get_config(); }
  /// The present one, also where it follows a schedule.
  double learning_rate() const;
  /// Takes effect at the next step. Throws TypeError if the learning rate is a schedule, ValueError for one
  /// below 0 or not finite.
  void set_learning_rate(double rate) const;
  /// Updates done: steps, divided by `gradient_accumulation_steps` where gradients are accumulated.
  std::int64_t iterations() const;
  /// Weights that `weight_decay` leaves alone, biases for example:
  /// `optimizer.exclude_from_weight_decay({.var_names = {"bias"}})`. Each call replaces the one before.
  /// Throws StateError once training has begun, ValueError for a text that is no regular expression.
  void exclude_from_weight_decay(ExcludeFromWeightDecayArgs args) const;
  /// Emits the update of the variables by their gradients, in a `function`; makes slots for those that have
  /// none. Several functions may share an optimizer. Throws ShapeError if the numbers differ.
  void apply(Call& call, const std::vector<graph::Value>& gradients,
             const std::vector<Variable>& variables) const;
  /// The loss whose gradients `apply` wants: scaled, where that was asked for. A LossScaleOptimizer may
  /// change the scale in `apply`, so all losses of a step are scaled, and their gradients taken, by one of
  /// these.
  graph::Value scale_loss(Call& call, graph::Value loss) const;
  /// Sets variables to their averages, where `use_ema` keeps some: at the end of training.
  void finalize_variable_values(const std::vector<Variable>& variables) const;
  /// Throws StateError for a handle that was moved from.
  OptimizerImpl& impl() const;

 private:
  std::shared_ptr<OptimizerImpl> impl_;
};

}  // namespace kiln
