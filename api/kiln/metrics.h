#pragma once
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kiln/config.h"
#include "kiln/layer_impl.h"

namespace kiln {

/// What a metric is made of: accumulators that live across batches, an update that every step runs inside its
/// graph, and a result read from the accumulators.
class KILN_API MetricImpl {
 public:
  explicit MetricImpl(std::string name) : name_(std::move(name)) {}
  virtual ~MetricImpl();

  /// The metric to take for targets and predictions of these shapes, where it hangs on them (on the number of
  /// classes, say); here null: it is this one for all.
  virtual std::shared_ptr<const MetricImpl> for_shapes(const Shape& y_true, const Shape& y_pred) const;
  /// The accumulators at the start.
  virtual std::vector<Tensor> initial_state() const = 0;
  /// Emits the accumulators after a batch. `weights` is null, or one weight for each sample.
  virtual std::vector<graph::Value> update(std::span<const graph::Value> state, graph::Value y_true,
                                           graph::Value y_pred, graph::Value weights) const = 0;
  /// The metric from the accumulators.
  virtual double result(std::span<const Tensor> state) const = 0;
  /// Whether larger is better, for EarlyStopping's "auto"; nothing if it isn't known.
  virtual std::optional<bool> larger_is_better() const { return {}; }
  /// False for those that look at values alone: Mean and Sum.
  virtual bool compares() const { return true; }
  /// "AUC": the default is the C++ class's name without "Impl".
  virtual std::string class_name() const;
  /// The arguments by Keras's names. The default throws StateError: one of your own can't be written down.
  virtual Config get_config() const;

  const std::string& name() const { return name_; }

 private:
  std::string name_;
};

/// A metric that is the mean of a value of each sample.
class KILN_API MeanMetricImpl : public MetricImpl {
 public:
  using MetricImpl::MetricImpl;
  /// Emits the value of each sample, (batch, ...).
  virtual graph::Value values(graph::Value y_true, graph::Value y_pred) const = 0;

  std::vector<Tensor> initial_state() const override;
  std::vector<graph::Value> update(std::span<const graph::Value> state, graph::Value y_true,
                                   graph::Value y_pred, graph::Value weights) const override;
  double result(std::span<const Tensor> state) const override;
};

/// A handle to a metric, made from an object of namespace `metrics` or from its name ("mse", "AUC",
/// "precision", ...). "accuracy" becomes binary, categorical or sparse categorical accuracy when the shapes
/// of targets and predictions are known, as Keras does it; "crossentropy" likewise. A metric given by name
/// reports under that name ("mse"). Throws ValueError for an unknown name, and for one whose class needs
/// arguments.
class KILN_API Metric {
 public:
  Metric(const char* name);
  Metric(const std::string& name);
  /// Throws StateError for an empty pointer.
  Metric(std::shared_ptr<const MetricImpl> impl);

  // Like all others they throw StateError for a handle that was moved from.
  const std::string& name() const;
  /// True for "accuracy", "acc", "crossentropy" and "ce": one can't tell the metric before the shapes.
  bool depends_on_shapes() const;
  /// The metric itself for targets and predictions of these shapes.
  std::shared_ptr<const MetricImpl> resolve(const Shape& y_true, const Shape& y_pred) const;
  /// The metric of given numbers, whole ones as float32: to try one out.
  double operator()(const Tensor& y_true, const Tensor& y_pred, const Tensor& sample_weight = {}) const;
  std::string class_name() const;
  /// The arguments by Keras's names; see MetricImpl.
  Config get_config() const;

  // For loops of one's own. What is accumulated belongs to the object and its copies; a model that is
  // compiled with it has accumulators of its own.
  /// Emits the accumulation of a batch, in a `function`. Throws ShapeError if the shapes don't fit.
  void update_state(Call& call, graph::Value y_true, graph::Value y_pred,
                    graph::Value sample_weight = {}) const;
  /// For Mean and Sum, which look at no targets: the accumulation of values of any rank. With two, the second
  /// are the samples' weights, as in Keras. Throws TypeError for other metrics.
  void update_state(Call& call, graph::Value values) const;
  /// The metric of all that was accumulated; 0 before anything was.
  double result() const;
  void reset_state() const;

