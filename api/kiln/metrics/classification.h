#pragma once
#include <optional>
#include <string>
#include <vector>

#include "kiln/metrics.h"
#include "kiln/numbers.h"

/// Metrics that count: what was found and what was missed, curves over thresholds, overlaps of classes.
namespace kiln::metrics {

// ---- one threshold ----------------------------------------------------------------------------------------
// A prediction is positive if it is above the threshold (NaN isn't); a target is if it isn't 0. Every element
// counts, times its sample's weight.

struct ConfusionCountArgs {
  std::optional<Numbers> thresholds = {};  ///< 0.5 if there is none
  std::string name = "";
};
/// The weights of the positive or negative predictions that are right or wrong. All throw ValueError for a
/// threshold outside [0, 1], and for several: they would give one number each.
KILN_API Metric TruePositives(ConfusionCountArgs args = {});
KILN_API Metric TrueNegatives(ConfusionCountArgs args = {});
KILN_API Metric FalsePositives(ConfusionCountArgs args = {});
KILN_API Metric FalseNegatives(ConfusionCountArgs args = {});

struct PrecisionArgs {
  std::optional<Numbers> thresholds = {};  ///< 0.5 if there is none, and none for `top_k`
  std::optional<int> top_k = {};           ///< only a row's k largest predictions can be positive
  std::optional<int> class_id = {};        ///< only this element of the last axis counts
  std::string name = "";
};
using RecallArgs = PrecisionArgs;
/// Share of the positive predictions that are right; 0 if there are none. Throws as TruePositives does, and
/// unless top_k is positive and class_id isn't negative.
KILN_API Metric Precision(PrecisionArgs args = {});
/// Share of the positive targets that are found; 0 if there are none. Throws as Precision does.
KILN_API Metric Recall(RecallArgs args = {});

// ---- many thresholds --------------------------------------------------------------------------------------

struct AUCArgs {
  int num_thresholds = 200;
  std::string curve = "ROC";                       ///< or "PR", "PRGAIN"
  std::string summation_method = "interpolation";  ///< or "minoring", "majoring"
  std::string name = "";
  std::vector<double> thresholds = {};  ///< instead of num_thresholds even ones
  bool multi_label = false;             ///< the mean of the areas of each element of the last axis
  std::optional<int> num_labels = {};
  std::vector<double> label_weights = {};
  bool from_logits = false;
};
/// The area under a curve through points at thresholds from 0 to 1: of true over false positives (ROC), of
/// precision over recall (PR), or of their gains over chance (PRGAIN). Throws ValueError for fewer than two
/// thresholds, one outside [0, 1], an unknown curve or method, and num_labels without multi_label.
KILN_API Metric AUC(AUCArgs args = {});

struct AtThresholdArgs {
  int num_thresholds = 200;
  std::optional<int> class_id = {};
  std::string name = "";
};
/// The best value that any of the thresholds (even ones in [0, 1]) gives under the condition that the other
/// is at least what is asked for; 0 if none fulfils it. All throw ValueError for a condition outside [0, 1]
/// and unless num_thresholds is positive.
KILN_API Metric SensitivityAtSpecificity(double specificity, AtThresholdArgs args = {});
KILN_API Metric SpecificityAtSensitivity(double sensitivity, AtThresholdArgs args = {});
KILN_API Metric PrecisionAtRecall(double recall, AtThresholdArgs args = {});
KILN_API Metric RecallAtPrecision(double precision, AtThresholdArgs args = {});

// ---- F-score ----------------------------------------------------------------------------------------------

struct FBetaScoreArgs {
  std::optional<std::string> average = {};  ///< to be given: "micro", "macro" or "weighted"
  double beta = 1;
  std::optional<double> threshold = {};  ///< none: a row's largest prediction is the positive one
  std::string name = "";
};
/// (1 + beta^2) precision recall / (beta^2 precision + recall) for targets and predictions (batch, classes):
/// of all elements together ("micro"), or the mean of the classes' ("macro"), weighted with their numbers of
/// targets
/// ("weighted"). Keras's default for `average` is none, which gives one number for each class: here it is a
/// ValueError, as are another average, a beta that isn't positive, and a threshold outside (0, 1].
KILN_API Metric FBetaScore(FBetaScoreArgs args);
struct F1ScoreArgs {
  std::optional<std::string> average = {};  ///< to be given: "micro", "macro" or "weighted"
  std::optional<double> threshold = {};
  std::string name = "";
};
/// FBetaScore with beta = 1.
KILN_API Metric F1Score(F1ScoreArgs args);

// ---- intersection over union ------------------------------------------------------------------------------

struct IoUArgs {
  std::string name = "";
  std::optional<std::int64_t> ignore_class = {};  ///< targets of this class don't count
  bool sparse_y_true = true;                      ///< class numbers, not scores of classes
  bool sparse_y_pred = true;
  int axis = -1;  ///< that of the classes, where they aren't class numbers
};
/// Elements of both target and predicted class c over those of either, the mean over `target_class_ids`, of
/// which classes that occur in neither are left out. Numbers outside [0, num_classes) don't count. Weights
/// aren't rounded to whole numbers, as Keras does unless its dtype is a float. All throw ValueError unless
/// num_classes is positive and the ids are classes.
KILN_API Metric IoU(int num_classes, std::vector<int> target_class_ids, IoUArgs args = {});
/// IoU of all classes.
KILN_API Metric MeanIoU(int num_classes, IoUArgs args = {});

struct BinaryIoUArgs {
  std::vector<int> target_class_ids = {0, 1};
  double threshold = 0.5;
  std::string name = "";
};
/// IoU of two classes, predictions from the threshold on being 1.
KILN_API Metric BinaryIoU(BinaryIoUArgs args = {});

struct OneHotIoUArgs {
  std::string name = "";
  std::optional<std::int64_t> ignore_class = {};
  bool sparse_y_pred = false;
  int axis = -1;
};
/// IoU for one-hot targets.
KILN_API Metric OneHotIoU(int num_classes, std::vector<int> target_class_ids, OneHotIoUArgs args = {});
/// MeanIoU for one-hot targets.
KILN_API Metric OneHotMeanIoU(int num_classes, OneHotIoUArgs args = {});

}  // namespace kiln::metrics
