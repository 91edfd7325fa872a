// Wrong arguments of losses and metrics: what the message names, and how to mend it.
#include <cmath>
#include <limits>

#include "api/model/backend.h"
#include "api/training/loss_reduction.h"
#include "kiln/graph/gradient.h"
#include "tests/api/support.h"

namespace kiln {
namespace {

const Tensor& rows() {
  static const Tensor t = Tensor::full({4, 3}, 0.25);
  return t;
}

// ---- losses -----------------------------------------------------------------------------------------------

TEST(LossErrors, ArgumentsOutOfRange) {
  using namespace losses;
  EXPECT_ERROR(ValueError, "Huber: delta must be a positive number, but it is 0", Huber({.delta = 0}));
  EXPECT_ERROR(ValueError, "BinaryCrossentropy: label_smoothing must be in [0, 1], but it is -0.5",
               BinaryCrossentropy({.label_smoothing = -0.5}));
  EXPECT_ERROR(ValueError, "BinaryFocalCrossentropy: alpha must be in [0, 1], but it is -1",
               BinaryFocalCrossentropy({.alpha = -1}));
  EXPECT_ERROR(ValueError, "BinaryFocalCrossentropy: gamma must be finite and not negative, but it is -2",
               BinaryFocalCrossentropy({.gamma = -2}));
  EXPECT_ERROR(ValueError,
               "CategoricalFocalCrossentropy: alpha must be finite and not negative, but it is -0.1",
               CategoricalFocalCrossentropy({.alpha = {0.5, -0.1}}));
  EXPECT_ERROR(ValueError, "CategoricalFocalCrossentropy: label_smoothing",
               CategoricalFocalCrossentropy({.label_smoothing = 1.5}));
  EXPECT_ERROR(ValueError,
               "CategoricalGeneralizedCrossEntropy: q must be between 0 and 1, both excluded, but it is 1",
               CategoricalGeneralizedCrossEntropy({.q = 1}));
  EXPECT_ERROR(ValueError, "Tversky: alpha must be finite and not negative, but it is -1",
               Tversky({.alpha = -1}));
  EXPECT_ERROR(ValueError, "Tversky: beta", Tversky({.beta = -1}));
}

TEST(LossErrors, Reductions) {
  EXPECT_ERROR(ValueError, "loss \"dice\": reduction \"sun\" is not known. Did you mean \"sum\"?",
               losses::Dice({.reduction = "sun"}));
  const Loss unreduced = losses::Huber({.reduction = "none"});
  EXPECT_EQ(unreduced.unreduced(rows(), rows()).shape(), (Shape{4}));
  EXPECT_ERROR(ValueError, "loss \"huber_loss\" has the reduction \"none\"", unreduced(rows(), rows()));
  EXPECT_ERROR(ValueError, "call Loss::unreduced", unreduced(rows(), rows()));
  Sequential model = testing::line(1);
  EXPECT_ERROR(ValueError, "compile: loss \"huber_loss\" has the reduction \"none\"",
               model.compile({.loss = unreduced}));
}

TEST(LossErrors, ShapesAndAxes) {
  EXPECT_ERROR(ShapeError, "Dice: there is no axis 2 in an array of 2 axes; they go from -2 to 1",
               losses::Dice({.axis = 2})(rows(), rows()));
  EXPECT_ERROR(ShapeError, "alpha has 2 factors, but there are 3 classes",
               losses::CategoricalFocalCrossentropy({.alpha = {0.5, 0.5}})(rows(), rows()));
  EXPECT_ERROR(ShapeError, "CosineSimilarity", losses::CosineSimilarity({.axis = 5})(rows(), rows()));
  EXPECT_ERROR(ShapeError, "it must give each sample's loss", losses::Dice({.axis = 0})(rows(), rows()));
}

TEST(LossErrors, Configurations) {
  const auto huber = [](Config::Dict arguments) {
    return losses::deserialize(Config::Dict{{"class_name", "Huber"}, {"config", std::move(arguments)}});
  };
  EXPECT_ERROR(ValueError, "Huber: the argument \"detla\" is not known. Did you mean \"delta\"?",
               huber({{"detla", 2.0}}));
  EXPECT_ERROR(ValueError, "Huber: delta in its configuration", huber({{"delta", "large"}}));
  EXPECT_ERROR(ValueError, "Did you mean \"KLDivergence\"?", losses::deserialize("KLDivergense"));
  EXPECT_ERROR(
      StateError, "doesn't override `get_config`",
      losses::serialize(losses::make_loss("mine", [](graph::Value y, graph::Value p) { return y - p; })));
}

// Labels that are ignored may be any number, and what the model says about them any, too.
TEST(Losses, IgnoredLabelsLeaveNoTrace) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (bool from_logits : {false, true}) {
    const Loss loss =
        losses::SparseCategoricalCrossentropy({.from_logits = from_logits, .ignore_class = 255});
    const Tensor p({{0.5f, 0.25f, 0.25f}, {nan, nan, nan}}), first({{0.5f, 0.25f, 0.25f}});
    EXPECT_EQ(loss(Tensor({1, 255}), p), loss(Tensor({1}), first));
    EXPECT_EQ(loss(Tensor({std::uint8_t{1}, std::uint8_t{255}}), p), loss(Tensor({1}), first));
    EXPECT_EQ(loss(Tensor({255, 255}), p), 0);
    EXPECT_ERROR(ValueError, "label 3 in row 0", loss(Tensor({3, 255}), p));
  }
}

TEST(Losses, NanStaysNan) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor y({{1.f, 0.f}}), p({{0.5f, nan}});
  for (const char* name :
       {"mse", "mae", "mape", "msle", "log_cosh", "huber", "cosine_similarity", "kld", "poisson", "hinge",
        "squared_hinge", "categorical_hinge", "dice", "tversky", "bce", "binary_focal_crossentropy",
        "categorical_crossentropy", "categorical_focal_crossentropy"})
    EXPECT_TRUE(std::isnan(Loss(name)(y, p))) << name;
}

