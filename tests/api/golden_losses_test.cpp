// Losses, metrics and initializers against real Keras in float64 (tests/golden/README.md).
#include <gtest/gtest.h>
#include <kiln/kiln.h>

#include <algorithm>
#include <cmath>

#include "api/model/backend.h"
#include "api/training/loss_reduction.h"
#include "kiln/graph/gradient.h"
#include "tests/support/golden.h"
#include "tests/support/hash_data.h"

namespace kiln::testing {
namespace {

using nlohmann::json;

std::string case_name(const ::testing::TestParamInfo<json>& info) { return info.param.at("name"); }

// ---- data -----------------------------------------------------------------------------------------------------

Shape without_last(const Shape& shape) { return shape.slice(0, shape.rank() - 1); }

Tensor one_hot(const Tensor& labels, std::int64_t classes) {
  Shape shape = labels.shape();
  shape.push_back(classes);
  Tensor t(shape);
  for (std::int64_t i = 0; i < labels.size(); i++)
    t.data<float>()[i * classes + labels.data<std::int32_t>()[i]] = 1;
  return t;
}

Tensor distribution(const std::string& tag, const Shape& shape) {
  const HashSequence u(tag);
  const std::int64_t n = shape.back();
  Tensor t(shape);
  for (std::int64_t row = 0; row < t.size() / n; row++) {
    double sum = 0;
    for (std::int64_t j = 0; j < n; j++) sum += u[row * n + j];
    for (std::int64_t j = 0; j < n; j++) t.data<float>()[row * n + j] = static_cast<float>(u[row * n + j] / sum);
  }
  return t;
}

Tensor targets(const std::string& kind, const std::string& tag, const Shape& shape) {
  const int classes = static_cast<int>(shape.back());
  if (kind == "signed") return hash_signed(tag, shape);
  if (kind == "binary") return hash_labels(tag, shape, 2, DType::f32);
  if (kind == "one_hot") return one_hot(hash_labels(tag, without_last(shape), classes), classes);
  if (kind == "distribution") return distribution(tag, shape);
  if (kind == "labels") return hash_labels(tag, without_last(shape), classes);
  throw ValueError("tests/golden/layers.json has targets that this test doesn't know: " + kind);
}

Tensor predictions(const std::string& kind, const std::string& tag, const Shape& shape) {
  if (kind == "signed") return hash_signed(tag, shape);
  if (kind == "logits") return hash_signed(tag, shape, 6);
  if (kind == "large_logits") return hash_signed(tag, shape, 100);
  if (kind == "probabilities") return hash_tensor(tag, shape, DType::f32, [](double u) { return 0.02 + 0.96 * u; });
  if (kind == "distribution") return distribution(tag, shape);
  throw ValueError("tests/golden/layers.json has predictions that this test doesn't know: " + kind);
}

// ---- losses ---------------------------------------------------------------------------------------------------

Loss make_golden_loss(const std::string& kind, const json& c) {
  const std::string reduction = c.value("reduction", "sum_over_batch_size");
  const bool from_logits = c.value("from_logits", false);
  const double smoothing = c.value("label_smoothing", 0.0);
  if (kind == "MeanSquaredError") return losses::MeanSquaredError({.reduction = reduction});
  if (kind == "MeanAbsoluteError") return losses::MeanAbsoluteError({.reduction = reduction});
  if (kind == "BinaryCrossentropy")
    return losses::BinaryCrossentropy(
        {.from_logits = from_logits, .label_smoothing = smoothing, .reduction = reduction});
  if (kind == "CategoricalCrossentropy")
    return losses::CategoricalCrossentropy(
        {.from_logits = from_logits, .label_smoothing = smoothing, .reduction = reduction});
  if (kind == "SparseCategoricalCrossentropy")
    return losses::SparseCategoricalCrossentropy({.from_logits = from_logits, .reduction = reduction});
  throw ValueError("tests/golden/layers.json has a loss that this test doesn't know: " + kind);
}

class GoldenLoss : public ::testing::TestWithParam<json> {};

TEST_P(GoldenLoss, IsKerass) {
  const json& c = GetParam();
  const Golden golden("layers");
  const std::string name = c.at("name");
  const Shape shape = to_shape(c.at("shape"));
  const Loss loss = make_golden_loss(c.at("loss"), c.at("config"));
  std::vector<Tensor> inputs = {targets(c.at("y_true"), name + "/y_true", shape),
                                predictions(c.at("y_pred"), name + "/y_pred", shape)};
  Tensor weight;
  if (c.at("sample_weight")) {
    weight = hash_uniform(name + "/sample_weight", {shape[0]});
    inputs.push_back(weight);
  }
  const double expected = golden[name + "/value"].item();
  EXPECT_NEAR(loss(inputs[0], inputs[1], weight), expected, 2e-6 * std::abs(expected));

  graph::Graph graph(name);
  std::vector<graph::Value> values;
  for (const Tensor& t : inputs) values.push_back(graph.input("x", {t.dtype(), t.shape()}));
  const graph::Value reduced = internal::reduced_loss(loss.impl(), values[0], values[1],
                                                      weight.defined() ? values[2] : graph::Value{});
  graph.output("gradient", graph::gradient(reduced, std::span(&values[1], 1))[0]);
  const Tensor gradient = internal::run_once(graph, inputs)[0];
  const Tensor& expected_gradient = golden[name + "/y_pred/gradient"];
  EXPECT_LE(relative_error(gradient, expected_gradient), 5e-6)
      << "got " << gradient << "\n expected " << expected_gradient;
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenLoss, ::testing::ValuesIn(golden_index("layers", "losses")), case_name);

// ---- metrics --------------------------------------------------------------------------------------------------

class GoldenMetric : public ::testing::TestWithParam<json> {};

TEST_P(GoldenMetric, IsKerass) {
  const json& c = GetParam();
  const Golden golden("layers");
  const std::string name = c.at("name"), metric = c.at("metric"), loss = c.at("loss");
  const bool weighted = c.at("sample_weight");
  const Shape row = to_shape(c.at("shape")), shape = row.prepend(6);

  Sequential model({layers::Input(row), layers::Activation("linear")});
  CompileArgs args{.loss = loss};
  (weighted ? args.weighted_metrics : args.metrics) = {metric};
  model.compile(args);
  EvaluateArgs how{.batch_size = 2, .verbose = 0};
  if (weighted) how.sample_weight = hash_uniform(name + "/sample_weight", {6});
  const Logs logs = model.evaluate(hash_uniform(name + "/y_pred", shape),
                                   targets(c.at("y_true"), name + "/y_true", shape), how);
  EXPECT_NEAR(logs["loss"], golden[name + "/loss"].item(), 2e-6 * golden[name + "/loss"].item());
  EXPECT_NEAR(logs[c.at("key").get<std::string>()], golden[name + "/result"].item(), 1e-6);
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenMetric, ::testing::ValuesIn(golden_index("layers", "metrics")), case_name);

// ---- initializers ---------------------------------------------------------------------------------------------

Initializer make_golden_initializer(const std::string& kind, const json& c) {
  using namespace initializers;
  if (kind == "RandomNormal")
    return RandomNormal({.mean = c.value("mean", 0.0), .stddev = c.value("stddev", 0.05), .seed = 1});
  if (kind == "TruncatedNormal")
    return TruncatedNormal({.mean = c.value("mean", 0.0), .stddev = c.value("stddev", 0.05), .seed = 1});
  if (kind == "RandomUniform")
    return RandomUniform({.minval = c.value("minval", -0.05), .maxval = c.value("maxval", 0.05), .seed = 1});
  if (kind == "VarianceScaling")
    return VarianceScaling(
        {.scale = c.at("scale"), .mode = c.at("mode"), .distribution = c.at("distribution"), .seed = 1});
  if (kind == "GlorotUniform") return GlorotUniform({.seed = 1});
  if (kind == "GlorotNormal") return GlorotNormal({.seed = 1});
  if (kind == "HeUniform") return HeUniform({.seed = 1});
  if (kind == "HeNormal") return HeNormal({.seed = 1});
  if (kind == "LecunUniform") return LecunUniform({.seed = 1});
  if (kind == "LecunNormal") return LecunNormal({.seed = 1});
  throw ValueError("tests/golden/layers.json has an initializer that this test doesn't know: " + kind);
}

class GoldenInitializer : public ::testing::TestWithParam<json> {};

/// Mean, spread and range of a million values. The mean of n values wanders by stddev / sqrt(n), their standard
/// deviation by less than that; the ends of an unbounded distribution's range wander more.
TEST_P(GoldenInitializer, HasKerassStatistics) {
  const json& c = GetParam();
  const Golden golden("layers");
  const Tensor& expected = golden[c.at("name")];
  const Tensor t = make_golden_initializer(c.at("initializer"), c.at("config"))(to_shape(c.at("shape")));
  const std::vector<double> values = t.to_vector<double>();
  const double n = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (double v : values) sum += v;
  for (double v : values) squares += (v - sum / n) * (v - sum / n);
  const double stddev = expected(1), wander = stddev / std::sqrt(n);
  const auto [least, largest] = std::minmax_element(values.begin(), values.end());
  EXPECT_NEAR(sum / n, expected(0), 6 * wander);
  EXPECT_NEAR(std::sqrt(squares / n), stddev, 6 * wander);
  const std::string text = c.dump();
  const bool unbounded = text.find("RandomNormal") != std::string::npos || text.find("untruncated") != std::string::npos;
  EXPECT_NEAR(*least, expected(2), (unbounded ? 1 : 0.001) * stddev);
  EXPECT_NEAR(*largest, expected(3), (unbounded ? 1 : 0.001) * stddev);
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenInitializer, ::testing::ValuesIn(golden_index("layers", "initializers")),
                         [](const auto& info) {
                           return info.param.at("name").template get<std::string>() + "_" +
                                  info.param.at("initializer").template get<std::string>();
                         });

}  // namespace
}  // namespace kiln::testing
