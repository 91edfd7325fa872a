// Fifty steps of each optimizer, with each of its options, are those of real Keras in float64: weights and
// slots after 1, 10 and 50 steps. The optimizers are made from Keras's configurations, which must come back
// as they were. And the values of each learning-rate schedule.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <kiln/kiln.h>

#include <algorithm>
#include <cmath>

#include "tests/support/coverage.h"
#include "tests/support/golden.h"
#include "tests/support/hash_data.h"

namespace kiln::testing {
namespace {

using namespace kiln::layers;
using nlohmann::json;

const Golden& golden() {
  static const Golden golden("optimizers");
  return golden;
}

Sequential network() {
  Sequential model({Input({3}), Dense(4, {.activation = "sigmoid", .dtype = DType::f64, .name = "a"}),
                    Dense(2, {.dtype = DType::f64, .name = "b"})});
  std::vector<Tensor> weights;
  for (const auto& [name, weight] : model.named_weights())
    weights.push_back(hash_signed("optimizers/" + name, weight.shape(), 1, DType::f64));
  model.set_weights(weights);
  return model;
}

void append(std::vector<double>& row, const Tensor& values) {
  const std::vector<double> more = values.to_vector<double>();
  row.insert(row.end(), more.begin(), more.end());
}

// What Keras's file has under that name: weights, or one slot of all weights, one after the other.
std::vector<double> values_of(const Model& model, const std::string& name) {
  OptimizerImpl& optimizer = model.optimizer().impl();
  std::vector<double> row;
  if (name == "dynamic_scale") {
    append(row, optimizer.variables()[1]);
  } else if (const Tensor* shared = optimizer.inner().shared_slot(name)) {
    append(row, *shared);
  } else {
    for (const auto& [path, weight] : model.named_weights()) {
      if (name == "weights")
        append(row, weight.value());
      else if (const Tensor* slot = optimizer.inner().slot(weight, name))
        append(row, *slot);
    }
  }
  return row;
}

// Relative to the largest of the row.
double error_of(const std::vector<double>& got, const Tensor& want, int row) {
  double largest = 0, difference = 0;
  for (std::size_t i = 0; i < got.size(); i++) {
    const double expected = want(row, static_cast<std::int64_t>(i));
    if (std::isfinite(expected)) largest = std::max(largest, std::abs(expected));
    if (got[i] == expected) continue;  // both infinite, perhaps
    difference = std::isfinite(got[i]) ? std::max(difference, std::abs(got[i] - expected)) : HUGE_VAL;
  }
  return largest == 0 ? difference : difference / largest;
}

// Relative. All but Adafactor/beta_2_decay, whose long steps make roundings grow, are within 1e-12.
constexpr double bound = 1e-9;

class GoldenOptimizer : public ::testing::TestWithParam<json> {};

TEST_P(GoldenOptimizer, IsKerass) {
  const json& c = GetParam();
  const std::string name = c.at("name");
  const Optimizer optimizer = optimizers::deserialize(Config::from_json(c.at("optimizer").dump()));
  Sequential model = network();
  model.compile({.optimizer = optimizer, .loss = "mse"});
  const Tensor x = hash_signed("optimizers/x", {16, 3}, 1, DType::f64);
  const Tensor y = hash_signed("optimizers/y", {16, 2}, 1, DType::f64);
  int row = 0;
  for (int step = 1; step <= 50; step++) {
    model.train_on_batch(x, y);
    if (step != 1 && step != 10 && step != 50) continue;
    for (const json& item : c.at("values")) {
      const std::string key = item;
      const Tensor& want = golden()[name + "/" + key];
      std::vector<double> got = values_of(model, key);
      if (name.starts_with("Adafactor") && key == "velocity") {
        // Keras keeps a matrix's velocity, too, which Kiln computes from its rows and columns: biases only.
        ASSERT_EQ(got.size(), 6u);
        std::vector<double> padded = Tensor(want[row]).to_vector<double>();
        std::copy_n(got.begin(), 4, padded.begin() + 12);
        std::copy_n(got.begin() + 4, 2, padded.begin() + 24);
        got = padded;
      }
      ASSERT_EQ(static_cast<std::int64_t>(got.size()), want.dim(1)) << key;
      EXPECT_LT(error_of(got, want, row), bound) << key << " after step " << step;
    }
    row++;
  }
  covers("Optimizers", optimizer.class_name(), "steps");
}

TEST_P(GoldenOptimizer, HasKerassConfiguration) {
  const Config keras = Config::from_json(GetParam().at("optimizer").dump());
  const Optimizer optimizer = optimizers::deserialize(keras);
  const Config config = optimizers::serialize(optimizer);
  EXPECT_EQ(config, keras) << config.to_json() << "\n" << keras.to_json();
  EXPECT_EQ(optimizers::serialize(optimizers::deserialize(config)), config);
  covers("Optimizers", optimizer.class_name(), "config");
}

std::vector<json> optimizer_cases() {
  return golden_index("optimizers", "cases").get<std::vector<json>>();
}
std::string test_name(const ::testing::TestParamInfo<json>& info) {
  std::string name = info.param.at("name");
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(All, GoldenOptimizer, ::testing::ValuesIn(optimizer_cases()), test_name);

TEST(GoldenOptimizers, HaveKerassDefaults) {
  const json defaults = golden_index("optimizers", "defaults");
  EXPECT_EQ(defaults.size(), 13u);
  for (const auto& [name, config] : defaults.items()) {
    const Config keras = Config::from_json(config.dump());
    EXPECT_EQ(Optimizer(name).get_config(), keras) << name;
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    EXPECT_EQ(Optimizer(lower).get_config(), keras) << lower;
  }
}

class GoldenSchedule : public ::testing::TestWithParam<json> {};

TEST_P(GoldenSchedule, IsKerass) {
  const json& c = GetParam();
  const Config keras = Config::from_json(c.at("schedule").dump());
  const LearningRateSchedule schedule = optimizers::schedules::deserialize(keras);
  EXPECT_EQ(optimizers::schedules::serialize(schedule), keras);
  const Tensor& want = golden()["schedules/" + c.at("name").get<std::string>()];
  for (std::int64_t step = 0; step < want.size(); step++) {
    // Here Keras rounds a logarithm down: tests/golden/README.md.
    if (c.at("name") == "restarts_half" && step == 211) continue;
    EXPECT_NEAR(schedule(step), want(step), 1e-13) << "step " << step;
  }
  covers("Learning-rate schedules", schedule.class_name(), "forward config");
}
INSTANTIATE_TEST_SUITE_P(
    All, GoldenSchedule,
    ::testing::ValuesIn(golden_index("optimizers", "schedules").get<std::vector<json>>()), test_name);

}  // namespace
}  // namespace kiln::testing
