#include <array>
#include <cmath>

#include "api/training/loss_reduction.h"
#include "api/training/metric_functions.h"
#include "api/training/targets.h"

namespace kiln::metrics {

using graph::Value;
using internal::Fields;

namespace {

struct RootKind {
  using Args = MetricArgs;
  static constexpr const char *class_name = "RootMeanSquaredError", *name = "root_mean_squared_error";
  static constexpr bool larger_is_better = false;
};
class RootImpl final : public KerasMetric<RootKind, MeanMetricImpl> {
 public:
  using KerasMetric::KerasMetric;
  Value values(Value y, Value p) const override {
    const Value error = p - internal::same_shape(name(), y, p);
    return error * error;
  }
  double result(std::span<const Tensor> state) const override {
    return std::sqrt(MeanMetricImpl::result(state));
  }
};

// ---- along an axis ----------------------------------------------------------------------------------------

struct CosineKind {
  using Args = AlongAxisArgs;
  static constexpr const char *class_name = "CosineSimilarity", *name = "cosine_similarity";
  static constexpr bool larger_is_better = true;
  // Keras's configuration lacks the axis.
  static void fields(Fields& f, Args& args) {
    if (f.reads() || args.axis != -1) f("axis", args.axis);
  }
  static Value values(const Args& args, Value y, Value p) {
    return -values_of_loss(losses::CosineSimilarity({.axis = args.axis}), y, p);
  }
};

Value centered(Value x, int axis) {
  return x - graph::reduce_mean(x, {axis}, /*keepdims=*/true);
}

struct PearsonKind {
  using Args = AlongAxisArgs;
  static constexpr const char *class_name = "PearsonCorrelation", *name = "pearson_correlation";
  static constexpr bool larger_is_better = true;
  static void fields(Fields& f, Args& args) { f("axis", args.axis); }
  /// Deviations from the mean over their norm; zeros for constants, whatever the mean's rounding leaves of
  /// them.
  static Value unit(Value x, int axis) {
    const Value largest = graph::reduce_max(x, {axis}, true);
    const Value is_constant = graph::compare(largest, graph::reduce_min(x, {axis}, true), "eq");
    const Value deviation = centered(x, axis);
    const Value squares = graph::reduce_sum(deviation * deviation, {axis}, true);
    const Value scaled = deviation * graph::rsqrt(squares);
    return graph::select(is_constant, graph::scalar(scaled, 0), scaled);
  }
  static Value values(const Args& args, Value y, Value p) {
    const int axis = normalize_axis(args.axis, p.rank(), class_name);
    const Value unit_y = unit(internal::same_shape(name, y, p), axis);
    const Value unit_p = unit(p, axis);
    return graph::reduce_sum(unit_y * unit_p, {axis});
  }
};

struct ConcordanceKind {
  using Args = AlongAxisArgs;
  static constexpr const char *class_name = "ConcordanceCorrelation", *name = "concordance_correlation";
  static constexpr bool larger_is_better = true;
  static void fields(Fields& f, Args& args) { f("axis", args.axis); }
  static Value values(const Args& args, Value y, Value p) {
    const int axis = normalize_axis(args.axis, p.rank(), class_name);
    y = internal::same_shape(name, y, p);
    const Value from_y = centered(y, axis), from_p = centered(p, axis);
    const Value variance_y = graph::reduce_mean(from_y * from_y, {axis});
    const Value variance_p = graph::reduce_mean(from_p * from_p, {axis});
    const Value bias = graph::reduce_mean(y - p, {axis});
    const Value covariance = graph::reduce_mean(from_y * from_p, {axis});
    const Value spread = variance_y + variance_p;
    return covariance * 2.0 / (bias * bias + spread + 1e-7);
  }
};

// ---- R2 ---------------------------------------------------------------------------------------------------

struct R2Kind {
  using Args = R2ScoreArgs;
  static constexpr const char *class_name = "R2Score", *name = "r2_score";
  static constexpr bool larger_is_better = true;
  static void fields(Fields& f, Args& args) {
    f("class_aggregation", args.class_aggregation)("num_regressors", args.num_regressors);
  }
  static void check(const Args& args) {
    static constexpr std::array<std::string_view, 2> known = {"uniform_average", "variance_weighted_average"};
    if (!args.class_aggregation)
      throw ValueError(
          "R2Score: without class_aggregation there would be one score for each column, but a metric is one "
          "number; set class_aggregation to \"uniform_average\" or \"variance_weighted_average\"");
    if (*args.class_aggregation != known[0] && *args.class_aggregation != known[1])
      internal::unknown_name("R2Score: class_aggregation", *args.class_aggregation, known);
    if (args.num_regressors < 0)
      throw ValueError(
          fmt::format("R2Score: num_regressors must not be negative, but it is {}; give the number "
                      "of the model's independent variables, or 0 for the plain score",
                      args.num_regressors));
  }
};

/// The sums over the batch, for each column: of y, y^2, (y - p)^2 and the weights; and the number of targets.
class R2Impl final : public KerasMetric<R2Kind> {
 public:
  explicit R2Impl(Args args, std::int64_t columns = 1) : KerasMetric(std::move(args)), columns_(columns) {}

