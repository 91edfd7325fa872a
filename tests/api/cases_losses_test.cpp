// Faults that other projects had, each as a test of its kind: what losses and metrics make of shapes, types,
// weights and short batches.
#include <cmath>

#include "tests/api/cases_support.h"

namespace kiln {
namespace {

using namespace layers;
using testing::Elementwise;
using testing::floats;
using testing::line;
using testing::ramp;

// ---- case 7: averages over a short last batch -------------------------------------------------------------

TEST(Case7, AveragesDoNotDependOnTheBatchSize) {
  Sequential model = line(1);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}),
                 .loss = "mse",
                 .metrics = {"mse"},
                 .weighted_metrics = {"mse"}});
  const Tensor x({1.f, 2.f, 3.f, 4.f, 10.f});
  const Tensor y = Tensor::zeros({5});
  const Tensor weight({1.f, 0.f, 2.f, 0.5f, 3.f});
  for (std::int64_t batch_size = 1; batch_size <= 6; batch_size++) {
    const Logs logs = model.evaluate(x, y, {.batch_size = batch_size, .verbose = 0});
    EXPECT_FLOAT_EQ(logs["loss"], 26);
    EXPECT_FLOAT_EQ(logs["mse"], 26);
    const History history =
        model.fit(x, y, {.batch_size = batch_size, .verbose = 0, .validation_data = {x, y}});
    for (const char* name : {"loss", "mse", "val_loss", "val_mse"})
      EXPECT_FLOAT_EQ(history[name][0], 26) << name;
    // (1 + 0 * 4 + 2 * 9 + 16 / 2 + 3 * 100) over 5 samples, or over weights of 6.5.
    const History weighted = model.fit(
        x, y,
        {.batch_size = batch_size, .verbose = 0, .validation_data = {x, y, weight}, .sample_weight = weight});
    for (const char* part : {"", "val_"}) {
      const std::string prefix = part;
      EXPECT_NEAR(weighted[prefix + "loss"][0], 65.4, 1e-4);
      EXPECT_NEAR(weighted[prefix + "mse"][0], 26, 1e-4);
      EXPECT_NEAR(weighted[prefix + "weighted_mse"][0], 327 / 6.5, 1e-4);
    }
  }
}

TEST(Case7, UntrainedSoftmaxCostsTheLogarithmOfItsClasses) {
  Sequential model({Input({4}), Dense(10, {.activation = "softmax", .kernel_initializer = "zeros"})});
  model.compile({.loss = "sparse_categorical_crossentropy"});
  const Tensor x(ramp(80), {20, 4});
  std::vector<std::int32_t> labels;
  for (int i = 0; i < 20; i++) labels.push_back(i % 10);
  for (std::int64_t batch_size : {1, 3, 8, 20})
    EXPECT_NEAR(model.evaluate(x, labels, {.batch_size = batch_size, .verbose = 0})["loss"], 2.3025851, 3e-6);
}

/// One output of a model, with its loss and its metric.
struct Task {
  const char* name;
  const char* activation;
  Loss loss;
  Metric metric;
  Tensor y;
};

