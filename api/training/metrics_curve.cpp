#include <algorithm>
#include <array>
#include <cmath>

#include "api/training/confusion.h"

namespace kiln::metrics {

using graph::Value;
using internal::Fields;

namespace {

constexpr double epsilon = 1e-7;

// ---- area under a curve -----------------------------------------------------------------------------------

/// The name in `known` that Keras would take for `given`: in any case for curves, with a capital for methods.
std::string known_as(const char* argument, const std::string& given,
                     std::span<const std::string_view> known) {
  for (std::string_view name : known) {
    const bool same = given.size() == name.size() && std::equal(given.begin(), given.end(), name.begin(),
                                                                [](unsigned char a, unsigned char b) {
                                                                  return std::tolower(a) == std::tolower(b);
                                                                });
    if (same) return std::string(name);
  }
  internal::unknown_name(std::string("AUC: ") + argument, given, known);
}

struct AucKind {
  using Args = AUCArgs;
  static constexpr const char *class_name = "AUC", *name = "auc";
  static constexpr bool larger_is_better = true;
  static constexpr std::array<std::string_view, 3> curves = {"ROC", "PR", "PRGAIN"};
  static constexpr std::array<std::string_view, 3> methods = {"interpolation", "minoring", "majoring"};

  // As Keras: thresholds stand in the configuration only if they were given, without the two at the ends,
  // which the number counts.
  static void fields(Fields& f, Args& args) {
    f("num_thresholds", args.num_thresholds)("curve", args.curve)("summation_method", args.summation_method);
    f("multi_label", args.multi_label)("num_labels", args.num_labels);
    list(f, "label_weights", args.label_weights, true);
    f("from_logits", args.from_logits);
    list(f, "thresholds", args.thresholds, false);
  }
  static void list(Fields& f, const char* key, std::vector<double>& values, bool always) {
    if (!f.reads() && values.empty() && !always) return;
    Config config = values.empty() ? Config() : internal::to_config(values);
    f(key, config);
    values.clear();
    if (!config.is_null()) internal::from_config(config, values);
  }
  static void check(const Args& args) {
    known_as("curve", args.curve, curves);
    known_as("summation_method", args.summation_method, methods);
    for (double t : args.thresholds) check_threshold(class_name, "thresholds", t);
    if (args.thresholds.empty() && args.num_thresholds < 2)
      throw ValueError(
          fmt::format("AUC: num_thresholds must be 2 or more, but it is {}; Keras's default is 200",
                      args.num_thresholds));
    if (args.num_labels && !args.multi_label)
      throw ValueError(
          "AUC: num_labels is given, but multi_label is false; set multi_label, or leave num_labels "
          "out");
    for (double weight : args.label_weights)
      if (!(weight >= 0))
        throw ValueError(fmt::format("AUC: label_weights must not be negative, but one is {}", weight));
  }
};

/// The arguments in the form that the rest wants: names as they are listed, thresholds ascending.
AUCArgs arranged(AUCArgs args) {
  AucKind::check(args);
  args.curve = known_as("curve", args.curve, AucKind::curves);
  args.summation_method = known_as("summation_method", args.summation_method, AucKind::methods);
  std::sort(args.thresholds.begin(), args.thresholds.end());
  if (!args.thresholds.empty()) args.num_thresholds = static_cast<int>(args.thresholds.size()) + 2;
  return args;
}

ThresholdCounts auc_counts(const AUCArgs& args) {
  if (args.thresholds.empty()) return {args.num_thresholds, true};
  std::vector<double> all = {-epsilon};
  all.insert(all.end(), args.thresholds.begin(), args.thresholds.end());
  all.push_back(1 + epsilon);
  return ThresholdCounts(std::move(all));
}

/// Precision over recall is no straight line between two points: the true positives are, over all positives.
/// Davis and Goadrich, "The relationship between precision-recall and ROC curves", 2006.
double interpolated_pr_area(const std::vector<Confusion>& at) {
  double area = 0;
  for (std::size_t i = 0; i + 1 < at.size(); i++) {
    const Confusion &a = at[i], &b = at[i + 1];
    const double positives_a = a.true_positives + a.false_positives;
    const double positives_b = b.true_positives + b.false_positives;
    const double found = a.true_positives - b.true_positives;
    const double slope = quotient(found, std::max(positives_a - positives_b, 0.0));
    const double intercept = b.true_positives - slope * positives_b;
    const double ratio = positives_a > 0 && positives_b > 0 ? positives_a / positives_b : 1;
    area += quotient(slope * (found + intercept * std::log(ratio)), b.true_positives + b.false_negatives);
  }
  return area;
}

struct Point {
  double x = 0, y = 0;
};
Point point(const std::string& curve, const Confusion& c) {
  if (curve == "ROC") return {quotient(c.false_positives, c.false_positives + c.true_negatives), c.recall()};
  if (curve == "PR") return {c.recall(), c.precision()};
  if (c.true_positives == 0) return {0, 1};
  const double odds = quotient(c.true_positives + c.false_negatives, c.true_negatives + c.false_positives);
  return {std::max(1 - odds * c.false_negatives / c.true_positives, 0.0),
          1 - odds * c.false_positives / c.true_positives};
}

double area(const AUCArgs& args, const std::vector<Confusion>& at) {
  if (args.curve == "PR" && args.summation_method == "interpolation") return interpolated_pr_area(at);
  double area = 0;
  for (std::size_t i = 0; i + 1 < at.size(); i++) {
    const Point a = point(args.curve, at[i]), b = point(args.curve, at[i + 1]);
    const double height = args.summation_method == "interpolation" ? (a.y + b.y) / 2
                          : args.summation_method == "minoring"    ? std::min(a.y, b.y)
                                                                   : std::max(a.y, b.y);
    area += (a.x - b.x) * height;
  }
  return area;
}

class AucImpl final : public KerasMetric<AucKind> {
 public:
  explicit AucImpl(AUCArgs args, std::int64_t labels = 1)
      : KerasMetric(arranged(std::move(args))), counts_(auc_counts(args_)), labels_(labels) {}

