#include <gtest/gtest.h>

#include "tests/support/golden.h"
#include "tests/support/hash_data.h"

namespace kiln::testing {
namespace {

TEST(GoldenFormula, EqualsTheScriptsToTheBit) {
  const Golden golden("layers");
  const nlohmann::json cases = golden_index("layers", "formula");
  ASSERT_GE(cases.size(), 4u);
  for (const auto& c : cases) {
    const Tensor& expected = golden[c.at("name")];
    const HashSequence u(c.at("tag").get<std::string>());
    for (std::int64_t i = 0; i < expected.size(); i++) {
      EXPECT_EQ(u[i], expected(i)) << "tag '" << c.at("tag") << "', element " << i;
      EXPECT_GE(u[i], 0);
      EXPECT_LT(u[i], 1);
    }
  }
}

TEST(GoldenFormula, TensorsFollowIt) {
  const HashSequence u("x");
  const Tensor labels = hash_labels("x", {100}, 10);
  const Tensor glorot = hash_glorot("x", {5, 5, 2, 3});
  for (int i = 0; i < 100; i++) {
    EXPECT_EQ(labels(i), static_cast<int>(10 * u[i]));
    EXPECT_GE(labels(i), 0);
    EXPECT_LE(labels(i), 9);
  }
  EXPECT_FLOAT_EQ(static_cast<float>(glorot(0, 0, 0, 0)),
                  static_cast<float>(std::sqrt(6.0 / (25 * 2 + 25 * 3)) * (2 * u[0] - 1)));
  // In double it is the float's value: Keras in float64 starts from the same numbers.
  EXPECT_EQ(hash_glorot("x", {5, 5, 2, 3}, DType::f64)(0, 0, 1, 2), glorot(0, 0, 1, 2));
}

}  // namespace
}  // namespace kiln::testing
