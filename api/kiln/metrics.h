#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kiln/layer_impl.h"

namespace kiln {

/// What a metric is made of: accumulators that live across batches, an update that every step runs inside its
/// graph, and a result read from the accumulators.
class KILN_API MetricImpl {
 public:
  explicit MetricImpl(std::string name) : name_(std::move(name)) {}
  virtual ~MetricImpl();

  /// The accumulators at the start.
  virtual std::vector<Tensor> initial_state() const = 0;
  /// Emits the accumulators after a batch. `weights` is null, or one weight for each sample.
  virtual std::vector<graph::Value> update(std::span<const graph::Value> state, graph::Value y_true,
                                           graph::Value y_pred, graph::Value weights) const = 0;
  /// The metric from the accumulators.
  virtual double result(std::span<const Tensor> state) const = 0;
  /// Whether larger is better, for EarlyStopping's "auto"; nothing if it isn't known.
  virtual std::optional<bool> larger_is_better() const { return {}; }

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

/// A handle to a metric, made from an object of namespace `metrics` or from its name. "accuracy" becomes
/// binary, categorical or sparse categorical accuracy when the shapes of targets and predictions are known,
/// as Keras does it. A metric given by name reports under that name ("mse"). Throws ValueError for an unknown
/// name.
class KILN_API Metric {
 public:
  Metric(const char* name);
  Metric(const std::string& name);
  /// Throws StateError for an empty pointer.
  Metric(std::shared_ptr<const MetricImpl> impl);

  const std::string& name() const { return name_; }
  /// True for "accuracy", "acc", "crossentropy" and "ce", which depend on the shapes.
  bool depends_on_shapes() const { return impl_ == nullptr; }
  /// The metric itself for targets and predictions of these shapes.
  std::shared_ptr<const MetricImpl> resolve(const Shape& y_true, const Shape& y_pred) const;
  /// The metric of given numbers, whole ones as float32: to try one out.
  double operator()(const Tensor& y_true, const Tensor& y_pred, const Tensor& sample_weight = {}) const;

 private:
  std::string name_;
  std::shared_ptr<const MetricImpl> impl_;
};

/// Keras's metrics. Each is a mean over the samples, weighted where weights are given, and independent of how
/// the data was cut into batches.
namespace metrics {

struct MetricArgs {
  std::string name = "";
};
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
/// mean((y_true - y_pred)^2)
KILN_API Metric MeanSquaredError(MetricArgs args = {});
/// mean(|y_true - y_pred|)
KILN_API Metric MeanAbsoluteError(MetricArgs args = {});
/// The losses of these names, as metrics.
KILN_API Metric BinaryCrossentropy(MetricArgs args = {});
KILN_API Metric CategoricalCrossentropy(MetricArgs args = {});
KILN_API Metric SparseCategoricalCrossentropy(MetricArgs args = {});

/// A metric of your own: the mean of the value of each sample that `values` emits from targets and
/// predictions, both as the model gives them. `larger_is_better` tells EarlyStopping's "auto" the direction.
KILN_API Metric make_metric(std::string name, std::function<graph::Value(graph::Value, graph::Value)> values,
                            std::optional<bool> larger_is_better = {});

}  // namespace metrics
}  // namespace kiln
