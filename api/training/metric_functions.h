#pragma once
#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/support/registry.h"
#include "kiln/graph/ops.h"
#include "kiln/losses.h"
#include "kiln/metrics.h"

/// What Keras's metrics are made of.
namespace kiln::metrics {

/// What all metrics' configurations have: `dtype` is Keras's for the class. Another one is read, but changes
/// nothing, as all sums are kept in float64.
void name_and_dtype(internal::Fields& f, std::string& name, const char* dtype);

/// {sum, count} with a batch's values (batch, ...) times their weights (the same shape) added; count is the
/// weights' sum. Without weights it is the number of values.
std::vector<graph::Value> add_to_mean(std::span<const graph::Value> state, graph::Value values,
                                      graph::Value weights);

/// `base` with what a struct says about a metric of Keras's:
///
///     struct AucKind {                                                // any name
///       using Args = AUCArgs;
///       static constexpr const char* class_name = "AUC";
///       static constexpr const char* name = "auc";                    // unless the arguments have one
///       static constexpr std::optional<bool> larger_is_better = true;
///       static void fields(internal::Fields& f, Args& args);          // those beside name and dtype
///       static void check(const Args& args);
///     };
template <class Kind, class Base = MetricImpl>
class KerasMetric : public Base {
 public:
  using Args = typename Kind::Args;

  explicit KerasMetric(Args args) : Base(args.name.empty() ? Kind::name : args.name), args_(std::move(args)) {
    if constexpr (requires { Kind::check(args_); }) Kind::check(args_);
  }
  std::optional<bool> larger_is_better() const override {
    if constexpr (requires { Kind::larger_is_better; })
      return Kind::larger_is_better;
    else
      return {};
  }
  std::string class_name() const override { return Kind::class_name; }
  Config get_config() const override {
    Args args = args_;  // `fields` takes references, as it reads as well
    args.name = this->name();
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
    if constexpr (requires { Kind::dtype; })
      name_and_dtype(f, args.name, Kind::dtype);
    else
      name_and_dtype(f, args.name, "float32");
    if constexpr (requires { Kind::fields(f, args); }) Kind::fields(f, args);
  }
};

/// The mean of `Kind::values(args, y_true, y_pred)`, (batch, ...).
template <class Kind>
class KerasMean final : public KerasMetric<Kind, MeanMetricImpl> {
 public:
  using KerasMetric<Kind, MeanMetricImpl>::KerasMetric;
  graph::Value values(graph::Value y_true, graph::Value y_pred) const override {
    return Kind::values(this->args_, y_true, y_pred);
  }
};

template <class Impl>
Metric make_metric_of(typename Impl::Args args) {
  return Metric(std::make_shared<Impl>(std::move(args)));
}
/// From a configuration.
template <class Impl>
Metric from_fields(internal::Fields& f) {
  return make_metric_of<Impl>(Impl::read(f));
}

/// The loss's values, unreduced.
graph::Value values_of_loss(const Loss& loss, graph::Value y_true, graph::Value y_pred);

/// a / b, and 0 where b is 0.
inline double quotient(double a, double b) {
  return b == 0 ? 0 : a / b;
}

using MetricRegistry = internal::Registry<Metric>;
void add_accuracy_metrics(MetricRegistry& registry);
void add_mean_metrics(MetricRegistry& registry);
void add_regression_metrics(MetricRegistry& registry);
void add_confusion_metrics(MetricRegistry& registry);
void add_curve_metrics(MetricRegistry& registry);
void add_f_scores(MetricRegistry& registry);
void add_iou_metrics(MetricRegistry& registry);

}  // namespace kiln::metrics
