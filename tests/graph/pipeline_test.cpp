#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/graph/pass_testing.h"
#include "tests/support/compare.h"
#include "tests/support/every_op.h"
#include "tests/support/lenet.h"

namespace kiln::graph::testing {
namespace {

// Rules and split sums may round differently, within the bounds of any evaluation in the graph's own types.
TEST(Pipeline, OptimizedRandomGraphsKeepTheirMeaning) {
  for (std::int64_t seed = 2000; seed < 2300; seed++) {
    const RandomProgram r =
        random_program(seed, {.ops = 10 + static_cast<int>(seed % 40), .corners = seed % 2 == 0});
    const InterpreterResult got = interpret(optimize(*r.graph), r.inputs, r.states);
    ASSERT_EQ(compare(r, got.outputs, got.states).failure, "") << "seed " << seed;
  }
}

TEST(Pipeline, WholePlansOfRandomGraphsKeepTheMeaningOfTheOptimizedGraph) {
  for (std::int64_t seed = 3000; seed < 3200; seed++) {
    SCOPED_TRACE(seed);
    const RandomProgram r = random_program(seed, {.ops = 40, .corners = seed % 2 == 0});
    const Plan plan = compile_plan(*r.graph);
    expect_same_results(plan, optimize(*r.graph), r.inputs, r.states);
  }
}

TEST(Pipeline, NothingIsLeftToDoAfterwards) {
  const auto expect_settled = [](const Graph& g) {
    const Graph once = optimize(g);
    EXPECT_EQ(print(optimize(once)), print(once));
  };
  expect_settled(lenet_training(16));
  expect_settled(lenet_inference(16));
  for (std::int64_t seed = 0; seed < 50 && !HasFailure(); seed++)
    expect_settled(*random_program(seed, {.ops = 40, .corners = true}).graph);
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
  EXPECT_EQ(read(dumped / "07-split_reductions.txt"), "(unchanged)\n");
  EXPECT_NE(read(dumped / "02-canonicalize.txt").find("pad("), std::string::npos);
  EXPECT_NE(read(dumped / "algorithms.txt").find(" by (5, 5, 1, 6): direct: too few channels (1)"),
            std::string::npos)
      << read(dumped / "algorithms.txt");
  EXPECT_NE(read(dumped / "plan.txt").find("plan lenet_inference: "), std::string::npos);
  EXPECT_NE(read(dumped / "fusion.txt").find("fused: it becomes the kernel's root"), std::string::npos);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace kiln::graph::testing