std::vector<Task> every_loss_and_metric(std::int64_t rows) {
  std::vector<float> values, bits, hot;
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < rows; i++) {
    labels.push_back(static_cast<std::int32_t>(i * i % 3));
    for (std::int64_t j = 0; j < 3; j++) {
      values.push_back(static_cast<float>((i * 5 + j * 3) % 7) / 2 - 1);
      bits.push_back(static_cast<float>((i + j) % 2));
      hot.push_back(labels.back() == j ? 1.f : 0.f);
    }
  }
  const Tensor y(values, {rows, 3}), binary(bits, {rows, 3}), one_hot(hot, {rows, 3}), classes(labels);
  namespace l = losses;
  return {{"mse", "linear", "mse", "mse", y},
          {"mae", "linear", "mae", "mae", y},
          {"p1", "linear", l::PNorm(1), "mse", y},
          {"p2", "linear", l::PNorm(2), "mae", y},
          {"pmax", "linear", l::PNorm(l::infinity), "mse", y},
          {"binary", "sigmoid", "binary_crossentropy", "binary_accuracy", binary},
          {"binary_logits", "linear", l::BinaryCrossentropy({.from_logits = true, .label_smoothing = 0.1}),
           metrics::BinaryAccuracy({.threshold = 0}), binary},
          {"categorical", "softmax", "categorical_crossentropy", "categorical_accuracy", one_hot},
          {"categorical_logits", "linear", l::CategoricalCrossentropy({.from_logits = true}),
           metrics::CategoricalAccuracy(), one_hot},
          {"sparse", "softmax", "sparse_categorical_crossentropy", "sparse_categorical_accuracy", classes},
          {"sparse_logits", "linear", l::SparseCategoricalCrossentropy({.from_logits = true}), "accuracy",
           classes},
          {"sparse_entropy", "softmax", "sparse_categorical_crossentropy", "crossentropy", classes},
          {"entropy", "softmax", "categorical_crossentropy", "categorical_crossentropy", one_hot},
          {"binary_entropy", "sigmoid", "binary_crossentropy", "binary_crossentropy", binary}};
}

// Whatever is averaged has one value: that of all rows at once.
TEST(Case7, NoLossOrMetricDependsOnTheBatchSize) {
  constexpr std::int64_t rows = 7;
  std::vector<float> values;
  for (std::int64_t i = 0; i < rows * 3; i++) values.push_back(static_cast<float>(i * 11 % 13) / 4 - 1.5f);
  const Tensor x(values, {rows, 3});
  const Tensor weight({1.f, 0.f, 2.f, 0.5f, 3.f, 0.25f, 7.f});
  const std::vector<Task> tasks = every_loss_and_metric(rows);
  const auto input = Input({3});
  const auto weighed = make_layer<Elementwise>()(input);
  std::vector<SymbolicTensor> outputs;
  std::vector<Loss> losses;
  std::vector<Metric> metrics;
  std::vector<Tensor> targets;
  for (const Task& t : tasks) {
    outputs.push_back(Activation(t.activation, {.name = t.name})(weighed));
    losses.push_back(t.loss);
    metrics.push_back(t.metric);
    targets.push_back(t.y);
  }
  Model model({.inputs = {input}, .outputs = outputs});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}),
                 .loss = losses,
                 .metrics = metrics,
                 .weighted_metrics = metrics});
  const std::vector<Tensor> p = model.predict_all(x, {.verbose = 0});
  for (const Tensor& w : {Tensor(), weight}) {
    std::map<std::string, double> expected;
    double total = 0;
    for (std::size_t i = 0; i < tasks.size(); i++) {
      const std::string name = tasks[i].name;
      total += expected[name + "_loss"] = tasks[i].loss(tasks[i].y, p[i], w);
      expected[name + "_" + tasks[i].metric.name()] = tasks[i].metric(tasks[i].y, p[i]);
      expected["weighted_" + name + "_" + tasks[i].metric.name()] = tasks[i].metric(tasks[i].y, p[i], w);
    }
    expected["loss"] = total;
    for (std::int64_t batch_size : {1, 2, 3, 8}) {
      const Logs logs =
          model.evaluate(x, targets, {.batch_size = batch_size, .verbose = 0, .sample_weight = w});
      const History history = model.fit(
          x, targets,
          {.batch_size = batch_size, .verbose = 0, .validation_data = {x, targets, w}, .sample_weight = w});
      for (const auto& [name, value] : expected) {
        const double bound = 1e-5 * (1 + std::abs(value));
        EXPECT_NEAR(logs[name], value, bound) << name << ", batches of " << batch_size;
        EXPECT_NEAR(history[name][0], value, bound) << name << ", batches of " << batch_size;
        EXPECT_NEAR(history["val_" + name][0], value, bound) << name << ", batches of " << batch_size;
      }
    }
  }
}

// ---- case 9: nothing is broadcast in a loss ---------------------------------------------------------------

