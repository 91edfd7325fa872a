#include "kiln/metrics.h"

#include <fmt/format.h>

#include <array>

#include "api/model/backend.h"
#include "api/support/handles.h"
#include "api/support/names.h"
#include "api/training/loss_reduction.h"
#include "api/training/targets.h"
#include "kiln/losses.h"

namespace kiln {

using graph::Value;

MetricImpl::~MetricImpl() = default;

// ---- means ------------------------------------------------------------------------------------------------

// Sum and weight are kept in f64: adding one sample to millions still counts.
std::vector<Tensor> MeanMetricImpl::initial_state() const {
  return {Tensor::scalar(0, DType::f64), Tensor::scalar(0, DType::f64)};
}

std::vector<Value> MeanMetricImpl::update(std::span<const Value> state, Value y_true, Value y_pred,
                                          Value weights) const {
  Value v = values(y_true, y_pred);
  if (!is_float(v.dtype())) v = graph::convert(v, DType::f32);
  Value sum, count;
  if (weights) {
    // As Keras: a sample's values are averaged first, then weighed with the sample's weight.
    while (v.rank() > weights.rank()) v = graph::reduce_mean(v, {v.rank() - 1});
    weights = internal::spread_weights(name(), weights, v);
    sum = graph::reduce_sum(v * weights);
    count = graph::convert(graph::reduce_sum(weights), DType::f64);
  } else {
    sum = graph::reduce_sum(v);
    count = graph::full(v.graph(), {DType::f64, {}}, static_cast<double>(v.shape().elements()));
  }
  return {state[0] + graph::convert(sum, DType::f64), state[1] + count};
}

double MeanMetricImpl::result(std::span<const Tensor> state) const {
  const double count = state[1].item();
  return count == 0 ? 0 : state[0].item() / count;
}

namespace metrics {
namespace {

class FunctionMetric final : public MeanMetricImpl {
 public:
  FunctionMetric(std::string name, std::function<Value(Value, Value)> values,
                 std::optional<bool> larger_is_better)
      : MeanMetricImpl(std::move(name)), values_(std::move(values)), larger_is_better_(larger_is_better) {}
  Value values(Value y_true, Value y_pred) const override { return values_(y_true, y_pred); }
  std::optional<bool> larger_is_better() const override { return larger_is_better_; }

