// Memory that grows with each call (keras-team/keras#13118, deephealthproject/eddl#212).
#include <fstream>

#include "tests/api/support.h"
#include "tests/support/sanitized.h"

namespace kiln {
namespace {

using namespace layers;

/// Exact, unlike /proc/self/status, which the kernel keeps in coarse steps.
double resident_mebibytes() {
  std::ifstream file("/proc/self/smaps_rollup");
  for (std::string word; file >> word;)
    if (word == "Rss:") {
      file >> word;
      return std::stod(word) / 1024;
    }
  return 0;
}

struct MemoryGrowth : ::testing::Test {
  void SetUp() override {
#ifdef KILN_SANITIZED
    GTEST_SKIP() << "a sanitizer keeps memory that was freed";
#endif
    if (resident_mebibytes() == 0) GTEST_SKIP() << "there is no /proc/self/smaps_rollup";
  }
  Sequential model{{Input({10}), Dense(32, {.activation = "relu"}), Dense(2)}};
  Tensor x = Tensor::full({64, 10}, 0.5), y = Tensor::full({64, 2}, 1);

  template <class F>
  static double growth(int warm_up, int calls, F&& call) {
    for (int i = 0; i < warm_up; i++) call();
    const double before = resident_mebibytes();
    for (int i = 0; i < calls; i++) call();
    return resident_mebibytes() - before;
  }
};

TEST_F(MemoryGrowth, OfPredictionsIsNone) {
  const Tensor row = x.slice(0, 1);
  EXPECT_LT(growth(200, 20000, [&] { model.predict(row, {.verbose = 0}); }), 2);
}

TEST_F(MemoryGrowth, OfFitsIsNone) {
  model.compile({.optimizer = "adam", .loss = "mse"});
  EXPECT_LT(growth(20, 200, [&] { model.fit(x, y, {.epochs = 1, .verbose = 0}); }), 2);
}

}  // namespace
}  // namespace kiln
