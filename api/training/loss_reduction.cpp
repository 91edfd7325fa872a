#include "api/training/loss_reduction.h"

#include <fmt/format.h>

#include "api/model/backend.h"

namespace kiln {
namespace internal {

using graph::Value;

Value spread_weights(const std::string& user, Value weights, Value values) {
  if (weights.rank() == values.rank() + 1 && weights.shape().back() == 1)
    weights = graph::squeeze(weights, {weights.rank() - 1});
  while (weights.rank() < values.rank()) weights = graph::expand_dims(weights, weights.rank());
  bool fits = weights.rank() == values.rank();
  for (int i = 0; fits && i < values.rank(); i++)
    fits = weights.shape().dim(i) == values.shape().dim(i) || (i > 0 && weights.shape().dim(i) == 1);
  if (!fits)
    throw ShapeError(
        fmt::format("{}: sample_weight has shape {}, which doesn't fit the losses' shape {}; give one "
                    "weight for each sample",
                    user, weights.shape().to_string(), values.shape().to_string()));
  if (weights.dtype() != values.dtype()) weights = graph::convert(weights, values.dtype());
  return graph::broadcast_to(weights, values.shape());
}

namespace {

void check_values(const LossImpl& impl, Value values, Value y_pred) {
  const std::string& loss = impl.name();
  if (!values)
    throw ValueError(
        fmt::format("loss \"{}\": its function returned an empty Value; return what the ops give", loss));
  if (impl.of_whole_batch()) return;
  if (y_pred.rank() > 0 && (values.rank() == 0 || values.shape()[0] != y_pred.shape()[0]))
    throw ShapeError(fmt::format(
        "loss \"{}\": it gave values of shape {} for predictions of shape {}; it must give each "
        "sample's loss, (batch, ...), so that samples can be weighed: reduce over axes from 1 on only",
        loss, values.shape().to_string(), y_pred.shape().to_string()));
}

/// Each sample's loss times its weight, and the weights with what doesn't count left out; empty without any.
struct Weighted {
  Value values, weights;
  Value counted;  ///< 1 or 0; empty if all count
};

Weighted weighted(const LossImpl& loss, Value y_true, Value y_pred, Value weights) {
  y_true = loss.arrange(y_true, y_pred);
  Value values = loss.values(y_true, y_pred);
  check_values(loss, values, y_pred);
  Value counted = loss.counted(y_true, y_pred);
  if (counted) counted = graph::convert(counted, values.dtype());
  if (weights) {
    if (values.rank() == 0) values = graph::broadcast_to(values, {weights.shape()[0]});
    weights = spread_weights(loss.name(), weights, values);
    if (counted) weights = weights * counted;
  } else {
    weights = counted;
  }
  if (weights) values = values * weights;
  return {values, weights, counted};
}

/// a / b, and 0 where b is 0, as Keras has it.
Value quotient(Value a, Value b) {
  const Value is_zero = graph::compare(b, graph::scalar(b, 0), "eq");
  const Value safe = graph::select(is_zero, graph::scalar(b, 1), b);
  const Value result = a / safe;
  return graph::select(is_zero, graph::scalar(result, 0), result);
}

/// A graph of one loss that is run once.
Tensor run_loss(const Loss& loss, const Tensor& y_true, const Tensor& y_pred, const Tensor& sample_weight,
                Value (*emit)(const LossImpl&, Value, Value, Value)) {
  graph::Graph graph("loss");
  graph::LabelScope label(graph, loss.impl().name());
  // Losses are computed in the predictions' type, where a mean of whole numbers would lose its fraction.
  const Tensor scores = is_float(y_pred.dtype()) ? y_pred : y_pred.astype(DType::f32);
  std::vector<Tensor> inputs = {y_true.contiguous(), scores.contiguous()};
  if (sample_weight.defined()) inputs.push_back(sample_weight.contiguous());
  std::vector<Value> values;
  for (const Tensor& t : inputs) values.push_back(graph.input("x", {t.dtype(), t.shape()}));
  const Value weights = sample_weight.defined() ? values[2] : Value{};
  graph.output("loss", emit(loss.impl(), values[0], values[1], weights));
  return run_once(graph, inputs)[0];
}

}  // namespace

Value unreduced_loss(const LossImpl& loss, Value y_true, Value y_pred, Value weights) {
  return weighted(loss, y_true, y_pred, weights).values;
}

void check_reduces(const LossImpl& loss, const char* user) {
  if (loss.reduction() == "none")
    throw ValueError(fmt::format(
        "{}: loss \"{}\" has the reduction \"none\", which leaves a loss for each sample, but one "
        "number is needed; take \"sum_over_batch_size\" or \"sum\", or call Loss::unreduced for "
        "the losses of all samples",
        user, loss.name()));
}

Value reduced_loss(const LossImpl& loss, Value y_true, Value y_pred, Value weights) {
  check_reduces(loss, "the loss of a batch");
  const bool has_weights = bool(weights);
  const Weighted w = weighted(loss, y_true, y_pred, weights);
  const Value sum = graph::reduce_sum(w.values);
  if (loss.reduction() == "sum") return sum;
  if (has_weights && loss.reduction() == "mean_with_sample_weight")
    return quotient(sum, graph::reduce_sum(w.weights));
  if (w.counted) return quotient(sum, graph::reduce_sum(w.counted));
  return sum / static_cast<double>(w.values.shape().elements());
}

}  // namespace internal

double Loss::operator()(const Tensor& y_true, const Tensor& y_pred, const Tensor& sample_weight) const {
  internal::check_reduces(impl(), "calling a Loss");
  return internal::run_loss(*this, y_true, y_pred, sample_weight, internal::reduced_loss).item();
}

graph::Value Loss::operator()(graph::Value y_true, graph::Value y_pred, graph::Value sample_weight) const {
  return internal::reduced_loss(impl(), y_true, y_pred, sample_weight);
}

Tensor Loss::unreduced(const Tensor& y_true, const Tensor& y_pred, const Tensor& sample_weight) const {
  return internal::run_loss(*this, y_true, y_pred, sample_weight, internal::unreduced_loss);
}

}  // namespace kiln