  std::shared_ptr<const MetricImpl> for_shapes(const Shape&, const Shape& y_pred) const override {
    const auto weights = static_cast<std::int64_t>(args_.label_weights.size());
    if (!args_.multi_label && weights == 0) return nullptr;
    const std::int64_t labels = y_pred.rank() < 2 ? None : y_pred.back();
    if (args_.multi_label && y_pred.rank() != 2)
      throw ShapeError(
          fmt::format("AUC: with multi_label the predictions must have the shape (batch, labels), but "
                      "theirs is {}",
                      y_pred.to_string()));
    if (args_.num_labels && *args_.num_labels != labels)
      throw ShapeError(fmt::format("AUC: num_labels is {}, but the predictions' shape is {}",
                                   *args_.num_labels, y_pred.to_string()));
    if (weights != 0 && weights != labels)
      throw ShapeError(
          fmt::format("AUC: label_weights has {} numbers, but the predictions' shape is {}; give one "
                      "for each element of the last axis",
                      weights, y_pred.to_string()));
    if (!args_.multi_label) return nullptr;
    AUCArgs args = args_;
    args.name = name();
    return std::make_shared<AucImpl>(std::move(args), labels);
  }
  std::vector<Tensor> initial_state() const override { return counts_.initial_state(labels_); }
  std::vector<Value> update(std::span<const Value> state, Value y, Value p, Value weights) const override {
    if (args_.from_logits) p = graph::sigmoid(p);
    Confusable batch = confusable(name(), y, p, weights, {});
    if (!args_.multi_label && !args_.label_weights.empty()) {
      Tensor list({static_cast<std::int64_t>(args_.label_weights.size())}, DType::f64);
      std::copy(args_.label_weights.begin(), args_.label_weights.end(), list.data<double>());
      batch.weights = batch.weights * graph::constant(p.graph(), list);
    }
    return counts_.update(state, batch, labels_);
  }
  double result(std::span<const Tensor> state) const override {
    double sum = 0, all = 0;
    for (std::int64_t label = 0; label < labels_; label++) {
      const bool weighs = args_.multi_label && !args_.label_weights.empty();
      const double weight = weighs ? args_.label_weights[static_cast<std::size_t>(label)] : 1;
      sum += weight * area(args_, counts_.result(state, labels_, label));
      all += weight;
    }
    return quotient(sum, all);
  }

