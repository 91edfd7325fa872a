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

void check_values(const std::string& loss, Value values, Value y_pred) {
  if (!values)
    throw ValueError(
        fmt::format("loss \"{}\": its function returned an empty Value; return what the ops give", loss));
  if (y_pred.rank() > 0 && (values.rank() == 0 || values.shape()[0] != y_pred.shape()[0]))
    throw ShapeError(fmt::format(
        "loss \"{}\": it gave values of shape {} for predictions of shape {}; it must give each "
        "sample's loss, (batch, ...), so that samples can be weighed: reduce over axes from 1 on only",
        loss, values.shape().to_string(), y_pred.shape().to_string()));
}

}  // namespace

Value reduced_loss(const LossImpl& loss, Value y_true, Value y_pred, Value weights) {
  y_true = loss.arrange(y_true, y_pred);
  Value values = loss.values(y_true, y_pred);
  check_values(loss.name(), values, y_pred);
  if (weights) {
    weights = spread_weights(loss.name(), weights, values);
    values = values * weights;
  }
  const Value sum = graph::reduce_sum(values);
  if (loss.reduction() == "sum") return sum;
  if (weights && loss.reduction() == "mean_with_sample_weight") {
    // As Keras: weights that sum to 0 give a loss of 0.
    const Value total = graph::reduce_sum(weights);
    const Value is_zero = graph::compare(total, graph::scalar(total, 0), "eq");
    return graph::select(is_zero, graph::scalar(sum, 0),
                         sum / graph::select(is_zero, graph::scalar(total, 1), total));
  }
  return sum / static_cast<double>(values.shape().elements());
}

}  // namespace internal

double Loss::operator()(const Tensor& y_true, const Tensor& y_pred, const Tensor& sample_weight) const {
  graph::Graph graph("loss");
  graph::LabelScope label(graph, impl().name());
  // Losses are computed in the predictions' type, where a mean of whole numbers would lose its fraction.
  const Tensor scores = is_float(y_pred.dtype()) ? y_pred : y_pred.astype(DType::f32);
  std::vector<Tensor> inputs = {y_true.contiguous(), scores.contiguous()};
  if (sample_weight.defined()) inputs.push_back(sample_weight.contiguous());
  std::vector<graph::Value> values;
  for (const Tensor& t : inputs) values.push_back(graph.input("x", {t.dtype(), t.shape()}));
  graph.output("loss", internal::reduced_loss(impl(), values[0], values[1],
                                              sample_weight.defined() ? values[2] : graph::Value{}));
  return internal::run_once(graph, inputs)[0].item();
}

}  // namespace kiln
