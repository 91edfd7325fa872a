#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/lenet.h"
#include "tests/graph/pass_testing.h"
#include "tests/graph/random_graph.h"
#include "tests/support/every_op.h"

namespace kiln::graph::testing {
namespace {

// Rules and split sums may round differently; in f64 that shows only as a few units in the last place of what
// the sums add up. Comparisons that a rounding would turn over don't occur at this precision.
void expect_near(const Tensor& got, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(got.shape(), expected.shape()) << what;
  const auto a = got.to_vector<double>(), b = expected.to_vector<double>();
  double scale = 1;
  for (const double v : b)
    if (std::isfinite(v)) scale = std::max(scale, std::abs(v));
  for (std::size_t i = 0; i < a.size(); i++) {
    if (std::isfinite(b[i]))
      ASSERT_NEAR(a[i], b[i], 1e-9 * scale) << what << " element " << i;
    else
      ASSERT_TRUE(a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i])))
          << what << " element " << i << ": " << a[i];
  }
}

TEST(Pipeline, OptimizedRandomGraphsKeepTheirMeaning) {
  for (std::uint64_t seed = 2000; seed < 2300; seed++) {
    const RandomGraph r(seed, 10 + static_cast<int>(seed % 40), DType::f64);
    const Graph optimized = optimize(r.graph);
    const InterpreterResult expected = interpret(r.graph, r.inputs, r.states);
    const InterpreterResult got = interpret(optimized, r.inputs, r.states);
    const std::string where = "seed " + std::to_string(seed);
    for (std::size_t i = 0; i < expected.outputs.size(); i++)
      expect_near(got.outputs[i], expected.outputs[i], where + ", output " + std::to_string(i));
    for (std::size_t i = 0; i < expected.states.size(); i++)
      expect_near(got.states[i], expected.states[i], where + ", state " + std::to_string(i));
    if (HasFailure()) return;
  }
}

TEST(Pipeline, WholePlansOfRandomGraphsKeepTheMeaningOfTheOptimizedGraph) {
  for (std::uint64_t seed = 3000; seed < 3200; seed++) {
    SCOPED_TRACE(seed);
    const RandomGraph r(seed, 40);
    const Plan plan = compile_plan(r.graph);
    expect_same_results(plan, optimize(r.graph), r.inputs, r.states);
  }
}

TEST(Pipeline, NothingIsLeftToDoAfterwards) {
  const auto expect_settled = [](const Graph& g) {
    const Graph once = optimize(g);
    EXPECT_EQ(print(optimize(once)), print(once));
  };
  expect_settled(lenet_training(16));
  expect_settled(lenet_inference(16));
  for (std::uint64_t seed = 0; seed < 50 && !HasFailure(); seed++)
    expect_settled(RandomGraph(seed, 40).graph);
}

TEST(Pipeline, EqualGraphsGiveEqualPlans) {
  EXPECT_EQ(print(compile_plan(lenet_training(16))), print(compile_plan(lenet_training(16))));
  EXPECT_EQ(print(compile_plan(every_op())), print(compile_plan(every_op())));
}

std::string read(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(Pipeline, DumpsEveryStage) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "kiln_dump";
  std::filesystem::remove_all(folder);
  setenv("KILN_DUMP", folder.c_str(), 1);
  compile_plan(lenet_inference(4));
  unsetenv("KILN_DUMP");
  const std::filesystem::path dumped = folder / "lenet_inference";
  EXPECT_EQ(read(dumped / "00-source.txt"), print(lenet_inference(4)));
  EXPECT_EQ(read(dumped / "06-split_reductions.txt"), "(unchanged)\n");
  EXPECT_NE(read(dumped / "02-canonicalize.txt").find("pad("), std::string::npos);
  EXPECT_NE(read(dumped / "plan.txt").find("plan lenet_inference: "), std::string::npos);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace kiln::graph::testing
