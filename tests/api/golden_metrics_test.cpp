// Metrics against real Keras in float64 (tests/golden/README.md).
#include <gtest/gtest.h>
#include <kiln/kiln.h>

#include <cmath>

#include "api/model/backend.h"
#include "tests/api/data_kinds.h"
#include "tests/support/coverage.h"
#include "tests/support/golden.h"

namespace kiln::testing {
namespace {

using nlohmann::json;

Metric golden_metric(const json& class_name, const json& config) {
  return metrics::deserialize(Config::from_json(json{{"class_name", class_name}, {"config", config}}.dump()));
}

std::string case_name(const ::testing::TestParamInfo<json>& info) {
  return info.param.at("name");
}

// ---- by name, in a model ----------------------------------------------------------------------------------

class GoldenCompiledMetric : public ::testing::TestWithParam<json> {};

TEST_P(GoldenCompiledMetric, IsKerass) {
  const json& c = GetParam();
  static const Golden golden("metrics");
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
                                   golden_data(c.at("y_true"), name + "/y_true", shape), how);
  const double expected_loss = golden[name + "/loss"].to_vector<double>()[0];
  EXPECT_NEAR(logs["loss"], expected_loss, 2e-6 * expected_loss);
  EXPECT_NEAR(logs[c.at("key").get<std::string>()], golden[name + "/result"].to_vector<double>()[0], 1e-6);
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenCompiledMetric,
                         ::testing::ValuesIn(golden_index("metrics", "compiled")), case_name);

// ---- over three batches -----------------------------------------------------------------------------------

class GoldenMetric : public ::testing::TestWithParam<json> {};

TEST_P(GoldenMetric, IsKerass) {
  const json& c = GetParam();
  static const Golden golden("metrics");
  const std::string name = c.at("name");
  const Shape shape = to_shape(c.at("shape"));
  const auto batch = [&](int number) {
    const std::string suffix = std::to_string(number);
    std::vector<Tensor> inputs = {golden_data(c.at("y_true"), name + "/y_true" + suffix, shape),
                                  golden_data(c.at("y_pred"), name + "/y_pred" + suffix, shape)};
    if (!c.at("sample_weight").is_null())
      inputs.push_back(hash_uniform(name + "/sample_weight" + suffix, to_shape(c.at("sample_weight"))));
    return inputs;
  };

  const auto inputs = batch(0);
  const auto metric =
      golden_metric(c.at("metric"), c.at("config")).resolve(inputs[0].shape(), inputs[1].shape());
  std::vector<Tensor> state = metric->initial_state();
  graph::Graph graph(name);
  std::vector<graph::Value> x, accumulators;
  for (const Tensor& t : inputs) x.push_back(graph.input("x", {t.dtype(), t.shape()}));
  for (const Tensor& t : state) accumulators.push_back(graph.input("state", {t.dtype(), t.shape()}));
  const graph::Value weights = x.size() > 2 ? x[2] : graph::Value{};
  for (graph::Value next : metric->update(accumulators, x[0], x[1], weights)) graph.output("state", next);
  const auto step = internal::make_runnable(std::move(graph));

  for (int number = 0; number < 3; number++) {
    std::vector<Tensor> given = batch(number), next;
    given.insert(given.end(), state.begin(), state.end());
    for (const Tensor& t : state) next.emplace_back(t.shape(), t.dtype());
    std::vector<void*> from, to;
    for (Tensor& t : given) from.push_back(t.raw());
    for (Tensor& t : next) to.push_back(t.raw());
    step->run(from.data(), nullptr, to.data(), 0);
    state = next;
    const double expected = golden[name + "/result" + std::to_string(number)].to_vector<double>()[0];
    EXPECT_NEAR(metric->result(state), expected, 2e-6 * std::abs(expected) + 2e-7)
        << "after batch " << number;
  }
  covers("Metrics", c.at("metric"), "forward");
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenMetric, ::testing::ValuesIn(golden_index("metrics", "metrics")),
                         case_name);

// ---- configurations ---------------------------------------------------------------------------------------

/// The configuration is Keras's, but for what that forgets, and gives the same metric back.
TEST(GoldenMetricConfigs, AreKerass) {
  for (const json& c : golden_index("metrics", "configs")) {
    const Metric metric = golden_metric(c.at("class_name"), c.at("given"));
    const Config config = metric.get_config();
    Config expected = Config::from_json(c.at("config").dump());
    for (const json& key : c.at("forgotten")) {
      const std::string name = key;
      expected[name] = Config::from_json(c.at("given").at(name).dump());
    }
    EXPECT_EQ(config, expected) << c.at("class_name") << ": " << config.to_json() << "\n"
                                << expected.to_json();
    const Config whole = metrics::serialize(metric);
    EXPECT_EQ(whole.at("class_name"), Config(c.at("class_name").get<std::string>()));
    EXPECT_EQ(metrics::serialize(metrics::deserialize(Config::from_json(whole.to_json()))), whole);
    covers("Metrics", c.at("class_name"), "config");
  }
}

TEST(GoldenMetricConfigs, OfNames) {
  EXPECT_EQ(metrics::serialize("accuracy"), Config("accuracy"));
  EXPECT_TRUE(metrics::deserialize("acc").depends_on_shapes());
  EXPECT_EQ(Metric("AUC").name(), "AUC");
  EXPECT_EQ(metrics::AUC().name(), "auc");
  EXPECT_EQ(metrics::deserialize("mse").class_name(), "MeanSquaredError");
}

}  // namespace
}  // namespace kiln::testing
