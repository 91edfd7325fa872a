#include "kiln/metrics.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <typeinfo>

#include "api/model/backend.h"
#include "api/support/handles.h"
#include "api/training/loss_reduction.h"
#include "api/training/metric_functions.h"

namespace kiln {

using graph::Value;

MetricImpl::~MetricImpl() = default;

std::shared_ptr<const MetricImpl> MetricImpl::for_shapes(const Shape&, const Shape&) const {
  return nullptr;
}
std::string MetricImpl::class_name() const {
  return internal::plain_class_name(typeid(*this).name());
}
Config MetricImpl::get_config() const {
  internal::not_serializable("metric", name_);
}

// ---- means ------------------------------------------------------------------------------------------------

// Sum and weight are kept in f64: adding one sample to millions still counts.
std::vector<Tensor> MeanMetricImpl::initial_state() const {
  return {Tensor::scalar(0, DType::f64), Tensor::scalar(0, DType::f64)};
}

std::vector<Value> MeanMetricImpl::update(std::span<const Value> state, Value y_true, Value y_pred,
                                          Value weights) const {
  Value v = values(y_true, y_pred);
  if (!is_float(v.dtype())) v = graph::convert(v, DType::f32);
  if (weights) {
    // As Keras: a sample's values are averaged first, then weighed with the sample's weight.
    while (v.rank() > weights.rank()) v = graph::reduce_mean(v, {v.rank() - 1});
    weights = internal::spread_weights(name(), weights, v);
  }
  return metrics::add_to_mean(state, v, weights);
}

double MeanMetricImpl::result(std::span<const Tensor> state) const {
  const double count = state[1].item();
  return count == 0 ? 0 : state[0].item() / count;
}

namespace metrics {

std::vector<Value> add_to_mean(std::span<const Value> state, Value values, Value weights) {
  Value sum, count;
  if (weights) {
    sum = graph::reduce_sum(values * weights);
    count = graph::convert(graph::reduce_sum(weights), DType::f64);
  } else {
    sum = graph::reduce_sum(values);
    count = graph::full(values.graph(), {DType::f64, {}}, static_cast<double>(values.shape().elements()));
  }
  const Value total = state[0] + graph::convert(sum, DType::f64);
  return {total, state[1] + count};
}

Value values_of_loss(const Loss& loss, Value y_true, Value y_pred) {
  y_true = loss.impl().arrange(y_true, y_pred);
  return loss.impl().values(y_true, y_pred);
}

void name_and_dtype(internal::Fields& f, std::string& name, const char* dtype) {
  f("name", name);
  Config type = dtype;
  f("dtype", type);
  if (!f.reads() || type.is_null()) return;
  DType known;
  internal::from_config(type, known);
}

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

/// "accuracy" or "crossentropy": which metric it is hangs on the shapes.
class NamedByShapes final : public MetricImpl {
 public:
  using MetricImpl::MetricImpl;

  static bool is_name(std::string name) {
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    return name == "accuracy" || name == "acc" || is_crossentropy(name);
  }

  std::shared_ptr<const MetricImpl> for_shapes(const Shape& y_true, const Shape& y_pred) const override {
    if (y_true.rank() < 1 || y_pred.rank() < 1)
      throw ShapeError(fmt::format(
          "metric \"{}\": targets and predictions need one row for each sample, but their shapes are {} "
          "and {}",
          name(), y_true.to_string(), y_pred.to_string()));
    return chosen(y_true, y_pred).resolve(y_true, y_pred);
  }
  std::vector<Tensor> initial_state() const override { unresolved(); }
  std::vector<Value> update(std::span<const Value>, Value, Value, Value) const override { unresolved(); }
  double result(std::span<const Tensor>) const override { unresolved(); }

