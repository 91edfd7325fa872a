// Random graphs: compiled code against the f64 interpreter, within error bounds computed for every element,
// and to the bit between team sizes.
//
// To look into a failure: KILN_FUZZ_SEED=n runs one graph and prints it.
#include "tests/fuzz/differential.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/cpus.h"

namespace kiln::fuzz {
namespace {

constexpr std::int64_t graphs = 2000, shards = 20;

/// Runs the graph of a seed; says what is wrong with it.
void test_seed(std::int64_t seed, graph::Agreement& sum) {
  const graph::RandomProgram random = graph::random_program(seed, options_of(seed));
  graph::Agreement one;
  std::string wrong;
  try {
    wrong = complaint(random, {}, &one);
  } catch (const Error& e) {
    wrong = std::string("throws: ") + e.what();
  }
  EXPECT_EQ(wrong, "") << "seed " << seed;
  sum.checked += one.checked;
  sum.unknown += one.unknown;
  sum.worst = std::max(sum.worst, one.worst);
}

class RandomGraphs : public ::testing::TestWithParam<std::int64_t> {};

TEST_P(RandomGraphs, CompiledCodeAgreesWithTheInterpreter) {
  graph::Agreement sum;
  for (std::int64_t seed = GetParam(); seed < graphs; seed += shards) test_seed(seed, sum);
  // The comparison means something: nearly all is compared, and errors come near their bounds.
  EXPECT_GT(sum.checked, 20 * sum.unknown);
  EXPECT_GT(sum.worst, 0.2);
  RecordProperty("checked", std::to_string(sum.checked));
  RecordProperty("worst", std::to_string(sum.worst));
}

INSTANTIATE_TEST_SUITE_P(Shard, RandomGraphs, ::testing::Range<std::int64_t>(0, shards));

TEST(RandomGraph, CoverEveryOpAndAttribute) {
  graph::Coverage coverage;
  for (std::int64_t seed = 0; seed < graphs; seed++)
    coverage.count(*graph::random_program(seed, options_of(seed)).graph);
  for (const std::string& feature : coverage.missing()) ADD_FAILURE() << "never generated: " << feature;
}

TEST(RandomGraph, OneBySeed) {
  const char* seed = std::getenv("KILN_FUZZ_SEED");
  if (seed == nullptr) GTEST_SKIP() << "set KILN_FUZZ_SEED to run one graph";
  const std::int64_t n = std::atoll(seed);
  std::fputs(graph::print(*graph::random_program(n, options_of(n)).graph).c_str(), stderr);
  graph::Agreement sum;
  test_seed(n, sum);
}

// Where convolutions could take either algorithm, and images either layout, all agree, forward and in
// gradients.
TEST(RandomGraph, AllAlgorithmsOfConvolutionsAgree) {
  graph::Agreement sum;
  int tiled = 0, moved = 0;
  for (std::int64_t seed = 0; seed < 50; seed++) {
    graph::RandomProgramOptions options = options_of(seed);
    options.images = true;
    options.ops = 6;
    const graph::RandomProgram random = graph::random_program(seed, options);
    for (int form = 0; form < 4; form++) {
      const auto algorithm = form % 2 ? graph::ConvAlgorithm::winograd : graph::ConvAlgorithm::direct;
      const graph::RandomProgram program = in_form(random, algorithm, /*batch_last=*/form >= 2);
      graph::Agreement one;
      // What has Winograd's form keeps it.
      EXPECT_EQ(complaint(program, {.conv = graph::ConvAlgorithm::direct}, &one), "") << "seed " << seed;
      sum.checked += one.checked;
      sum.unknown += one.unknown;
      for (const graph::Node& n : program.graph->nodes())
        moved += n.op == graph::Op::conv_batch_last || n.op == graph::Op::conv_kernel_sums;
      if (algorithm != graph::ConvAlgorithm::winograd) continue;
      for (const graph::Node& n : program.graph->nodes())
        tiled += n.op == graph::Op::winograd_conv || n.op == graph::Op::winograd_kernel_grad;
    }
  }
  EXPECT_GT(tiled, 50);
  EXPECT_GT(moved, 50);
  EXPECT_GT(sum.checked, 20 * sum.unknown);
}

// Narrower vectors, older CPUs, no fusion, no reuse of memory: other code for the same values.
TEST(RandomGraph, OtherWaysToCompileAgreeToo) {
  std::vector<codegen::CompileOptions> ways = {
      {.vector_bits = 128}, {.fuse = false, .reuse_memory = true}, {.fuse = true, .reuse_memory = false}};
  if (codegen::Target::host().vector_bits > 256) ways.push_back({.vector_bits = 256});
  for (const std::string& cpu : kiln::testing::older_cpus()) ways.push_back({.cpu = cpu});
  for (std::size_t seed = 0; seed < 20 * ways.size(); seed++) {
    const auto number = static_cast<std::int64_t>(seed);
    const graph::RandomProgram random = graph::random_program(number, options_of(number));
    EXPECT_EQ(complaint(random, ways[seed % ways.size()]), "") << "seed " << seed;
  }
}

}  // namespace
}  // namespace kiln::fuzz
