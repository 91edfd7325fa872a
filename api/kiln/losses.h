#pragma once
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kiln/activations.h"
#include "kiln/axes.h"
#include "kiln/config.h"
#include "kiln/layer_impl.h"
#include "kiln/numbers.h"

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

  /// bool, of the values' shape: which of them count. The others have weight 0, and a mean is over those that
  /// count. Here all do: an empty Value. y_true is as `arrange` made it.
  virtual graph::Value counted(graph::Value y_true, graph::Value y_pred) const;
  /// Whether `values` gives one number for the whole batch, of rank 0: then a sample's weight is a weight of
  /// that number.
  virtual bool of_whole_batch() const { return false; }
  /// "Huber": the default is the C++ class's name without "Impl".
  virtual std::string class_name() const;
  /// The arguments by Keras's names. The default throws StateError: one of your own can't be written down.
  virtual Config get_config() const;

  const std::string& name() const { return name_; }
  /// "sum_over_batch_size" and "mean" (the mean over all values), "sum", "mean_with_sample_weight" (the sum
  /// of the weighted values over the weights' sum), or "none": for `Loss::unreduced` only.
  const std::string& reduction() const { return reduction_; }

 private:
  std::string name_, reduction_;
};

/// A handle to a loss, made from an object of namespace `losses` or from its name ("mse",
/// "sparse_categorical_crossentropy", "KLDivergence", ...). "crossentropy" and "ce" are the binary, the
/// categorical or the sparse one, as the shapes of targets and predictions say. Throws ValueError for an
/// unknown name.
class KILN_API Loss {
 public:
  Loss() = default;
  Loss(const char* name);
  Loss(const std::string& name);
  Loss(std::shared_ptr<const LossImpl> impl) : impl_(std::move(impl)) {}

  bool defined() const { return impl_ != nullptr; }
  /// Throws StateError for an empty handle, as calling it does.
  const LossImpl& impl() const;
  /// The loss of given numbers, reduced: to try a loss out. Throws ValueError if the reduction is "none".
  double operator()(const Tensor& y_true, const Tensor& y_pred, const Tensor& sample_weight = {}) const;
  /// The loss of a batch, reduced to rank 0, in a `function`. Throws ShapeError naming both shapes if they
  /// don't match, ValueError if the reduction is "none".
  graph::Value operator()(graph::Value y_true, graph::Value y_pred, graph::Value sample_weight = {}) const;
  /// The loss of each sample times its weight, whatever the reduction is.
  Tensor unreduced(const Tensor& y_true, const Tensor& y_pred, const Tensor& sample_weight = {}) const;
  std::string class_name() const;
  /// The arguments by Keras's names; see LossImpl.
  Config get_config() const;

 private:
  std::shared_ptr<const LossImpl> impl_;
};

/// Something for each output: in their order, or by their names.
template <class T>
class PerOutput {
 public:
  PerOutput() = default;
  PerOutput(std::initializer_list<T> items) : items_(items) {}
  PerOutput(std::vector<T> items) : items_(std::move(items)) {}
  PerOutput(std::initializer_list<std::pair<std::string, T>> items) {
    for (const auto& [output, item] : items) {
      outputs_.push_back(output);
      items_.push_back(item);
    }
  }
  const std::vector<T>& items() const { return items_; }
  /// The outputs' names, one for each item; empty if the items come in the outputs' order.
  const std::vector<std::string>& outputs() const { return outputs_; }

 private:
  std::vector<T> items_;
  std::vector<std::string> outputs_;
};

/// What `compile` takes: one loss for every output, one for each, `{"mse", "mae"}`, or losses by the outputs'
/// names, `{{"price", "mse"}, {"kind", losses::Hinge()}}`; an output without a loss isn't trained
/// (its targets are given all the same).
class Losses : public PerOutput<Loss> {
 public:
  Losses() = default;
  using PerOutput::PerOutput;
  Losses(Loss loss) : PerOutput(std::vector{std::move(loss)}) {}
  Losses(const char* name) : Losses(Loss(name)) {}
  Losses(const std::string& name) : Losses(Loss(name)) {}
};

/// What each output's loss counts in the total: `{1, 0.5}` in the outputs' order, or `{{"price", 0.5}}` by
/// their names; default 1.
using LossWeights = PerOutput<double>;