 private:
  static bool is_crossentropy(const std::string& name) { return name == "crossentropy" || name == "ce"; }
  Metric chosen(const Shape& y_true, const Shape& y_pred) const {
    const bool entropy = name().starts_with('c') || name().starts_with('C');
    if (y_pred.back() == 1)
      return entropy ? BinaryCrossentropy({.name = name()}) : BinaryAccuracy({.name = name()});
    if (y_true.rank() < y_pred.rank() || y_true.back() == 1)
      return entropy ? SparseCategoricalCrossentropy({.name = name()})
                     : SparseCategoricalAccuracy({.name = name()});
    return entropy ? CategoricalCrossentropy({.name = name()}) : CategoricalAccuracy({.name = name()});
  }
  [[noreturn]] void unresolved() const {
    throw StateError(
        fmt::format("metric \"{}\": the shapes say which metric it is; call Metric::resolve first", name()));
  }
};

const MetricRegistry& registry() {
  static const auto registry = [] {
    MetricRegistry r("metric");
    // For the list of known names only: `by_name` makes these.
    r.add({"accuracy", "acc", "crossentropy", "ce"}, [](internal::Fields&) { return Metric("accuracy"); });
    add_accuracy_metrics(r);
    add_mean_metrics(r);
    add_regression_metrics(r);
    add_confusion_metrics(r);
    add_curve_metrics(r);
    add_f_scores(r);
    add_iou_metrics(r);
    return r;
  }();
  return registry;
}

Metric by_name(const std::string& name) {
  if (NamedByShapes::is_name(name)) return Metric(std::make_shared<NamedByShapes>(name));
  return registry().make(name, Config::Dict{{"name", name}});
}

}  // namespace

Metric make_metric(std::string name, std::function<Value(Value, Value)> values,
                   std::optional<bool> larger_is_better) {
  values = internal::not_empty_function(std::move(values), fmt::format("make_metric(\"{}\")", name));
  return Metric(std::make_shared<FunctionMetric>(std::move(name), std::move(values), larger_is_better));
}
Metric MeanMetricWrapper(std::function<Value(Value, Value)> values, MetricArgs args) {
  return make_metric(args.name.empty() ? "mean_metric_wrapper" : args.name, std::move(values));
}

Config serialize(const Metric& metric) {
  if (metric.depends_on_shapes()) return metric.name();
  return internal::object_config("keras.metrics", metric.class_name(), metric.get_config());
}
Metric deserialize(const Config& config) {
  return config.is_string() ? Metric(config.as_string()) : registry().from_config(config);
}

}  // namespace metrics

// ---- the handle -------------------------------------------------------------------------------------------

struct Metric::Accumulators {
  std::shared_ptr<const MetricImpl> impl;  ///< null until the shapes are known
  std::vector<Tensor> state;
};

Metric::Metric(std::shared_ptr<const MetricImpl> impl)
    : impl_(internal::not_empty(std::move(impl), "a Metric")),
      accumulators_(std::make_shared<Accumulators>()) {}
Metric::Metric(const char* name) : Metric(internal::given_name("metric", name)) {}
Metric::Metric(const std::string& name) : Metric(metrics::by_name(name)) {}

const std::string& Metric::name() const {
  return internal::used(impl_, "Metric").name();
}
std::string Metric::class_name() const {
  return internal::used(impl_, "Metric").class_name();
}
Config Metric::get_config() const {
  return internal::used(impl_, "Metric").get_config();
}
bool Metric::depends_on_shapes() const {
  return dynamic_cast<const metrics::NamedByShapes*>(impl_.get()) != nullptr;
}

std::shared_ptr<const MetricImpl> Metric::resolve(const Shape& y_true, const Shape& y_pred) const {
  auto made = internal::used(impl_, "Metric").for_shapes(y_true, y_pred);
  return made ? made : impl_;
}

Metrics::Metrics(const std::vector<std::vector<Metric>>& items) : lists_(items.begin(), items.end()) {}
Metrics::Metrics(std::initializer_list<std::pair<std::string, MetricList>> items) {
  for (const auto& [output, list] : items) {
    outputs_.push_back(output);
    lists_.push_back(list);
  }
}

void Metric::update_state(Call& call, Value y_true, Value y_pred, Value sample_weight) const {
  if (!internal::used(impl_, "Metric").compares() && !sample_weight && y_true != y_pred) {
    sample_weight = y_pred;
    y_pred = y_true;
  }
  const graph::LabelScope label(call.graph(), name());
  const auto impl = resolve(y_true.shape(), y_pred.shape());
  Accumulators& kept = *accumulators_;
  if (!kept.impl) {
    kept.impl = impl;
    kept.state = impl->initial_state();
  }
  std::vector<Value> state;
  for (std::size_t i = 0; i < kept.state.size(); i++)
    state.push_back(call.state(fmt::format("metric/{}/{}", name(), i), kept.state[i]));
  const std::vector<Value> next = impl->update(state, y_true, y_pred, sample_weight);
  for (std::size_t i = 0; i < state.size(); i++) call.update(state[i], next[i]);
}
void Metric::update_state(Call& call, Value values) const {
  if (internal::used(impl_, "Metric").compares())
    throw TypeError(fmt::format("metric \"{}\": update_state needs targets and predictions", name()));
  if (values.rank() == 0) values = graph::reshape(values, {1});
  update_state(call, values, values);
}

double Metric::result() const {
  internal::used(impl_, "Metric");
  return accumulators_->impl ? accumulators_->impl->result(accumulators_->state) : 0;
}
void Metric::reset_state() const {
  internal::used(impl_, "Metric");
  if (!accumulators_->impl) return;
  const std::vector<Tensor> start = accumulators_->impl->initial_state();
  for (std::size_t i = 0; i < start.size(); i++)
    std::memcpy(accumulators_->state[i].raw(), start[i].raw(), start[i].nbytes());
}

double Metric::operator()(const Tensor& y_true, const Tensor& y_pred, const Tensor& sample_weight) const {
  const auto impl = resolve(y_true.shape(), y_pred.shape());
  graph::Graph graph("metric");
  graph::LabelScope label(graph, name());
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