 private:
  ThresholdCounts counts_;
  std::int64_t labels_;
};

// ---- the best under a condition ---------------------------------------------------------------------------

struct SensitivityNames {
  static constexpr const char *class_name = "SensitivityAtSpecificity", *name = "sensitivity_at_specificity",
                              *condition = "specificity";
  static double asked(const Confusion& c) { return c.specificity(); }
  static double best(const Confusion& c) { return c.recall(); }
};
struct SpecificityNames {
  static constexpr const char *class_name = "SpecificityAtSensitivity", *name = "specificity_at_sensitivity",
                              *condition = "sensitivity";
  static double asked(const Confusion& c) { return c.recall(); }
  static double best(const Confusion& c) { return c.specificity(); }
};
struct PrecisionNames {
  static constexpr const char *class_name = "PrecisionAtRecall", *name = "precision_at_recall",
                              *condition = "recall";
  static double asked(const Confusion& c) { return c.recall(); }
  static double best(const Confusion& c) { return c.precision(); }
};
struct RecallNames {
  static constexpr const char *class_name = "RecallAtPrecision", *name = "recall_at_precision",
                              *condition = "precision";
  static double asked(const Confusion& c) { return c.precision(); }
  static double best(const Confusion& c) { return c.recall(); }
};

struct BestArgs : AtThresholdArgs {
  double condition = 0;
};
template <class Which>
struct BestKind : Which {
  using Args = BestArgs;
  static constexpr bool larger_is_better = true;
  static void fields(Fields& f, Args& args) {
    f.required(Which::condition, args.condition)("num_thresholds", args.num_thresholds);
    f("class_id", args.class_id);
  }
  static void check(const Args& args) {
    check_threshold(Which::class_name, Which::condition, args.condition);
    if (args.num_thresholds < 1)
      throw ValueError(
          fmt::format("{}: num_thresholds must be positive, but it is {}; Keras's default is 200",
                      Which::class_name, args.num_thresholds));
    check_class_id(Which::class_name, args.class_id);
  }
};

template <class Which>
class BestImpl final : public KerasMetric<BestKind<Which>> {
 public:
  explicit BestImpl(BestArgs args)
      : KerasMetric<BestKind<Which>>(std::move(args)), counts_(this->args_.num_thresholds, false) {}
  std::vector<Tensor> initial_state() const override { return counts_.initial_state(1); }
  std::vector<Value> update(std::span<const Value> state, Value y, Value p, Value weights) const override {
    return counts_.update(state, confusable(this->name(), y, p, weights, this->args_.class_id), 1);
  }
  double result(std::span<const Tensor> state) const override {
    double best = 0;
    for (const Confusion& c : counts_.result(state, 1, 0))
      if (Which::asked(c) >= this->args_.condition) best = std::max(best, Which::best(c));
    return best;
  }

 private:
  ThresholdCounts counts_;
};

}  // namespace

Metric AUC(AUCArgs args) {
  return make_metric_of<AucImpl>(std::move(args));
}
Metric SensitivityAtSpecificity(double specificity, AtThresholdArgs args) {
  return make_metric_of<BestImpl<SensitivityNames>>({std::move(args), specificity});
}
Metric SpecificityAtSensitivity(double sensitivity, AtThresholdArgs args) {
  return make_metric_of<BestImpl<SpecificityNames>>({std::move(args), sensitivity});
}
Metric PrecisionAtRecall(double recall, AtThresholdArgs args) {
  return make_metric_of<BestImpl<PrecisionNames>>({std::move(args), recall});
}
Metric RecallAtPrecision(double precision, AtThresholdArgs args) {
  return make_metric_of<BestImpl<RecallNames>>({std::move(args), precision});
}

void add_curve_metrics(MetricRegistry& r) {
  r.add({"AUC", "auc"}, from_fields<AucImpl>);
  r.add({"SensitivityAtSpecificity", "sensitivity_at_specificity"}, from_fields<BestImpl<SensitivityNames>>);
  r.add({"SpecificityAtSensitivity", "specificity_at_sensitivity"}, from_fields<BestImpl<SpecificityNames>>);
  r.add({"PrecisionAtRecall", "precision_at_recall"}, from_fields<BestImpl<PrecisionNames>>);
  r.add({"RecallAtPrecision", "recall_at_precision"}, from_fields<BestImpl<RecallNames>>);
}

}  // namespace kiln::metrics
