// The reasons that KILN_DUMP's fusion.txt gives.
#include "graph/passes/fusion_log.h"

#include <gtest/gtest.h>

#include "kiln/graph/ops.h"

namespace kiln::graph {
namespace {

std::string reasons(const Graph& g) {
  FusionLog log;
  fuse(g, {}, &log);
  return log.text();
}

struct FusionReasons : ::testing::Test {
  Graph g{"reasons"};
  Value x = g.input("x", {DType::f32, {2, 64, 64, 8}});
  Value kernel = g.state("kernel", {DType::f32, {3, 3, 8, 8}});
};

TEST_F(FusionReasons, EpiloguesAndWindows) {
  const Value y = conv(x, kernel, {});
  const Value z = sigmoid(y);
  g.output("z", window_max(z, {.window = {1, 2, 2, 1}, .strides = {1, 3, 3, 1}}));
  EXPECT_EQ(reasons(g),
            "%2 conv -> %3 sigmoid: fused: it becomes the kernel's root\n"
            "%3 sigmoid -> %4 window_max: apart: it joins the kernel that computes its operand\n"
            "\"conv+sigmoid\" -> \"window_max\": apart: its windows don't lie side by side\n");
}

TEST_F(FusionReasons, PoolingInTheTilesOfAConvolution) {
  g.output("z", window_max(conv(x, kernel, {}), {.window = {1, 2, 2, 1}, .strides = {1, 2, 2, 1}}));
  EXPECT_EQ(reasons(g),
            "%2 conv -> %3 window_max: apart: that kernel has another root\n"
            "\"conv\" -> \"window_max\": fused: in the same tiles\n");
}

TEST_F(FusionReasons, MaximaAndTheirPlacesAreFoundTogether) {
  const WindowAttrs attrs{.window = {1, 3, 3, 1}, .strides = {1, 2, 2, 1}};
  g.output("y", sigmoid(window_max(x, attrs)));
  g.output("place", window_argmax(x, attrs));
  EXPECT_EQ(
      reasons(g),
      "%2 window_max -> %4 window_argmax: fused: both reduce over the same elements of what they share\n"
      "%2 window_max -> %3 sigmoid: fused: it becomes the kernel's root\n");
}

TEST_F(FusionReasons, ConcatenationsInPlaceOrCopied) {
  const Value y = conv(x, kernel, {});
  g.output("in_place", exp(concatenate(std::vector<Value>{y, sin(conv(x, kernel, {}))}, 3)));
  g.output("copied", exp(concatenate(std::vector<Value>{sin(x), x}, 1)));
  const std::string all = reasons(g);
  for (const char* line : {"%2 conv -> %5 concatenate: in place: a part of its array",
                           "%4 sin -> %5 concatenate: in place: a part of its array",
                           "%7 sin -> %8 concatenate: copied: no product or pooling gives it"})
    EXPECT_NE(all.find(line), std::string::npos) << line << " in\n" << all;
}

TEST_F(FusionReasons, ValuesThatSeveralUse) {
  const Value e = exp(x);
  g.output("sum", reduce_sum(e, {0}));
  g.output("largest", reduce_max(e, {2}));
  EXPECT_EQ(reasons(g),
            "%2 exp -> %4 reduce_max: apart: several kernels use it, so it is computed once and read\n"
            "%2 exp -> %3 reduce_sum: apart: several kernels use it, so it is computed once and read\n");
}

TEST_F(FusionReasons, ValuesThatAreOutputs) {
  const Value e = exp(x);
  g.output("e", e);
  g.output("sum", reduce_sum(e, {0}));
  EXPECT_EQ(reasons(g), "%2 exp -> %3 reduce_sum: apart: its array is needed as well\n");
}

TEST_F(FusionReasons, MapsOverTheSameElements) {
  g.output("a", exp(x));
  g.output("b", tanh(x));
  EXPECT_EQ(reasons(g), "%3 tanh -> %2 exp: fused: maps over the same elements\n");
}

TEST_F(FusionReasons, ReductionsOfTheSameArray) {
  g.output("sum", reduce_sum(x, {0}));
  g.output("largest", reduce_max(x, {0}));
  EXPECT_EQ(reasons(g),
            "%2 reduce_sum -> %3 reduce_max: fused: both reduce over the same elements of what they share\n");
}

}  // namespace
}  // namespace kiln::graph