 private:
  struct Accumulators;
  std::shared_ptr<const MetricImpl> impl_;
  std::shared_ptr<Accumulators> accumulators_;
};

/// The metrics of one output: one, by name or object, or a braced list of them.
class KILN_API MetricList {
 public:
  MetricList(Metric metric) : items_{std::move(metric)} {}
  MetricList(const char* name) : items_{Metric(name)} {}
  MetricList(const std::string& name) : items_{Metric(name)} {}
  MetricList(std::initializer_list<Metric> items) : items_(items) {}
  MetricList(std::vector<Metric> items) : items_(std::move(items)) {}
  const std::vector<Metric>& items() const { return items_; }

 private:
  std::vector<Metric> items_;
};

/// What `compile` takes: for a model with one output its metrics, `{"mae", metrics::AUC()}`; for one with
/// several a metric for each, `{"mae", "mse"}`, or any number by the outputs' names, `{{"price", "mae"},
/// {"kind", {"accuracy", "auc"}}}`, or in their order as a vector of vectors.
class KILN_API Metrics {
 public:
  Metrics() = default;
  Metrics(std::initializer_list<Metric> items) : items_(items) {}
  Metrics(std::vector<Metric> items) : items_(std::move(items)) {}
  Metrics(const std::vector<std::vector<Metric>>& items);
  Metrics(std::initializer_list<std::pair<std::string, MetricList>> items);

  bool empty() const { return items_.empty() && lists_.empty(); }
  /// For one output, or one for each; empty where `lists` isn't.
  const std::vector<Metric>& items() const { return items_; }
  /// Any number for each output.
  const std::vector<MetricList>& lists() const { return lists_; }
  /// The outputs' names, one for each list; empty if the lists come in the outputs' order.
  const std::vector<std::string>& outputs() const { return outputs_; }

