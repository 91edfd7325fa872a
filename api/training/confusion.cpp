#include "api/training/confusion.h"

#include <algorithm>

#include "api/training/loss_reduction.h"
#include "api/training/targets.h"

namespace kiln::metrics {

using graph::Value;

Confusable confusable(const std::string& metric, Value y, Value p, Value weights,
                      const std::optional<int>& class_id) {
  y = internal::same_shape(metric, y, p);
  if (weights) weights = internal::spread_weights(metric, weights, p);
  if (class_id) {
    if (p.rank() < 2 || *class_id >= p.shape().back())
      throw ShapeError(
          fmt::format("{}: class_id is {}, but the predictions' shape is {}; it must be one of the "
                      "elements of the last of two axes or more",
                      metric, *class_id, p.shape().to_string()));
    graph::Ints start(static_cast<std::size_t>(p.rank()), 0);
    graph::Ints limit(p.shape().begin(), p.shape().end());
    start.back() = *class_id;
    limit.back() = *class_id + 1;
    y = graph::slice(y, start, limit);
    p = graph::slice(p, start, limit);
    if (weights) weights = graph::slice(weights, start, limit);
  }
  const Value is_true = graph::compare(y, graph::scalar(y, 0), "ne");
  weights =
      weights ? graph::convert(weights, DType::f64) : graph::full(p.graph(), {DType::f64, p.shape()}, 1);
  return {is_true, p, weights};
}

ThresholdCounts::ThresholdCounts(int count, bool open) : count_(count), open_(open) {
  if (count == 1) list_ = {0.5};
}

std::vector<Tensor> ThresholdCounts::initial_state(std::int64_t labels) const {
  const Shape bins = {(count_ + 1) * labels};
  return {Tensor::zeros(bins, DType::f64), Tensor::zeros(bins, DType::f64)};
}

// In f64 the product with a number of thresholds is exact, and so is the place of a prediction that is one.
Value ThresholdCounts::below(Value p) const {
  p = graph::convert(p, DType::f64);
  if (list_.empty()) {
    const auto last = static_cast<double>(count_ - 1);
    Value place = graph::maximum(p, graph::scalar(p, 0));
    place = graph::minimum(place, graph::scalar(place, 1));
    place = graph::ceil(place * last);
    if (open_) place = graph::maximum(place, graph::scalar(place, 1));
    return graph::convert(place, DType::i32);  // of NaN, 0
  }
  Tensor list({count_}, DType::f64);
  std::copy(list_.begin(), list_.end(), list.data<double>());
  const Value thresholds = graph::constant(p.graph(), list);
  const Value above = graph::compare(graph::expand_dims(p, p.rank()), thresholds, "gt");
  return graph::reduce_sum(graph::convert(above, DType::i32), {p.rank()});
}

std::vector<Value> ThresholdCounts::update(std::span<const Value> state, const Confusable& batch,
                                           std::int64_t labels) const {
  const Shape& shape = batch.y_pred.shape();
  Value bins = below(batch.y_pred);
  if (labels > 1) {
    const Value label = graph::iota(bins.graph(), {DType::i32, shape}, shape.rank() - 1);
    bins = bins * static_cast<double>(labels) + label;
  }
  const std::int64_t elements = shape.elements();
  bins = graph::reshape(bins, {elements});
  const Value zero = graph::scalar(batch.weights, 0);
  const Value of_true = graph::reshape(graph::select(batch.is_true, batch.weights, zero), {elements});
  const Value of_false = graph::reshape(graph::select(batch.is_true, zero, batch.weights), {elements});
  const Value next_true = graph::scatter_add(state[0], bins, of_true, 0);
  return {next_true, graph::scatter_add(state[1], bins, of_false, 0)};
}

std::vector<Confusion> ThresholdCounts::result(std::span<const Tensor> state, std::int64_t labels,
                                               std::int64_t label) const {
  double all_true = 0, all_false = 0;
  for (std::int64_t b = 0; b <= count_; b++) {
    all_true += state[0](b * labels + label);
    all_false += state[1](b * labels + label);
  }
  // A prediction is above threshold i if more than i thresholds are below it.
  std::vector<Confusion> at(static_cast<std::size_t>(count_));
  double true_positives = 0, false_positives = 0;
  for (std::int64_t i = count_ - 1; i >= 0; i--) {
    true_positives += state[0]((i + 1) * labels + label);
    false_positives += state[1]((i + 1) * labels + label);
    at[static_cast<std::size_t>(i)] = {true_positives, false_positives, all_false - false_positives,
                                       all_true - true_positives};
  }
  return at;
}

void check_threshold(const char* metric, const char* argument, double value) {
  if (!(value >= 0 && value <= 1))
    throw ValueError(fmt::format("{}: {} must be in [0, 1], but {} is given", metric, argument, value));
}
void check_class_id(const char* metric, const std::optional<int>& class_id) {
  if (class_id && *class_id < 0)
    throw ValueError(fmt::format(
        "{}: class_id must not be negative, but it is {}; count from the first class, 0", metric, *class_id));
}

}  // namespace kiln::metrics