/// Anything that compares targets with predictions.
struct Comparison {
  const char* name;
  std::function<double(const Tensor& y, const Tensor& p, const Tensor& weight)> of;
};

std::vector<Comparison> elementwise_comparisons() {
  std::vector<Comparison> all;
  for (const char* name : {"mse", "mae", "binary_crossentropy"}) {
    all.push_back({name, Loss(name)});
    all.push_back({name, Metric(name)});
  }
  all.push_back({"binary_accuracy", metrics::BinaryAccuracy()});
  all.push_back({"logits", losses::BinaryCrossentropy({.from_logits = true})});
  for (double p : {1.0, 2.0, losses::infinity}) all.push_back({"norm", losses::PNorm(p)});
  return all;
}

/// Numbers in [0, 1], other ones for targets and predictions.
Tensor numbers(const Shape& shape, std::int64_t factor) {
  std::vector<float> v;
  for (std::int64_t i = 0; i < shape.elements(); i++) v.push_back(static_cast<float>(i * factor % 5) / 4);
  return Tensor(v, shape);
}

TEST(Case9, TargetsWithoutTheirLastAxisMeetTheirOwnPredictions) {
  const Tensor y({1.f, 2.f, 3.f});
  const Tensor p({{1.f}, {2.f}, {3.f}});
  for (const char* name : {"mse", "mae"}) {
    EXPECT_EQ(Loss(name)(y, p), 0);
    EXPECT_EQ(Metric(name)(y, p), 0);
    EXPECT_EQ(Loss(name)(p, y), 0);
  }
  for (const Comparison& compare : elementwise_comparisons())
    for (const auto& [targets, predictions] : {std::pair<Shape, Shape>{{3}, {3, 1}},
                                               {{3, 1}, {3}},
                                               {{1}, {1, 1}},
                                               {{2, 3}, {2, 3, 1}},
                                               {{2, 3, 1}, {2, 3}}}) {
      const Tensor t = numbers(targets, 2), q = numbers(predictions, 3);
      EXPECT_EQ(compare.of(t, q, {}), compare.of(t.reshape(predictions), q, {})) << compare.name;
    }
}

TEST(Case9, OtherShapesAreAnErrorThatNamesBoth) {
  const auto refuses = [](const Comparison& compare, const Shape& targets, const Shape& predictions) {
    SCOPED_TRACE(compare.name);
    const Tensor y = Tensor::zeros(targets), p = Tensor::full(predictions, 0.5);
    EXPECT_ERROR(ShapeError, targets.to_string(), compare.of(y, p, {}));
    EXPECT_ERROR(ShapeError, predictions.to_string(), compare.of(y, p, {}));
  };
  for (const Comparison& compare : elementwise_comparisons())
    for (const auto& [targets, predictions] : {std::pair<Shape, Shape>{{3, 2}, {3, 1}},
                                               {{3, 1}, {3, 2}},
                                               {{3}, {1, 3}},
                                               {{1}, {1, 3}},
                                               {{1}, {3}},
                                               {{2}, {3}},
                                               {{3, 1}, {1, 3}},
                                               {{3}, {3, 3}},
                                               {{3, 1, 1}, {3}},
                                               {{2, 1, 3}, {2, 3, 3}}})
      refuses(compare, targets, predictions);
  for (const Comparison& compare : {Comparison{"loss", losses::CategoricalCrossentropy()},
                                    {"logits", losses::CategoricalCrossentropy({.from_logits = true})},
                                    {"metric", metrics::CategoricalCrossentropy()},
                                    {"accuracy", metrics::CategoricalAccuracy()}})
    for (const Shape& targets : {Shape{3, 1}, Shape{3}, Shape{1, 3}, Shape{3, 2}, Shape{3, 3, 1, 1}})
      refuses(compare, targets, {3, 3});
  for (const Comparison& compare : {Comparison{"loss", losses::SparseCategoricalCrossentropy()},
                                    {"logits", losses::SparseCategoricalCrossentropy({.from_logits = true})},
                                    {"metric", metrics::SparseCategoricalCrossentropy()},
                                    {"accuracy", metrics::SparseCategoricalAccuracy()}})
    for (const Shape& targets : {Shape{3, 2}, Shape{4}, Shape{1}, Shape{3, 4}, Shape{1, 3}, Shape{3, 1, 1}})
      refuses(compare, targets, {3, 4});
}