// Predictions at the ends of their range, equal to their targets, and all zeros: roots, powers, quotients and
// logarithms have infinite slopes there.
TEST(Losses, EdgesHaveFiniteGradients) {
  std::vector<Loss> all, of_probabilities = {"poisson", "binary_focal_crossentropy"};
  for (const char* name : {"mse", "mae", "mape", "msle", "log_cosh", "huber", "cosine_similarity", "p_norm",
                           "kld", "hinge", "squared_hinge", "categorical_hinge", "dice", "tversky", "bce"})
    all.emplace_back(name);
  for (double gamma : {0.0, 0.5, 1.0, 2.5}) {
    of_probabilities.push_back(losses::BinaryFocalCrossentropy({.gamma = gamma}));
    all.push_back(losses::BinaryFocalCrossentropy({.gamma = gamma, .from_logits = true}));
    all.push_back(losses::CategoricalFocalCrossentropy({.gamma = gamma, .from_logits = true}));
  }
  const Tensor y({{0.f, 1.f, 0.f, 1.f}, {1.f, 0.f, 0.f, 0.f}, {0.f, 0.f, 0.f, 0.f}});
  const Tensor scores({{0.f, 1.f, 1.f, 0.f}, {1.f, 0.f, 0.f, 0.f}, {0.f, 0.f, 0.f, 0.f}});
  const Tensor large = Tensor({{-1e4f, 1e4f, 1e4f, -1e4f}, {1e4f, 0.f, -1e4f, 0.f}, {0.f, 0.f, 0.f, 0.f}});
  const auto expect_finite = [&](const Loss& loss, const Tensor& p) {
    graph::Graph graph("edges");
    const graph::Value targets = graph.input("y", {DType::f32, y.shape()});
    const graph::Value predictions = graph.input("p", {DType::f32, p.shape()});
    const graph::Value value = internal::reduced_loss(loss.impl(), targets, predictions, {});
    graph.output("value", value);
    graph.output("gradient", graph::gradient(value, std::span(&predictions, 1))[0]);
    const std::vector<Tensor> inputs = {y, p};
    const std::vector<Tensor> got = internal::run_once(graph, inputs);
    EXPECT_TRUE(std::isfinite(got[0].item())) << loss.class_name() << " of " << p;
    for (float g : testing::floats(got[1])) EXPECT_TRUE(std::isfinite(g)) << loss.class_name() << " of " << p;
  };
  for (const Loss& loss : of_probabilities) expect_finite(loss, scores);
  for (const Loss& loss : all) expect_finite(loss, scores);
  for (const Loss& loss : all) expect_finite(loss, large);
  const Loss generalized = losses::CategoricalGeneralizedCrossEntropy();
  EXPECT_FLOAT_EQ(generalized(Tensor({0, 0, 0}), scores), 2.0 * 2 / 3);
}