/// Keras's losses, with its formulas; y is y_true, p is y_pred, e is 1e-7. Unless said otherwise each
/// sample's loss is the mean over its last axis; the loss of a batch is the mean over all samples' losses
/// times their weights (`reduction`). All throw ValueError for an unknown reduction.
namespace losses {

struct LossArgs {
  std::string reduction = "sum_over_batch_size";
  std::string name = "";
};

// ---- regression -------------------------------------------------------------------------------------------

/// (y - p)^2
KILN_API Loss MeanSquaredError(LossArgs args = {});
/// |y - p|
KILN_API Loss MeanAbsoluteError(LossArgs args = {});
/// 100 |y - p| / max(|y|, e)
KILN_API Loss MeanAbsolutePercentageError(LossArgs args = {});
/// (log(1 + max(y, e)) - log(1 + max(p, e)))^2
KILN_API Loss MeanSquaredLogarithmicError(LossArgs args = {});
/// log(cosh(p - y)), exact for small differences as well as for large ones.
KILN_API Loss LogCosh(LossArgs args = {});

struct HuberArgs {
  double delta = 1;
  std::string reduction = "sum_over_batch_size";
  std::string name = "";
};
/// d^2 / 2 where d = |y - p| is at most delta, else delta d - delta^2 / 2. Throws ValueError unless delta is
/// positive.
KILN_API Loss Huber(HuberArgs args = {});

struct CosineSimilarityArgs {
  int axis = -1;
  std::string reduction = "sum_over_batch_size";
  std::string name = "";
};
/// -sum(y p) / (|y| |p|) along an axis, both norms at least e: -1 for the same direction. The loss of zeros
/// is 0, and so is its gradient.
KILN_API Loss CosineSimilarity(CosineSimilarityArgs args = {});

/// The norm (sum |y - p|^q)^(1/q) of each sample's error over all axes but the batch; q (`p`) = 1, 2 or
/// `infinity` (the largest error). Where q = 2 meets an error of zero, the gradient is zero; nothing
/// overflows on the way to a norm that fits. Throws ValueError for another one. Keras has no such loss.
KILN_API Loss PNorm(double p, LossArgs args = {});
inline constexpr double infinity = std::numeric_limits<double>::infinity();

// ---- probabilities ----------------------------------------------------------------------------------------
// Probabilities are kept within [e, 1 - e].

struct BinaryCrossentropyArgs {
  bool from_logits = false;
  double label_smoothing = 0;
  int axis = -1;
  std::string reduction = "sum_over_batch_size";
  std::string name = "";
};
/// -(y log(p) + (1 - y) log(1 - p)), the mean over an axis. From logits z the stable form max(z, 0) - z y +
/// log(1 + exp(-|z|)) is used. Label smoothing s moves y to y (1 - s) + s / 2. Throws ValueError unless
/// 0 <= s <= 1.
KILN_API Loss BinaryCrossentropy(BinaryCrossentropyArgs args = {});

struct BinaryFocalCrossentropyArgs {
  bool apply_class_balancing = false;
  double alpha = 0.25;
  double gamma = 2;
  bool from_logits = false;
  double label_smoothing = 0;
  int axis = -1;
  std::string reduction = "sum_over_batch_size";
  std::string name = "";
};
/// The binary crossentropy of each element times q^gamma, q = y (1 - p) + (1 - y) p being how wrong p is;
/// with class balancing also times y alpha + (1 - y) (1 - alpha). From logits, p is their sigmoid. Throws
/// ValueError unless 0 <= alpha <= 1, gamma >= 0 and 0 <= label_smoothing <= 1.
KILN_API Loss BinaryFocalCrossentropy(BinaryFocalCrossentropyArgs args = {});

struct CategoricalCrossentropyArgs {
  bool from_logits = false;
  double label_smoothing = 0;
  int axis = -1;
  std::string reduction = "sum_over_batch_size";
  std::string name = "";
};
/// -sum(y log(p)) over an axis, y one-hot or a distribution. From probabilities, p is divided by its sum
/// first; from logits, log-softmax. Label smoothing s over n classes moves y to y (1 - s) + s / n. Throws
/// ValueError unless 0 <= s <= 1.
KILN_API Loss CategoricalCrossentropy(CategoricalCrossentropyArgs args = {});

struct CategoricalFocalCrossentropyArgs {
  Numbers alpha = 0.25;  ///< one for all classes, or one for each
  double gamma = 2;
  bool from_logits = false;
  double label_smoothing = 0;
  int axis = -1;
  std::string reduction = "sum_over_batch_size";
  std::string name = "";
};
/// -sum(alpha (1 - p)^gamma y log(p)) over an axis, p and y as in CategoricalCrossentropy. Throws ValueError
/// for an alpha or gamma below 0 and unless 0 <= label_smoothing <= 1; ShapeError if there isn't one alpha
/// for each class.
KILN_API Loss CategoricalFocalCrossentropy(CategoricalFocalCrossentropyArgs args = {});

struct SparseCategoricalCrossentropyArgs {
  bool from_logits = false;
  std::optional<std::int64_t> ignore_class = {};
  std::string reduction = "sum_over_batch_size";
  int axis = -1;
  std::string name = "";
};
/// -log(p[label]), labels being class numbers: (batch, ...) or (batch, ..., 1) for predictions (batch, ...,
/// classes), of which `axis` may be another than the last. Samples whose label is `ignore_class` (any number)
/// don't count. Another label outside [0, classes) stops the step with a ValueError naming label and row; the
/// weights stay as they are.
KILN_API Loss SparseCategoricalCrossentropy(SparseCategoricalCrossentropyArgs args = {});

struct CategoricalGeneralizedCrossEntropyArgs {
  double q = 0.5;
  std::string reduction = "sum_over_batch_size";
  std::string name = "";
};
/// (1 - p[label]^q) / q: labels as in SparseCategoricalCrossentropy, p probabilities. Throws ValueError
/// unless 0 < q < 1.
KILN_API Loss CategoricalGeneralizedCrossEntropy(CategoricalGeneralizedCrossEntropyArgs args = {});

/// sum(y log(y / p)) over the last axis, y and p within [e, 1]
KILN_API Loss KLDivergence(LossArgs args = {});
/// p - y log(p + e)
KILN_API Loss Poisson(LossArgs args = {});

// ---- margins and overlaps ---------------------------------------------------------------------------------

/// max(1 - y p, 0), y being -1 or 1; if all of a batch's targets are 0 or 1, 2 y - 1 takes their place.
KILN_API Loss Hinge(LossArgs args = {});
/// max(1 - y p, 0)^2, y as in Hinge.
KILN_API Loss SquaredHinge(LossArgs args = {});
/// max(max((1 - y) p) - sum(y p) + 1, 0) over the last axis, y one-hot.
KILN_API Loss CategoricalHinge(LossArgs args = {});

struct DiceArgs {
  std::string reduction = "sum_over_batch_size";
  std::string name = "";
  std::optional<Axes> axis = {};
};
/// 1 - 2 sum(y p) / (sum(y) + sum(p) + e) over the axes `axis`, which for a loss of each sample are those
/// from 1 on; without, over all axes with the batch's: one number.
KILN_API Loss Dice(DiceArgs args = {});

struct TverskyArgs {
  double alpha = 0.5;
  double beta = 0.5;
  std::string reduction = "sum_over_batch_size";
  std::string name = "";
  std::optional<Axes> axis = {};
};
/// 1 - c / (c + alpha sum(y (1 - p)) + beta sum((1 - y) p) + e), c = sum(y p), over axes as in Dice: alpha
/// weighs what was missed, beta what was found without being there. Throws ValueError for an alpha or beta
/// below 0.
KILN_API Loss Tversky(TverskyArgs args = {});

// ---- others -----------------------------------------------------------------------------------------------

/// A loss of your own: emits the loss of each sample, (batch, ...), from y_true and y_pred of equal shapes.
/// Throws ValueError for an empty function; the first step throws ShapeError if `values` gives anything else.
KILN_API Loss make_loss(std::string name, std::function<graph::Value(graph::Value, graph::Value)> values,
                        LossArgs args = {});

/// The whole of a loss, class and arguments, as Keras writes it; and one from that, or from its name. Throws
/// ValueError for a class or an argument that isn't known; StateError for a loss of your own without a
/// `get_config`.
KILN_API Config serialize(const Loss& loss);
KILN_API Loss deserialize(const Config& config);

}  // namespace losses
}  // namespace kiln
