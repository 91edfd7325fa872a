// Pooling that is done in the tiles of the convolution before it, and where it isn't.
#include "graph/passes/join_pools.h"

#include <gtest/gtest.h>

#include "graph/passes/passes.h"
#include "kiln/graph/ops.h"
#include "tests/graph/pass_testing.h"

namespace kiln::graph::testing {
namespace {

WindowAttrs windows(std::int64_t size, std::int64_t stride, std::int64_t low = 0, std::int64_t high = 0) {
  return {{1, size, size, 1}, {1, stride, stride, 1}, {0, low, low, 0}, {0, high, high, 0}};
}

struct JoinPools : ::testing::Test {
  Graph g{"pools"};
  Value x = g.input("x", {DType::f32, {2, 14, 14, 8}});
  Value y = conv(x, g.input("kernel", {DType::f32, {3, 3, 8, 16}}), {}) + g.input("bias", {DType::f32, {16}});

  // Names of the groups, after the passes.
  std::vector<std::string> groups(ConvAlgorithm algorithm = ConvAlgorithm::direct) const {
    return group_names(optimize(g, {.conv = algorithm}));
  }
  // Why the convolution and the maxima are apart.
  std::string reason(ConvAlgorithm algorithm = ConvAlgorithm::direct) const {
    return reason_apart(optimize(g, {.conv = algorithm}));
  }
};
using Names = std::vector<std::string>;

TEST_F(JoinPools, OneKernelWithWhatFollows) {
  const Value m = window_max(y, windows(2, 2));
  g.output("m", maximum(m, scalar(m, 0)));
  EXPECT_EQ(groups(), Names{"conv+add+window_max+maximum"});
  EXPECT_EQ(groups(ConvAlgorithm::winograd).back(), "winograd_conv+add+window_max+maximum");
}

TEST_F(JoinPools, MaximaAndTheirPlaces) {
  g.output("m", window_max(y, windows(2, 2)));
  g.output("place", window_argmax(y, windows(2, 2)));
  EXPECT_EQ(groups(), Names{"conv+add+window_max+window_argmax"});
}

TEST_F(JoinPools, NotIfTheConvolutionsResultIsNeeded) {
  g.output("m", window_max(y, windows(2, 2)));
  g.output("y", y);
  EXPECT_EQ(groups(), (Names{"conv+add", "window_max"}));
}

TEST_F(JoinPools, NotIfAViewOfItIsReadToo) {
  const Value same_numbers = slice(reshape(y, {2, 6, 6, 64}), {0, 0, 0, 0}, {2, 6, 6, 16}, {1, 1, 1, 1});
  g.output("sum", window_max(y, windows(2, 2)) + same_numbers);
  EXPECT_EQ(groups().size(), 2U);
}

TEST_F(JoinPools, NotIfThreadsWouldHaveNothingToShare) {
  const Value sound = g.input("sound", {DType::f32, {1, 80, 1}});
  const Value z = conv(sound, g.input("filter", {DType::f32, {3, 1, 16}}), {});
  g.output("m", window_max(z, {{1, 2, 1}, {1, 2, 1}, {0, 0, 0}, {0, 0, 0}}));
  EXPECT_EQ(reason(), "there are too few rows of windows to share");
}

TEST_F(JoinPools, NotIfItIsReadTwice) {
  g.output("m", window_max(y, windows(2, 2)));
  g.output("sum", reduce_sum(y, {1, 2}));
  EXPECT_EQ(groups().size(), 3U);
}

TEST_F(JoinPools, NotIfWindowsOverlap) {
  g.output("m", window_max(y, windows(3, 2)));
  EXPECT_EQ(reason(), "its windows don't lie side by side");
}

TEST_F(JoinPools, NotIfWindowsStickOut) {
  g.output("m", window_max(y, windows(5, 5, 0, 3)));
  EXPECT_EQ(reason(), "its windows don't begin at the edge, or stick out");
}

TEST_F(JoinPools, NotAcrossWinogradsTiles) {
  g.output("m", window_max(y, windows(3, 3)));
  EXPECT_EQ(reason(ConvAlgorithm::winograd), "its windows cross the convolution's tiles");
  EXPECT_EQ(groups(), Names{"conv+add+window_max"});
}

TEST_F(JoinPools, NotOverChannels) {
  g.output("m", window_max(y, {.window = {1, 2, 2, 4}, .strides = {1, 2, 2, 4}}));
  EXPECT_EQ(reason(), "its windows hold more than pixels of one channel");
}

TEST_F(JoinPools, NotIfTheKernelLeavesTheCache) {
  const Value wide = conv(x, g.input("wide", {DType::f32, {7, 7, 8, 128}}), {});
  g.output("m", window_max(wide, windows(2, 2)));
  EXPECT_EQ(reason(), "the convolution's kernel is large");
}

TEST_F(JoinPools, TheConvolutionsResultIsNoArray) {
  const Value m = window_max(y, windows(2, 2));
  g.output("m", m * m);
  g.output("place", window_argmax(y, windows(2, 2)));
  const Plan plan = plan_unoptimized(optimize(g, {.conv = ConvAlgorithm::direct}));
  EXPECT_EQ(plan.schedule.size(), 1U);
  EXPECT_EQ(plan.intermediate_bytes, 0);
}

}  // namespace
}  // namespace kiln::graph::testing
