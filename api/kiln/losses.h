#pragma once
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "kiln/activations.h"
#include "kiln/layer_impl.h"

namespace kiln {

/// What a loss is made of. `values` emits the loss of each sample; the training step weighs and averages.
class KILN_API LossImpl {
 public:
  LossImpl(std::string name, std::string reduction);
  virtual ~LossImpl();

  /// The losses of all samples, (batch, ...): y_true and y_pred as `arrange` made them.
  virtual graph::Value values(graph::Value y_true, graph::Value y_pred) const = 0;
  /// Brings y_true to the form that `values` wants: here, y_pred's shape and type. Throws ShapeError naming
  /// both shapes if they don't match; nothing is broadcast silently.
  virtual graph::Value arrange(graph::Value y_true, graph::Value y_pred) const;
  /// The type of the labels that one would give for such predictions: here, y_pred's own.
  virtual graph::Type label_type(const graph::Type& y_pred) const { return y_pred; }

  const std::string& name() const { return name_; }
  /// "sum_over_batch_size" (the mean over all values), "sum", or "mean_with_sample_weight".
  const std::string& reduction() const { return reduction_; }

 private:
  std::string name_, reduction_;
};

/// A handle to a loss, made from an object of namespace `losses` or from its name ("mse",
/// "sparse_categorical_crossentropy", ...). Throws ValueError for an unknown name.
class KILN_API Loss {
 public:
  Loss() = default;
  Loss(const char* name);
  Loss(const std::string& name);
  Loss(std::shared_ptr<const LossImpl> impl) : impl_(std::move(impl)) {}

  bool defined() const { return impl_ != nullptr; }
  /// Throws StateError for an empty handle, as calling it does.
  const LossImpl& impl() const;
  /// The loss of given numbers, reduced: to try a loss out.
  double operator()(const Tensor& y_true, const Tensor& y_pred, const Tensor& sample_weight = {}) const;

 private:
  std::shared_ptr<const LossImpl> impl_;
};

/// One loss for every output, or one for each: what `compile` takes.
class KILN_API Losses {
 public:
  Losses() = default;
  Losses(Loss loss) : items_{std::move(loss)} {}
  Losses(const char* name) : items_{Loss(name)} {}
  Losses(const std::string& name) : items_{Loss(name)} {}
  Losses(std::initializer_list<Loss> items) : items_(items) {}
  Losses(std::vector<Loss> items) : items_(std::move(items)) {}
  const std::vector<Loss>& items() const { return items_; }

 private:
  std::vector<Loss> items_;
};

/// Keras's losses, with its formulas. Each sample's loss is the mean over its last axis; the loss of a batch
/// is the mean over all samples' losses times their weights (`reduction`).
namespace losses {

struct LossArgs {
  std::string reduction = "sum_over_batch_size";
  std::string name = "";
};
struct BinaryCrossentropyArgs {
  bool from_logits = false;
  double label_smoothing = 0;
  std::string reduction = "sum_over_batch_size";
  std::string name = "";
};
struct CategoricalCrossentropyArgs {
  bool from_logits = false;
  double label_smoothing = 0;
  int axis = -1;
  std::string reduction = "sum_over_batch_size";
  std::string name = "";
};
struct SparseCategoricalCrossentropyArgs {
  bool from_logits = false;
  std::string reduction = "sum_over_batch_size";
  std::string name = "";
};

/// mean((y_true - y_pred)^2)
KILN_API Loss MeanSquaredError(LossArgs args = {});
/// mean(|y_true - y_pred|)
KILN_API Loss MeanAbsoluteError(LossArgs args = {});
/// The norm (sum |y_true - y_pred|^p)^(1/p) of each sample's error over all axes but the batch; p = 1, 2 or
/// `infinity` (the largest error). Where p = 2 meets an error of zero, the gradient is zero; nothing
/// overflows on the way to a norm that fits. Throws ValueError for another p.
KILN_API Loss PNorm(double p, LossArgs args = {});
inline constexpr double infinity = std::numeric_limits<double>::infinity();

/// -(y log(p) + (1 - y) log(1 - p)), averaged over the last axis. From probabilities, p is clipped to
/// [1e-7, 1 - 1e-7]; from logits z the stable form max(z, 0) - z y + log(1 + exp(-|z|)) is used. Label
/// smoothing s moves y to y (1 - s) + s / 2. Throws ValueError unless 0 <= s <= 1.
KILN_API Loss BinaryCrossentropy(BinaryCrossentropyArgs args = {});
/// -sum(y log(p)) over an axis, y one-hot or a distribution. From probabilities, p is divided by its sum and
/// clipped to [1e-7, 1 - 1e-7]; from logits, log-softmax. Label smoothing s over n classes moves y to
/// y (1 - s) + s / n. Throws ValueError unless 0 <= s <= 1.
KILN_API Loss CategoricalCrossentropy(CategoricalCrossentropyArgs args = {});
/// -log(p[label]), labels being class numbers: (batch, ...) or (batch, ..., 1) for predictions (batch, ...,
/// classes). A label outside [0, classes) stops the step with a ValueError naming label and row; the weights
/// stay as they are.
KILN_API Loss SparseCategoricalCrossentropy(SparseCategoricalCrossentropyArgs args = {});

/// A loss of your own: emits the loss of each sample, (batch, ...), from y_true and y_pred of equal shapes.
/// Throws ValueError for an empty function; the first step throws ShapeError if `values` gives anything else.
KILN_API Loss make_loss(std::string name, std::function<graph::Value(graph::Value, graph::Value)> values,
                        LossArgs args = {});

}  // namespace losses
}  // namespace kiln
