#include <array>

#include "api/training/loss_reduction.h"
#include "api/training/metric_functions.h"
#include "api/training/targets.h"

namespace kiln::metrics {

using graph::Value;
using internal::Fields;

namespace {

constexpr double epsilon = 1e-7;

void check_f_score(const char* metric, const std::optional<std::string>& average,
                   const std::optional<double>& threshold) {
  static constexpr std::array<std::string_view, 3> known = {"micro", "macro", "weighted"};
  if (!average)
    throw ValueError(
        fmt::format("{}: without an average there would be one score for each class, but a metric is "
                    "one number; set average to \"micro\", \"macro\" or \"weighted\"",
                    metric));
  if (std::find(known.begin(), known.end(), *average) == known.end())
    internal::unknown_name(std::string(metric) + ": average", *average, known);
  if (threshold && !(*threshold > 0 && *threshold <= 1))
    throw ValueError(
        fmt::format("{}: threshold must be above 0 and at most 1, but it is {}; leave it out to take a "
                    "row's largest prediction",
                    metric, *threshold));
}

struct FBetaKind {
  using Args = FBetaScoreArgs;
  static constexpr const char *class_name = "FBetaScore", *name = "fbeta_score";
  static constexpr bool larger_is_better = true;
  static void fields(Fields& f, Args& args) {
    f("average", args.average)("beta", args.beta)("threshold", args.threshold);
  }
  static void check(const Args& args) {
    check_f_score(class_name, args.average, args.threshold);
    if (!(args.beta > 0))
      throw ValueError(
          fmt::format("FBetaScore: beta must be positive, but it is {}; 1 weighs precision and recall "
                      "alike",
                      args.beta));
  }
  static double beta(const Args& args) { return args.beta; }
};

struct F1Kind {
  using Args = F1ScoreArgs;
  static constexpr const char *class_name = "F1Score", *name = "f1_score";
  static constexpr bool larger_is_better = true;
  static void fields(Fields& f, Args& args) { f("average", args.average)("threshold", args.threshold); }
  static void check(const Args& args) { check_f_score(class_name, args.average, args.threshold); }
  static double beta(const Args&) { return 1; }
};

/// State: for each class the weights of true positives, false positives, false negatives and targets.
template <class Kind>
class FScoreImpl final : public KerasMetric<Kind> {
 public:
  using typename KerasMetric<Kind>::Args;
  explicit FScoreImpl(Args args, std::int64_t classes = 1)
      : KerasMetric<Kind>(std::move(args)), classes_(classes) {}

  std::shared_ptr<const MetricImpl> for_shapes(const Shape& y_true, const Shape& y_pred) const override {
    if (y_pred.rank() != 2 || y_true.rank() != 2)
      throw ShapeError(
          fmt::format("{}: targets and predictions must have the shape (batch, classes), but theirs are "
                      "{} and {}; make class numbers one-hot first",
                      Kind::class_name, y_true.to_string(), y_pred.to_string()));
    Args args = this->args_;
    args.name = this->name();
    return std::make_shared<FScoreImpl>(args, y_pred.back());
  }
  std::vector<Tensor> initial_state() const override {
    std::vector<Tensor> state;
    for (int i = 0; i < 4; i++) state.push_back(Tensor::zeros({classes_}, DType::f64));
    return state;
  }
  std::vector<Value> update(std::span<const Value> state, Value y, Value p, Value weights) const override {
    y = internal::same_shape(this->name(), y, p);
    const Value positive = graph::convert(positives(p), y.dtype());
    if (weights) weights = internal::spread_weights(this->name(), weights, y);
    const Value found = positive * y;
    const Value wrong = positive * (1.0 - y);
    const Value missed = (1.0 - positive) * y;
    std::vector<Value> next;
    for (Value each : {found, wrong, missed, y}) {
      if (weights) each = each * weights;
      const Value sum = graph::reduce_sum(each, {0});
      next.push_back(state[next.size()] + graph::convert(sum, DType::f64));
    }
    return next;
  }
  double result(std::span<const Tensor> state) const override {
    const std::string& average = *this->args_.average;
    double found = 0, wrong = 0, missed = 0, targets = 0, sum = 0, weighted = 0;
    for (std::int64_t i = 0; i < classes_; i++) {
      found += state[0](i);
      wrong += state[1](i);
      missed += state[2](i);
      targets += state[3](i);
      const double one = score(state[0](i), state[1](i), state[2](i));
      sum += one;
      weighted += one * state[3](i);
    }
    if (average == "micro") return score(found, wrong, missed);
    return average == "macro" ? sum / static_cast<double>(classes_) : weighted / (targets + epsilon);
  }

 private:
  // Of rows of zeros none is the largest.
  Value positives(Value p) const {
    const auto& threshold = this->args_.threshold;
    if (threshold) return graph::compare(p, graph::scalar(p, *threshold), "gt");
    const Value largest = graph::compare(p, graph::reduce_max(p, {1}, /*keepdims=*/true), "ge");
    const Value size = graph::abs(p);
    return graph::bit_and(largest, graph::compare(size, graph::scalar(size, 1e-9), "gt"));
  }
  double score(double found, double wrong, double missed) const {
    const double precision = found / (found + wrong + epsilon), recall = found / (found + missed + epsilon);
    const double square = Kind::beta(this->args_) * Kind::beta(this->args_);
    return precision * recall / (square * precision + recall + epsilon) * (1 + square);
  }

  std::int64_t classes_;
};

}  // namespace

Metric FBetaScore(FBetaScoreArgs args) {
  return make_metric_of<FScoreImpl<FBetaKind>>(std::move(args));
}
Metric F1Score(F1ScoreArgs args) {
  return make_metric_of<FScoreImpl<F1Kind>>(std::move(args));
}

void add_f_scores(MetricRegistry& r) {
  r.add({"FBetaScore", "f_beta_score", "fbeta_score"}, from_fields<FScoreImpl<FBetaKind>>);
  r.add({"F1Score", "f1_score"}, from_fields<FScoreImpl<F1Kind>>);
}

}  // namespace kiln::metrics
