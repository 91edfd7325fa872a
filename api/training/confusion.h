#pragma once
#include <optional>
#include <vector>

#include "api/training/metric_functions.h"

/// What metrics that compare predictions with thresholds have in common.
namespace kiln::metrics {

/// A batch for comparison with thresholds: y true or false, of p's shape and so are the weights, f64.
struct Confusable {
  graph::Value is_true, y_pred, weights;
};
/// `class_id`: the only element of the last axis that counts.
Confusable confusable(const std::string& metric, graph::Value y_true, graph::Value y_pred,
                      graph::Value weights, const std::optional<int>& class_id);

/// All true and false positives and negatives at one threshold.
struct Confusion {
  double true_positives = 0, false_positives = 0, true_negatives = 0, false_negatives = 0;

  double recall() const { return quotient(true_positives, true_positives + false_negatives); }
  double precision() const { return quotient(true_positives, true_positives + false_positives); }
  double specificity() const { return quotient(true_negatives, true_negatives + false_positives); }
};

/// Counts at many thresholds from two histograms: the weights of the true and of the false targets by the
/// number of thresholds that lie below the prediction.
class ThresholdCounts {
 public:
  /// `count` even ones from 0 to 1. `open`: all predictions are above the first and none above the last.
  ThresholdCounts(int count, bool open);
  /// These, ascending.
  explicit ThresholdCounts(std::vector<double> thresholds)
      : count_(static_cast<std::int64_t>(thresholds.size())), list_(std::move(thresholds)) {}

  /// For each of `labels` elements of the last axis, or, if it is 1, for all elements together.
  std::vector<Tensor> initial_state(std::int64_t labels) const;
  std::vector<graph::Value> update(std::span<const graph::Value> state, const Confusable& batch,
                                   std::int64_t labels) const;
  /// At each threshold, for one label.
  std::vector<Confusion> result(std::span<const Tensor> state, std::int64_t labels, std::int64_t label) const;

 private:
  /// i32: how many thresholds are below each prediction.
  graph::Value below(graph::Value y_pred) const;

  std::int64_t count_;
  bool open_ = false;
  std::vector<double> list_;  ///< empty: even ones
};

/// Throws ValueError unless the number is in [0, 1].
void check_threshold(const char* metric, const char* argument, double value);
void check_class_id(const char* metric, const std::optional<int>& class_id);

}  // namespace kiln::metrics
