// A pooling's gradient that is computed where the gradient of a kernel multiplies it, and where it isn't.
#include "graph/passes/join_pool_grads.h"

#include <gtest/gtest.h>

#include "graph/passes/passes.h"
#include "kiln/graph/ops.h"
#include "tests/graph/pass_testing.h"

namespace kiln::graph::testing {
namespace {

struct JoinPoolGrads : ::testing::Test {
  Graph g{"pool grads"};
  Value x = g.input("x", {DType::f32, {8, 14, 14, 2}});

  // The gradient of the maxima of a convolution's results (8,12,12,16).
  Value pool_grad(std::int64_t size, std::int64_t stride, std::int64_t count) {
    const WindowAttrs windows{{1, size, size, 1}, {1, stride, stride, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}};
    const Value place = g.input("place", {DType::u8, {8, count, count, 16}});
    return window_max_grad(place, g.input("dy", {DType::f32, {8, count, count, 16}}), {8, 12, 12, 16},
                           windows);
  }
  Value sums(Value images, Value dy) {
    return conv_kernel_sums(images, dy, {3, 3, images.shape()[3], 16}, {}, 4);
  }
  std::vector<std::string> groups() const { return group_names(g); }
  std::string reason() const { return reason_apart(g); }
};
using Names = std::vector<std::string>;

TEST_F(JoinPoolGrads, OneKernelThatReadsThePooledGradient) {
  g.output("dk", sums(x, pool_grad(2, 2, 6)));
  const std::vector<Group> fused = fuse(g);
  ASSERT_EQ(fused.size(), 1U);
  EXPECT_EQ(fused[0].root->op, Op::conv_kernel_sums);
  EXPECT_EQ(fused[0].inputs.size(), 3U);  // the images, the places, and what each window passes on
  EXPECT_EQ(reason(), "");
}

TEST_F(JoinPoolGrads, NotIfWindowsLeaveARest) {
  g.output("dk", sums(x, pool_grad(5, 5, 2)));
  EXPECT_EQ(reason(), "its windows don't lie side by side, or leave a rest");
}

TEST_F(JoinPoolGrads, NotIfWindowsOverlap) {
  g.output("dk", sums(x, pool_grad(3, 2, 5)));
  EXPECT_EQ(groups(), (Names{"window_max_grad", "conv_kernel_sums"}));
  EXPECT_EQ(reason(), "its windows don't lie side by side, or leave a rest");
}

TEST_F(JoinPoolGrads, NotIfTheGradientIsNeeded) {
  const Value dx = pool_grad(2, 2, 6);
  g.output("dk", sums(x, dx));
  g.output("dx", dx);
  EXPECT_EQ(groups(), (Names{"window_max_grad", "conv_kernel_sums"}));
}

TEST_F(JoinPoolGrads, NotIfSomethingIsMadeOfIt) {
  g.output("dk", sums(x, pool_grad(2, 2, 6) * 0.5));
  EXPECT_EQ(groups().size(), 2U);
}

TEST_F(JoinPoolGrads, NotIfItWouldBeComputedOften) {
  g.output("dk", sums(g.input("images", {DType::f32, {8, 14, 14, 4}}), pool_grad(2, 2, 6)));
  EXPECT_EQ(reason(), "the kernel is large: it would be computed often");
}

}  // namespace
}  // namespace kiln::graph::testing