 private:
  std::vector<Metric> items_;
  std::vector<MetricList> lists_;
  std::vector<std::string> outputs_;
};

/// Keras's metrics; y is y_true, p is y_pred. Unless said otherwise each is a mean over the samples, weighted
/// where weights are given. All are independent of how the data was cut into batches, but for Hinge and
/// SquaredHinge, which look at all of a batch's targets. What is added up is kept in float64, so `dtype` in a
/// configuration of Keras's changes nothing.
namespace metrics {

struct MetricArgs {
  std::string name = "";
};

// ---- sums and means ---------------------------------------------------------------------------------------

/// The mean of the predictions; the targets aren't looked at.
KILN_API Metric Mean(MetricArgs args = {});
/// The sum of the predictions, each times its sample's weight; the targets aren't looked at.
KILN_API Metric Sum(MetricArgs args = {});

/// A metric of your own: the mean of the value of each sample that `values` emits from targets and
/// predictions, both as the model gives them. `larger_is_better` tells EarlyStopping's "auto" the direction.
/// Throws ValueError for an empty function.
KILN_API Metric make_metric(std::string name, std::function<graph::Value(graph::Value, graph::Value)> values,
                            std::optional<bool> larger_is_better = {});
/// The same by Keras's name.
KILN_API Metric MeanMetricWrapper(std::function<graph::Value(graph::Value, graph::Value)> values,
                                  MetricArgs args = {});

// ---- accuracy ---------------------------------------------------------------------------------------------

/// Share of predictions that equal their targets.
KILN_API Metric Accuracy(MetricArgs args = {});

struct BinaryAccuracyArgs {
  std::string name = "";
  double threshold = 0.5;
};
/// Share of predictions on the target's side of the threshold (above it is 1).
KILN_API Metric BinaryAccuracy(BinaryAccuracyArgs args = {});
/// Share of rows whose largest prediction stands where the target's largest value does; targets are one-hot.
KILN_API Metric CategoricalAccuracy(MetricArgs args = {});
/// Share of rows whose largest prediction stands at the label; targets are class numbers.
KILN_API Metric SparseCategoricalAccuracy(MetricArgs args = {});

struct TopKCategoricalAccuracyArgs {
  int k = 5;
  std::string name = "";
};
/// Share of rows in which fewer than k predictions are larger than that of the target's class; targets are
/// one-hot. Throws ValueError unless k is positive.
KILN_API Metric TopKCategoricalAccuracy(TopKCategoricalAccuracyArgs args = {});
struct SparseTopKCategoricalAccuracyArgs {
  int k = 5;
  std::string name = "";
  bool from_sorted_ids = false;
};
/// The same for class numbers. With `from_sorted_ids` the predictions are class numbers themselves, the best
/// first: the share of rows whose label is among the first k.
KILN_API Metric SparseTopKCategoricalAccuracy(SparseTopKCategoricalAccuracyArgs args = {});

// ---- regression -------------------------------------------------------------------------------------------

/// The losses of these names, as metrics.
KILN_API Metric MeanSquaredError(MetricArgs args = {});
KILN_API Metric MeanAbsoluteError(MetricArgs args = {});
KILN_API Metric MeanAbsolutePercentageError(MetricArgs args = {});
KILN_API Metric MeanSquaredLogarithmicError(MetricArgs args = {});
/// The loss LogCosh; it reports as "logcosh".
KILN_API Metric LogCoshError(MetricArgs args = {});
/// The root of the mean of (y - p)^2 over all samples.
KILN_API Metric RootMeanSquaredError(MetricArgs args = {});

struct AlongAxisArgs {
  std::string name = "";
  int axis = -1;
};
/// sum(y p) / (|y| |p|) along an axis: 1 for the same direction (the loss of this name, with the other sign).
KILN_API Metric CosineSimilarity(AlongAxisArgs args = {});
/// cov(y, p) / (std(y) std(p)) along an axis; 0 where either is constant.
KILN_API Metric PearsonCorrelation(AlongAxisArgs args = {});
/// 2 cov(y, p) / (var(y) + var(p) + (mean(y) - mean(p))^2 + 1e-7) along an axis.
KILN_API Metric ConcordanceCorrelation(AlongAxisArgs args = {});

struct R2ScoreArgs {
  std::optional<std::string> class_aggregation = "uniform_average";  ///< or "variance_weighted_average"
  int num_regressors = 0;
  std::string name = "";
};
/// 1 - sum((y - p)^2) / sum((y - mean(y))^2) of each of the columns (batch, columns), then their mean, or
/// their mean weighted with the columns' variances. A constant target scores 1 if it is met, else 0. With
/// regressors it is adjusted: 1 - (1 - R2) (n - 1) / (n - num_regressors - 1), n being the number of targets;
/// where that isn't positive, it isn't. Throws ValueError for another aggregation; for none, too, as one
/// score is wanted, not one for each column; and for num_regressors below 0.
KILN_API Metric R2Score(R2ScoreArgs args = {});

// ---- margins and probabilities ----------------------------------------------------------------------------

/// The losses of these names, as metrics.
KILN_API Metric Hinge(MetricArgs args = {});
KILN_API Metric SquaredHinge(MetricArgs args = {});
KILN_API Metric CategoricalHinge(MetricArgs args = {});
KILN_API Metric KLDivergence(MetricArgs args = {});
KILN_API Metric Poisson(MetricArgs args = {});

struct BinaryCrossentropyArgs {
  std::string name = "";
  bool from_logits = false;
  double label_smoothing = 0;
};
KILN_API Metric BinaryCrossentropy(BinaryCrossentropyArgs args = {});
struct CategoricalCrossentropyArgs {
  std::string name = "";
  bool from_logits = false;
  double label_smoothing = 0;
  int axis = -1;
};
KILN_API Metric CategoricalCrossentropy(CategoricalCrossentropyArgs args = {});
struct SparseCategoricalCrossentropyArgs {
  std::string name = "";
  bool from_logits = false;
  std::optional<std::int64_t> ignore_class = {};
  int axis = -1;
};
/// As Keras has it, the labels that are ignored count as a loss of 0 in an unweighted mean, and not at all in
/// a weighted one.
KILN_API Metric SparseCategoricalCrossentropy(SparseCategoricalCrossentropyArgs args = {});

// ---- configurations ---------------------------------------------------------------------------------------

/// The whole of a metric, class and arguments, as Keras writes it (the name alone for "accuracy" and the
/// others that depend on shapes); and one from that, or from its name. Throws ValueError for a class or an
/// argument that isn't known; StateError for a metric of your own without a `get_config`.
KILN_API Config serialize(const Metric& metric);
KILN_API Metric deserialize(const Config& config);

}  // namespace metrics
}  // namespace kiln

#include "kiln/metrics/classification.h"
