// Regularizers, constraints and initializers that aren't random, against real Keras in float64
// (tests/golden/README.md).
#include <gtest/gtest.h>
#include <kiln/kiln.h>

#include "tests/support/coverage.h"
#include "tests/support/golden.h"
#include "tests/support/hash_data.h"

namespace kiln::testing {
namespace {

using nlohmann::json;

const Golden& golden() {
  static const Golden golden("objects");
  return golden;
}

std::vector<json> cases(const char* part) {
  return golden_index("objects", part).get<std::vector<json>>();
}

std::string test_name(const ::testing::TestParamInfo<json>& info) {
  return info.param.at("config").at("class_name").get<std::string>() + "_" + std::to_string(info.index);
}

struct Case {
  std::string name, class_name;
  Config config;  ///< as Keras's serialize gives it
  Shape shape;
  explicit Case(const json& c)
      : name(c.at("name")),
        class_name(c.at("config").at("class_name")),
        config(Config::from_json(c.at("config").dump())),
        shape(to_shape(c.at("shape"))) {}
  Tensor x() const { return hash_signed(name + "/x", shape, 2, DType::f64); }
};

class GoldenRegularizer : public ::testing::TestWithParam<json> {};

TEST_P(GoldenRegularizer, IsKerass) {
  const Case c(GetParam());
  const Regularizer regularizer = regularizers::deserialize(c.config);
  EXPECT_EQ(regularizers::serialize(regularizer), c.config);
  const auto penalty = function([&](graph::Value x) {
    const graph::Value y = regularizer(x);
    return std::array{y, gradient(y, {x})[0]};
  });
  const auto [value, slope] = penalty(c.x());
  EXPECT_LE(relative_error(value, golden()[c.name + "/value"]), 1e-12);
  EXPECT_LE(relative_error(slope, golden()[c.name + "/gradient"]), 1e-12);
  covers("Regularizers", c.class_name, "forward gradient config");
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenRegularizer, ::testing::ValuesIn(cases("regularizers")), test_name);

class GoldenConstraint : public ::testing::TestWithParam<json> {};

TEST_P(GoldenConstraint, IsKerass) {
  const Case c(GetParam());
  const Constraint constraint = constraints::deserialize(c.config);
  EXPECT_EQ(constraints::serialize(constraint), c.config);
  const Tensor y = function([&](graph::Value x) { return constraint(x); })(c.x());
  EXPECT_LE(relative_error(y, golden()[c.name + "/value"]), 1e-12);
  covers("Constraints", c.class_name, "forward config");
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenConstraint, ::testing::ValuesIn(cases("constraints")), test_name);

class GoldenFixedInitializer : public ::testing::TestWithParam<json> {};

TEST_P(GoldenFixedInitializer, IsKerass) {
  const Case c(GetParam());
  const Initializer initializer = initializers::deserialize(c.config);
  EXPECT_EQ(initializers::serialize(initializer), c.config);
  EXPECT_EQ(relative_error(initializer(c.shape, DType::f64), golden()[c.name + "/value"]), 0);
  covers("Initializers", c.class_name, "forward config");
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenFixedInitializer, ::testing::ValuesIn(cases("initializers")),
                         test_name);

}  // namespace
}  // namespace kiln::testing