 private:
  std::function<Value(Value, Value)> values_;
  std::optional<bool> larger_is_better_;
};

Metric accuracy(std::string name, std::function<Value(Value, Value)> values) {
  return Metric(std::make_shared<FunctionMetric>(std::move(name), std::move(values), true));
}

// The loss's values, unreduced.
Metric of_loss(const std::string& name, const Loss& loss) {
  return Metric(std::make_shared<FunctionMetric>(
      name.empty() ? loss.impl().name() : name,
      [loss](Value y, Value p) { return loss.impl().values(loss.impl().arrange(y, p), p); }, false));
}

Value equal(Value a, Value b) {
  return graph::convert(graph::compare(a, b, "eq"), DType::f32);
}

std::string name_or(const std::string& name, const char* standard) {
  return name.empty() ? standard : name;
}

}  // namespace

Metric make_metric(std::string name, std::function<Value(Value, Value)> values,
                   std::optional<bool> larger_is_better) {
  values = internal::not_empty_function(std::move(values), fmt::format("make_metric(\"{}\")", name));
  return Metric(std::make_shared<FunctionMetric>(std::move(name), std::move(values), larger_is_better));
}

Metric BinaryAccuracy(BinaryAccuracyArgs args) {
  const std::string name = name_or(args.name, "binary_accuracy");
  return accuracy(name, [name, threshold = args.threshold](Value y, Value p) {
    const Value guess = graph::convert(graph::compare(p, graph::scalar(p, threshold), "gt"), p.dtype());
    const Value hit = equal(internal::same_shape(name, y, p), guess);
    return hit.rank() < 2 ? hit : graph::reduce_mean(hit, {hit.rank() - 1});
  });
}
Metric CategoricalAccuracy(MetricArgs args) {
  const std::string name = name_or(args.name, "categorical_accuracy");
  return accuracy(name, [name](Value y, Value p) {
    y = internal::same_shape(name, y, p);
    return equal(graph::argmax(y, y.rank() - 1), graph::argmax(p, p.rank() - 1));
  });
}
Metric SparseCategoricalAccuracy(MetricArgs args) {
  const std::string name = name_or(args.name, "sparse_categorical_accuracy");
  return accuracy(name, [name](Value y, Value p) {
    return equal(internal::class_labels(name, y, p), graph::argmax(p, p.rank() - 1));
  });
}
Metric MeanSquaredError(MetricArgs args) {
  return of_loss(args.name, losses::MeanSquaredError());
}
Metric MeanAbsoluteError(MetricArgs args) {
  return of_loss(args.name, losses::MeanAbsoluteError());
}
Metric BinaryCrossentropy(MetricArgs args) {
  return of_loss(args.name, losses::BinaryCrossentropy());
}
Metric CategoricalCrossentropy(MetricArgs args) {
  return of_loss(args.name, losses::CategoricalCrossentropy());
}
Metric SparseCategoricalCrossentropy(MetricArgs args) {
  return of_loss(args.name, losses::SparseCategoricalCrossentropy());
}

namespace {

struct Named {
  std::string_view name;
  Metric (*make)(MetricArgs);
};

Metric binary_accuracy(MetricArgs args) {
  return BinaryAccuracy({.name = args.name});
}

constexpr std::array<Named, 26> by_name = {{
    {"accuracy", nullptr},
    {"acc", nullptr},
    {"crossentropy", nullptr},
    {"ce", nullptr},
    {"binary_accuracy", binary_accuracy},
    {"BinaryAccuracy", binary_accuracy},
    {"categorical_accuracy", CategoricalAccuracy},
    {"CategoricalAccuracy", CategoricalAccuracy},
    {"sparse_categorical_accuracy", SparseCategoricalAccuracy},
    {"SparseCategoricalAccuracy", SparseCategoricalAccuracy},
    {"mean_squared_error", MeanSquaredError},
    {"mse", MeanSquaredError},
    {"MSE", MeanSquaredError},
    {"MeanSquaredError", MeanSquaredError},
    {"mean_absolute_error", MeanAbsoluteError},
    {"mae", MeanAbsoluteError},
    {"MAE", MeanAbsoluteError},
    {"MeanAbsoluteError", MeanAbsoluteError},
    {"binary_crossentropy", BinaryCrossentropy},
    {"bce", BinaryCrossentropy},
    {"BCE", BinaryCrossentropy},
    {"BinaryCrossentropy", BinaryCrossentropy},
    {"categorical_crossentropy", CategoricalCrossentropy},
    {"CategoricalCrossentropy", CategoricalCrossentropy},
    {"sparse_categorical_crossentropy", SparseCategoricalCrossentropy},
    {"SparseCategoricalCrossentropy", SparseCategoricalCrossentropy},
}};

}  // namespace
}  // namespace metrics

// ---- the handle -------------------------------------------------------------------------------------------

Metric::Metric(std::shared_ptr<const MetricImpl> impl)
    : impl_(internal::not_empty(std::move(impl), "a Metric")) {
  name_ = impl_->name();
}
Metric::Metric(const char* name) : Metric(internal::given_name("metric", name)) {}
Metric::Metric(const std::string& name) : name_(name) {
  std::vector<std::string_view> known;
  for (const auto& entry : metrics::by_name) {
    if (entry.name == name) {
      if (entry.make != nullptr) impl_ = entry.make({.name = name}).impl_;
      return;
    }
    known.push_back(entry.name);
  }
  internal::unknown_name("metric", name, known);
}

std::shared_ptr<const MetricImpl> Metric::resolve(const Shape& y_true, const Shape& y_pred) const {
  if (impl_) return impl_;
  if (y_true.rank() < 1 || y_pred.rank() < 1)
    throw ShapeError(fmt::format(
        "metric \"{}\": targets and predictions need one row for each sample, but their shapes are {} "
        "and {}",
        name_, y_true.to_string(), y_pred.to_string()));
  const bool entropy = name_ == "crossentropy" || name_ == "ce";
  if (y_pred.back() == 1)
    return (entropy ? metrics::BinaryCrossentropy({name_}) : metrics::BinaryAccuracy({name_})).impl_;
  if (y_true.rank() < y_pred.rank() || y_true.back() == 1)
    return (entropy ? metrics::SparseCategoricalCrossentropy({name_})
                    : metrics::SparseCategoricalAccuracy({name_}))
        .impl_;
  return (entropy ? metrics::CategoricalCrossentropy({name_}) : metrics::CategoricalAccuracy({name_})).impl_;
}

double Metric::operator()(const Tensor& y_true, const Tensor& y_pred, const Tensor& sample_weight) const {
  const auto impl = resolve(y_true.shape(), y_pred.shape());
  graph::Graph graph("metric");
  graph::LabelScope label(graph, name_);
  std::vector<Tensor> state = impl->initial_state();
  // As a loss does: values are computed in the predictions' type, where whole numbers would lose fractions.
  const Tensor scores = is_float(y_pred.dtype()) ? y_pred : y_pred.astype(DType::f32);
  std::vector<Tensor> inputs = {y_true.contiguous(), scores.contiguous()};
  if (sample_weight.defined()) inputs.push_back(sample_weight.contiguous());
  std::vector<Value> values, accumulators;
  for (const Tensor& t : inputs) values.push_back(graph.input("x", {t.dtype(), t.shape()}));
  for (const Tensor& t : state) accumulators.push_back(graph::constant(graph, t));
  for (Value v :
       impl->update(accumulators, values[0], values[1], sample_weight.defined() ? values[2] : Value{}))
    graph.output("state", v);
  return impl->result(internal::run_once(graph, inputs));
}

}  // namespace kiln