TEST(Case9, NeitherAreWeights) {
  const Tensor y = numbers({3, 1}, 2), p = numbers({3, 1}, 3);
  for (const Comparison& compare : elementwise_comparisons()) {
    SCOPED_TRACE(compare.name);
    const Tensor w({1.f, 2.f, 4.f});
    EXPECT_EQ(compare.of(y, p, w), compare.of(y, p, w.reshape({3, 1})));
    for (const Shape& shape : {Shape{1}, Shape{2}, Shape{1, 3}, Shape{3, 3}, Shape{3, 1, 1}})
      EXPECT_ERROR(ShapeError, shape.to_string(), compare.of(y, p, Tensor::full(shape, 1)));
  }
}

TEST(Case9, EveryWayIntoAModelRefuses) {
  const Tensor x({{1.f}, {2.f}, {3.f}}), y = x, wrong = Tensor::zeros({3, 2});
  Sequential model = line(1);
  model.compile({.optimizer = "sgd", .loss = "mse", .metrics = {"mae"}});
  for (const char* text : {"(3, 2)", "(3, 1)"}) {
    EXPECT_ERROR(ShapeError, text, model.fit(x, wrong, {.verbose = 0}));
    EXPECT_ERROR(ShapeError, text, model.evaluate(x, wrong, {.verbose = 0}));
    EXPECT_ERROR(ShapeError, text, model.train_on_batch(x, wrong));
    EXPECT_ERROR(ShapeError, text, model.test_on_batch(x, wrong));
  }
  EXPECT_EQ(model.get_weights()[0].item(), 1);
  EXPECT_ERROR(ShapeError, "(3, 2)", model.fit(x, y, {.verbose = 0, .validation_data = {x, wrong}}));
}

// ---- whole numbers ----------------------------------------------------------------------------------------

// Values of whole numbers have fractions, and differences of bytes may be negative.
TEST(WholeNumbers, LossesAndMetricsComputeThemAsFloats) {
  const Tensor y(std::vector<std::int32_t>{0, 1, 0, 0}, {2, 2}),
      p(std::vector<std::int32_t>{1, 1, 0, 3}, {2, 2});
  for (DType dtype : {DType::u8, DType::i32, DType::i64, DType::f32, DType::f64}) {
    EXPECT_EQ(metrics::MeanSquaredError()(y.astype(dtype), p.astype(dtype)), 2.5);
    EXPECT_EQ(losses::MeanSquaredError()(y.astype(dtype), p.astype(dtype)), 2.5);
    EXPECT_EQ(metrics::MeanAbsoluteError()(y.astype(dtype), p.astype(dtype)), 1);
    EXPECT_EQ(metrics::MeanAbsoluteError()(Tensor({{0.5f, 1.f}, {0.f, 0.f}}), p.astype(dtype)), 0.875);
    EXPECT_EQ(metrics::BinaryAccuracy({.threshold = 1.5})(y.astype(dtype), p.astype(dtype)), 0.5);
    EXPECT_EQ(metrics::BinaryAccuracy()(y.astype(dtype), p.astype(dtype)), 0.5);
    EXPECT_EQ(metrics::make_metric("half", [](graph::Value, graph::Value v) { return v * 0.5; })(
                  y, p.astype(dtype)),
              0.625);
  }
  const Tensor bits = y.astype(DType::bool_);
  for (const Comparison& compare : elementwise_comparisons())
    EXPECT_EQ(compare.of(bits, bits, {}), compare.of(y.astype(DType::f32), y.astype(DType::f32), {}))
        << compare.name;
}

}  // namespace
}  // namespace kiln