TEST(Losses, CrossentropyByShapes) {
  const Tensor p({{0.5f, 0.25f, 0.25f}, {0.125f, 0.75f, 0.125f}}), one({{0.25f}, {0.75f}});
  EXPECT_EQ(Loss("crossentropy")(Tensor({0, 1}), p),
            losses::SparseCategoricalCrossentropy()(Tensor({0, 1}), p));
  EXPECT_EQ(Loss("ce")(p, p), losses::CategoricalCrossentropy()(p, p));
  EXPECT_EQ(Loss("ce")(one, one), losses::BinaryCrossentropy()(one, one));
}

// ---- metrics ----------------------------------------------------------------------------------------------

TEST(MetricErrors, Thresholds) {
  using namespace metrics;
  EXPECT_ERROR(ValueError, "TruePositives: thresholds must be in [0, 1], but 1.5 is given",
               TruePositives({.thresholds = 1.5}));
  EXPECT_ERROR(ValueError, "Precision: thresholds has 2 numbers", Precision({.thresholds = {{0.2, 0.5}}}));
  EXPECT_ERROR(ValueError, "give one threshold, and one metric for each",
               Recall({.thresholds = {{0.2, 0.5}}}));
  EXPECT_ERROR(ValueError, "AUC: thresholds must be in [0, 1], but -1 is given",
               AUC({.thresholds = {0.5, -1}}));
  EXPECT_ERROR(ValueError, "AUC: num_thresholds must be 2 or more, but it is 1", AUC({.num_thresholds = 1}));
  EXPECT_ERROR(ValueError, "SensitivityAtSpecificity: num_thresholds must be positive",
               SensitivityAtSpecificity(0.5, {.num_thresholds = 0}));
  EXPECT_ERROR(ValueError, "PrecisionAtRecall: recall must be in [0, 1], but 2 is given",
               PrecisionAtRecall(2));
  EXPECT_ERROR(ValueError, "FBetaScore: threshold must be above 0 and at most 1, but it is 0",
               FBetaScore({.average = "micro", .threshold = 0}));
}

TEST(MetricErrors, OtherArguments) {
  using namespace metrics;
  EXPECT_ERROR(ValueError, "Precision: top_k must be positive, not 0", Precision({.top_k = 0}));
  EXPECT_ERROR(ValueError, "Recall: class_id must not be negative", Recall({.class_id = -1}));
  EXPECT_ERROR(ValueError, "AUC: curve \"ROK\" is not known. Did you mean \"ROC\"?", AUC({.curve = "ROK"}));
  EXPECT_ERROR(ValueError, "AUC: summation_method", AUC({.summation_method = "exact"}));
  EXPECT_ERROR(ValueError, "num_labels is given, but multi_label is false", AUC({.num_labels = 3}));
  EXPECT_ERROR(ValueError, "TopKCategoricalAccuracy: k must be positive, not 0",
               TopKCategoricalAccuracy({.k = 0}));
  EXPECT_ERROR(ValueError, "F1Score: without an average", F1Score({}));
  EXPECT_ERROR(ValueError, "set average to \"micro\", \"macro\" or \"weighted\"", FBetaScore({}));
  EXPECT_ERROR(ValueError, "Did you mean \"macro\"?", F1Score({.average = "marco"}));
  EXPECT_ERROR(ValueError, "beta must be positive, but it is 0", FBetaScore({.average = "micro", .beta = 0}));
  EXPECT_ERROR(ValueError, "set class_aggregation to", R2Score({.class_aggregation = std::nullopt}));
  EXPECT_ERROR(ValueError, "R2Score: num_regressors must not be negative", R2Score({.num_regressors = -1}));
  EXPECT_ERROR(ValueError, "IoU: num_classes must be positive, but it is 0", IoU(0, {0}));
  EXPECT_ERROR(ValueError, "OneHotIoU: target_class_ids has 3, but the classes are 0 to 2",
               OneHotIoU(3, {3}));
  EXPECT_ERROR(ValueError, "IoU: target_class_ids is empty", IoU(2, {}));
  EXPECT_ERROR(ValueError, "MeanIoU: its configuration lacks \"num_classes\"", Metric("MeanIoU"));
  EXPECT_ERROR(ValueError, "BinaryCrossentropy: label_smoothing", BinaryCrossentropy({.label_smoothing = 2}));
}

