#include "api/training/confusion.h"

namespace kiln::metrics {

using graph::Value;
using internal::Fields;

namespace {

void check_one_threshold(const char* metric, const std::optional<Numbers>& thresholds) {
  if (!thresholds) return;
  if (thresholds->values().size() != 1)
    throw ValueError(
        fmt::format("{}: thresholds has {} numbers, which would give as many results, but a metric is "
                    "one number; give one threshold, and one metric for each",
                    metric, thresholds->values().size()));
  check_threshold(metric, "thresholds", thresholds->values()[0]);
}

/// The batch's {true positives, false positives, true negatives, false negatives}, f64.
struct Counts {
  Value true_positives, false_positives, true_negatives, false_negatives;
};
Counts counts(const Confusable& batch, Value is_positive) {
  const Value zero = graph::scalar(batch.weights, 0);
  const Value positive = graph::select(is_positive, batch.weights, zero);
  const Value negative = graph::select(is_positive, zero, batch.weights);
  Counts c;
  c.true_positives = graph::reduce_sum(graph::select(batch.is_true, positive, zero));
  c.false_positives = graph::reduce_sum(graph::select(batch.is_true, zero, positive));
  c.true_negatives = graph::reduce_sum(graph::select(batch.is_true, zero, negative));
  c.false_negatives = graph::reduce_sum(graph::select(batch.is_true, negative, zero));
  return c;
}

// ---- counts -----------------------------------------------------------------------------------------------

struct TruePositivesKind {
  static constexpr const char *class_name = "TruePositives", *name = "true_positives";
  static constexpr Value Counts::* count = &Counts::true_positives;
};
struct TrueNegativesKind {
  static constexpr const char *class_name = "TrueNegatives", *name = "true_negatives";
  static constexpr Value Counts::* count = &Counts::true_negatives;
};
struct FalsePositivesKind {
  static constexpr const char *class_name = "FalsePositives", *name = "false_positives";
  static constexpr Value Counts::* count = &Counts::false_positives;
};
struct FalseNegativesKind {
  static constexpr const char *class_name = "FalseNegatives", *name = "false_negatives";
  static constexpr Value Counts::* count = &Counts::false_negatives;
};
template <class Which>
struct CountKind : Which {
  using Args = ConfusionCountArgs;
  static void fields(Fields& f, Args& args) { f("thresholds", args.thresholds); }
  static void check(const Args& args) { check_one_threshold(Which::class_name, args.thresholds); }
};

template <class Which>
class CountImpl final : public KerasMetric<CountKind<Which>> {
 public:
  using KerasMetric<CountKind<Which>>::KerasMetric;
  std::vector<Tensor> initial_state() const override { return {Tensor::scalar(0, DType::f64)}; }
  std::vector<Value> update(std::span<const Value> state, Value y, Value p, Value weights) const override {
    const Confusable batch = confusable(this->name(), y, p, weights, {});
    const auto& thresholds = this->args_.thresholds;
    const double threshold = thresholds ? thresholds->values()[0] : 0.5;
    const Value positive = graph::compare(p, graph::scalar(p, threshold), "gt");
    return {state[0] + counts(batch, positive).*Which::count};
  }
  double result(std::span<const Tensor> state) const override { return state[0].item(); }
};

// ---- precision and recall ---------------------------------------------------------------------------------

struct PrecisionNames {
  static constexpr const char *class_name = "Precision", *name = "precision";
  static constexpr Value Counts::* wrong = &Counts::false_positives;
};
struct RecallNames {
  static constexpr const char *class_name = "Recall", *name = "recall";
  static constexpr Value Counts::* wrong = &Counts::false_negatives;
};
template <class Which>
struct ShareKind : Which {
  using Args = PrecisionArgs;
  static constexpr bool larger_is_better = true;
  static void fields(Fields& f, Args& args) {
    f("thresholds", args.thresholds)("top_k", args.top_k)("class_id", args.class_id);
  }
  static void check(const Args& args) {
    check_one_threshold(Which::class_name, args.thresholds);
    if (args.top_k && *args.top_k < 1)
      throw ValueError(
          fmt::format("{}: top_k must be positive, not {}; leave it out to count all predictions",
                      Which::class_name, *args.top_k));
    check_class_id(Which::class_name, args.class_id);
  }
};

/// True where a prediction is one of its row's k largest.
Value in_top_k(const std::string& metric, Value p, int k) {
  const std::int64_t size = p.rank() < 1 ? 0 : p.shape().back();
  if (k > size)
    throw ShapeError(
        fmt::format("{}: top_k is {}, but the predictions' shape is {}: their last axis must have at "
                    "least as many elements",
                    metric, k, p.shape().to_string()));
  const Value places = graph::top_k(p, k)[1];
  const Value ones = graph::full(p.graph(), {DType::f32, places.shape()}, 1);
  const Value marks = graph::put_along(ones, places, p.rank() - 1, size);
  return graph::compare(marks, graph::scalar(marks, 0), "gt");
}

template <class Which>
class ShareImpl final : public KerasMetric<ShareKind<Which>> {
 public:
  using KerasMetric<ShareKind<Which>>::KerasMetric;
  std::vector<Tensor> initial_state() const override {
    return {Tensor::scalar(0, DType::f64), Tensor::scalar(0, DType::f64)};
  }
  // What isn't among the k best is Keras's -1e10, which is below every threshold; without one, all others
  // count.
  std::vector<Value> update(std::span<const Value> state, Value y, Value p, Value weights) const override {
    const PrecisionArgs& args = this->args_;
    if (args.top_k) {
      const Value least = graph::scalar(p, -1e10);
      const Value best = in_top_k(this->name(), p, *args.top_k);
      p = graph::select(best, p, least);
    }
    const Confusable batch = confusable(this->name(), y, p, weights, args.class_id);
    const double threshold = args.thresholds ? args.thresholds->values()[0] : args.top_k ? -1e10 : 0.5;
    const Value positive = graph::compare(batch.y_pred, graph::scalar(batch.y_pred, threshold), "gt");
    const Counts c = counts(batch, positive);
    const Value right = state[0] + c.true_positives;
    return {right, state[1] + c.*Which::wrong};
  }
  double result(std::span<const Tensor> state) const override {
    return quotient(state[0].item(), state[0].item() + state[1].item());
  }
};

}  // namespace

Metric TruePositives(ConfusionCountArgs args) {
  return make_metric_of<CountImpl<TruePositivesKind>>(std::move(args));
}
Metric TrueNegatives(ConfusionCountArgs args) {
  return make_metric_of<CountImpl<TrueNegativesKind>>(std::move(args));
}
Metric FalsePositives(ConfusionCountArgs args) {
  return make_metric_of<CountImpl<FalsePositivesKind>>(std::move(args));
}
Metric FalseNegatives(ConfusionCountArgs args) {
  return make_metric_of<CountImpl<FalseNegativesKind>>(std::move(args));
}
Metric Precision(PrecisionArgs args) {
  return make_metric_of<ShareImpl<PrecisionNames>>(std::move(args));
}
Metric Recall(RecallArgs args) {
  return make_metric_of<ShareImpl<RecallNames>>(std::move(args));
}

void add_confusion_metrics(MetricRegistry& r) {
  r.add({"TruePositives", "true_positives"}, from_fields<CountImpl<TruePositivesKind>>);
  r.add({"TrueNegatives", "true_negatives"}, from_fields<CountImpl<TrueNegativesKind>>);
  r.add({"FalsePositives", "false_positives"}, from_fields<CountImpl<FalsePositivesKind>>);
  r.add({"FalseNegatives", "false_negatives"}, from_fields<CountImpl<FalseNegativesKind>>);
  r.add({"Precision", "precision"}, from_fields<ShareImpl<PrecisionNames>>);
  r.add({"Recall", "recall"}, from_fields<ShareImpl<RecallNames>>);
}

}  // namespace kiln::metrics
