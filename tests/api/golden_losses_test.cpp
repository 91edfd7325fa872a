// Losses against real Keras in float64 (tests/golden/README.md).
#include <gtest/gtest.h>
#include <kiln/kiln.h>

#include <cmath>

#include "api/model/backend.h"
#include "api/training/loss_reduction.h"
#include "kiln/graph/gradient.h"
#include "tests/api/data_kinds.h"
#include "tests/support/coverage.h"
#include "tests/support/golden.h"

namespace kiln::testing {
namespace {

using nlohmann::json;

Loss golden_loss(const json& class_name, const json& config) {
  return losses::deserialize(Config::from_json(json{{"class_name", class_name}, {"config", config}}.dump()));
}

class GoldenLoss : public ::testing::TestWithParam<json> {};

TEST_P(GoldenLoss, IsKerass) {
  const json& c = GetParam();
  static const Golden golden("losses");
  const std::string name = c.at("name");
  const Shape shape = to_shape(c.at("shape"));
  const Loss loss = golden_loss(c.at("loss"), c.at("config"));
  std::vector<Tensor> inputs = {golden_data(c.at("y_true"), name + "/y_true", shape),
                                golden_data(c.at("y_pred"), name + "/y_pred", shape)};
  if (!c.at("sample_weight").is_null())
    inputs.push_back(hash_uniform(name + "/sample_weight", to_shape(c.at("sample_weight"))));

  graph::Graph graph(name);
  std::vector<graph::Value> x;
  for (const Tensor& t : inputs) x.push_back(graph.input("x", {t.dtype(), t.shape()}));
  const graph::Value weights = x.size() > 2 ? x[2] : graph::Value{};
  const bool reduces = loss.impl().reduction() != "none";
  const graph::Value value = reduces ? internal::reduced_loss(loss.impl(), x[0], x[1], weights)
                                     : internal::unreduced_loss(loss.impl(), x[0], x[1], weights);
  graph.output("value", value);
  const graph::Value sum = graph::reduce_sum(value);
  graph.output("gradient", graph::gradient(sum, std::span(&x[1], 1))[0]);
  const std::vector<Tensor> got = internal::run_once(graph, inputs);

  // Where Keras has zeros, rounding may leave a rest of numbers near 1.
  const auto expect_equal = [](const Tensor& got, const Tensor& want, double bound, const char* what) {
    double largest = 0;
    for (double w : want.to_vector<double>()) largest = std::max(largest, std::abs(w));
    if (largest < 1e-30) {
      for (double g : got.to_vector<double>()) EXPECT_LE(std::abs(g), 1e-7) << what;
    } else {
      EXPECT_LE(relative_error(got, want), bound) << what << ": got " << got << "\n expected " << want;
    }
  };
  // The file has no scalars, but arrays of one element.
  expect_equal(got[0], golden[name + "/value"].reshape(got[0].shape()), 2e-6, "value");
  expect_equal(got[1], golden[name + "/y_pred/gradient"], 5e-6, "gradient");
  covers("Losses", c.at("loss"), "forward gradient");
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenLoss, ::testing::ValuesIn(golden_index("losses", "losses")),
                         [](const auto& info) { return info.param.at("name").template get<std::string>(); });

/// The configuration is Keras's, but for what that forgets, and gives the same loss back.
TEST(GoldenLossConfigs, AreKerass) {
  for (const json& c : golden_index("losses", "configs")) {
    const Loss loss = golden_loss(c.at("class_name"), c.at("given"));
    const Config config = loss.get_config();
    Config expected = Config::from_json(c.at("config").dump());
    for (const json& key : c.at("forgotten")) {
      const std::string name = key;
      expected[name] = Config::from_json(c.at("given").at(name).dump());
    }
    EXPECT_EQ(config, expected) << c.at("class_name") << ": " << config.to_json() << "\n"
                                << expected.to_json();
    const Config whole = losses::serialize(loss);
    EXPECT_EQ(whole.at("class_name"), Config(c.at("class_name").get<std::string>()));
    EXPECT_EQ(losses::serialize(losses::deserialize(Config::from_json(whole.to_json()))), whole);
    covers("Losses", c.at("class_name"), "config");
  }
}

TEST(GoldenLossConfigs, OfOnesOwn) {
  EXPECT_EQ(losses::serialize(losses::PNorm(2)).to_json(),
            losses::serialize(losses::deserialize(losses::serialize(losses::PNorm(2)))).to_json());
  const Config largest = losses::serialize(losses::PNorm(losses::infinity));
  EXPECT_EQ(losses::serialize(losses::deserialize(Config::from_json(largest.to_json()))), largest);
  EXPECT_EQ(losses::deserialize("huber").impl().name(), "huber_loss");
  EXPECT_EQ(golden_loss("Huber", {{"reduction", nullptr}}).impl().reduction(), "none");
  EXPECT_EQ(losses::deserialize(losses::serialize(Loss("ce"))).impl().name(), "ce");
}

}  // namespace
}  // namespace kiln::testing