  std::shared_ptr<const MetricImpl> for_shapes(const Shape& y_true, const Shape& y_pred) const override {
    if (y_pred.rank() != 2)
      throw ShapeError(fmt::format(
          "R2Score: the predictions must have the shape (batch, columns), but theirs is {} (and the "
          "targets' {}); put a Flatten or Reshape before",
          y_pred.to_string(), y_true.to_string()));
    Args args = args_;
    args.name = name();
    return std::make_shared<R2Impl>(args, y_pred.back());
  }
  std::vector<Tensor> initial_state() const override {
    std::vector<Tensor> state(4, Tensor());
    for (Tensor& t : state) t = Tensor::zeros({columns_}, DType::f64);
    state.push_back(Tensor::scalar(0, DType::f64));
    return state;
  }
  std::vector<Value> update(std::span<const Value> state, Value y, Value p, Value weights) const override {
    // In f64: the variance is a small difference of these sums where the mean is large.
    y = internal::same_shape(name(), y, graph::convert(p, DType::f64));
    p = graph::convert(p, DType::f64);
    weights = weights ? internal::spread_weights(name(), weights, y) : graph::ones_like(y);
    const Value weighted = y * weights;
    const Value error = y - p;
    const Value squares = y * weighted;
    const Value errors = error * error * weights;
    const Value sums[] = {graph::reduce_sum(weighted, {0}), graph::reduce_sum(squares, {0}),
                          graph::reduce_sum(errors, {0}), graph::reduce_sum(weights, {0})};
    std::vector<Value> next;
    for (std::size_t i = 0; i < 4; i++) next.push_back(state[i] + sums[i]);
    next.push_back(state[4] + static_cast<double>(y.shape().elements()));
    return next;
  }
  double result(std::span<const Tensor> state) const override {
    double scores = 0, weighted_scores = 0, variances = 0;
    for (std::int64_t i = 0; i < columns_; i++) {
      const double sum = state[0](i), count = state[3](i), residual = state[2](i);
      const double variance = count == 0 ? 0 : state[1](i) - sum * (sum / count);
      // As Keras: an infinite score counts as 0. One of 0 / 0, which is NaN there, is that of a met constant.
      double score = variance == 0 && residual == 0 ? 1 : 1 - residual / variance;
      if (std::isinf(score)) score = 0;
      scores += score;
      weighted_scores += variance * score;
      variances += variance;
    }
    const double score = *args_.class_aggregation == "uniform_average"
                             ? scores / static_cast<double>(columns_)
                         : variances == 0 ? scores / static_cast<double>(columns_)
                                          : weighted_scores / variances;
    const double n = state[4].item(), rest = n - args_.num_regressors - 1;
    return args_.num_regressors == 0 || rest <= 0 ? score : 1 - (1 - score) * (n - 1) / rest;
  }

 private:
  std::int64_t columns_;
};

}  // namespace

Metric RootMeanSquaredError(MetricArgs args) {
  return make_metric_of<RootImpl>(std::move(args));
}
Metric CosineSimilarity(AlongAxisArgs args) {
  return make_metric_of<KerasMean<CosineKind>>(std::move(args));
}
Metric PearsonCorrelation(AlongAxisArgs args) {
  return make_metric_of<KerasMean<PearsonKind>>(std::move(args));
}
Metric ConcordanceCorrelation(AlongAxisArgs args) {
  return make_metric_of<KerasMean<ConcordanceKind>>(std::move(args));
}
Metric R2Score(R2ScoreArgs args) {
  return make_metric_of<R2Impl>(std::move(args));
}

void add_regression_metrics(MetricRegistry& r) {
  r.add({"RootMeanSquaredError", "root_mean_squared_error"}, from_fields<RootImpl>);
  r.add({"CosineSimilarity", "cosine_similarity"}, from_fields<KerasMean<CosineKind>>);
  r.add({"PearsonCorrelation", "pearson_correlation"}, from_fields<KerasMean<PearsonKind>>);
  r.add({"ConcordanceCorrelation", "concordance_correlation"}, from_fields<KerasMean<ConcordanceKind>>);
  r.add({"R2Score", "r2_score"}, from_fields<R2Impl>);
}

}  // namespace kiln::metrics