TEST(MetricErrors, Shapes) {
  using namespace metrics;
  EXPECT_ERROR(ShapeError, "F1Score: targets and predictions must have the shape (batch, classes)",
               F1Score({.average = "micro"})(Tensor({0, 1}), Tensor({{0.5f, 0.5f}, {0.5f, 0.5f}})));
  EXPECT_ERROR(ShapeError, "R2Score: the predictions must have the shape (batch, columns)",
               R2Score()(Tensor::zeros({2, 3, 4}), Tensor::zeros({2, 3, 4})));
  EXPECT_ERROR(ShapeError, "class_id is 3", Precision({.class_id = 3})(rows(), rows()));
  EXPECT_ERROR(ShapeError, "top_k is 4", Precision({.top_k = 4})(rows(), rows()));
  EXPECT_ERROR(ShapeError, "label_weights has 2 numbers", AUC({.label_weights = {1, 2}})(rows(), rows()));
  EXPECT_ERROR(ShapeError, "AUC: num_labels is 2",
               AUC({.multi_label = true, .num_labels = 2})(rows(), rows()));
  EXPECT_ERROR(ShapeError, "sparse_y_true and sparse_y_pred say", MeanIoU(3)(Tensor({0, 1, 2, 0}), rows()));
}

TEST(MetricErrors, Names) {
  EXPECT_ERROR(ValueError, "Did you mean \"precision\"?", Metric("precison"));
  EXPECT_ERROR(
      StateError, "doesn't override `get_config`",
      metrics::serialize(metrics::make_metric("mine", [](graph::Value y, graph::Value) { return y; })));
}

// What Keras makes NaN.
TEST(Metrics, ConstantsHaveResults) {
  const Tensor constant = Tensor::full({4, 3}, 0.1), ramp({{1.f, 2.f, 3.f}});
  EXPECT_EQ(metrics::PearsonCorrelation()(constant, constant), 0);
  EXPECT_NEAR(metrics::PearsonCorrelation()(ramp, ramp), 1, 1e-6);
  EXPECT_EQ(metrics::R2Score()(constant, constant), 1);
  EXPECT_EQ(metrics::AUC()(constant, constant), 0);
}

TEST(Metrics, OfAModelThatTrains) {
  Sequential model({Input({3}), layers::Dense(3, {.activation = "sigmoid"})});
  model.compile({.optimizer = "sgd",
                 .loss = "binary_crossentropy",
                 .metrics = {metrics::F1Score({.average = "macro"}), metrics::AUC({.multi_label = true}),
                             metrics::AUC({.multi_label = true}), metrics::R2Score(), metrics::BinaryIoU()}});
  const History history =
      model.fit(rows(), Tensor::full({4, 3}, 1), {.batch_size = 2, .epochs = 2, .verbose = 0});
  for (const char* name : {"f1_score", "auc", "auc_1", "r2_score", "binary_io_u"})
    EXPECT_EQ(history[name].size(), 2u) << name;
}

}  // namespace
}  // namespace kiln
