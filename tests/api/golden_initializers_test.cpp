// Initializers against real Keras (tests/golden/README.md).
#include <gtest/gtest.h>
#include <kiln/kiln.h>

#include <algorithm>
#include <cmath>

#include "tests/support/coverage.h"
#include "tests/support/golden.h"

namespace kiln::testing {
namespace {

using nlohmann::json;

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

/// Mean, spread and range of a million values. The mean of n values wanders by stddev / sqrt(n), their
/// standard deviation by less than that; the ends of an unbounded distribution's range wander more.
TEST_P(GoldenInitializer, HasKerassStatistics) {
  const json& c = GetParam();
  const Golden golden("layers");
  const Tensor& expected = golden[c.at("name")];
  const Initializer made = make_golden_initializer(c.at("initializer"), c.at("config"));
  const Tensor t = made(to_shape(c.at("shape")));
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
  const bool unbounded =
      text.find("RandomNormal") != std::string::npos || text.find("untruncated") != std::string::npos;
  EXPECT_NEAR(*least, expected(2), (unbounded ? 1 : 0.001) * stddev);
  EXPECT_NEAR(*largest, expected(3), (unbounded ? 1 : 0.001) * stddev);

  const Config config = initializers::serialize(made);
  EXPECT_EQ(config.at("class_name"), Config(c.at("initializer").get<std::string>()));
  EXPECT_EQ(initializers::serialize(initializers::deserialize(config)), config);
  covers("Initializers", c.at("initializer"), "forward config");
}
INSTANTIATE_TEST_SUITE_P(Cases, GoldenInitializer,
                         ::testing::ValuesIn(golden_index("layers", "initializers")), [](const auto& info) {
                           return info.param.at("name").template get<std::string>() + "_" +
                                  info.param.at("initializer").template get<std::string>();
                         });

}  // namespace
}  // namespace kiln::testing
