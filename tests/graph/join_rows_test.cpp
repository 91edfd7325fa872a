// Groups over the same rows that become one.
#include "graph/passes/join_rows.h"

#include <gtest/gtest.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kiln/graph/gradient.h"
#include "kiln/graph/ops.h"
#include "tests/graph/pass_testing.h"
#include "tests/support/random_tensor.h"

namespace kiln::graph::testing {
namespace {

// The groups of a graph: their names, "by rows" where they are, and how many arrays they read and write.
using Texts = std::vector<std::string>;
Texts groups_of(const Graph& g) {
  Texts texts;
  for (const Group& group : fuse(g))
    texts.push_back(fmt::format("{}{} {}->{}", group.rows ? "by rows: " : "", group.name, group.inputs.size(),
                                group.outputs.size()));
  return texts;
}

Value softmax(Value x) {
  const Value e = exp(x - reduce_max(x, {-1}, true));
  return e / reduce_sum(e, {-1}, true);
}
Value mean(Value x) {
  return reduce_sum(x, {-1}, true) * (1.0 / static_cast<double>(x.shape().sizes().back()));
}

struct JoinRows : ::testing::Test {
  Graph g{"rows"};
  Value x = g.input("x", {DType::f32, {16, 24}});
  Value y = g.input("y", {DType::f32, {16, 24}});
};

TEST_F(JoinRows, SoftmaxIsOneKernel) {
  g.output("softmax", softmax(x));
  EXPECT_EQ(groups_of(g), Texts{"by rows: reduce_max+sub+exp+reduce_sum+div 1->1"});
}

TEST_F(JoinRows, OfSeveralLeadingAxesToo) {
  const Value scores = g.input("scores", {DType::f32, {2, 3, 5, 8}});
  g.output("softmax", softmax(scores));
  EXPECT_EQ(groups_of(g), Texts{"by rows: reduce_max+sub+exp+reduce_sum+div 1->1"});
}

TEST_F(JoinRows, ItsGradientIsOneKernel) {
  const Value s = softmax(x);
  g.output("dx", gradient(reduce_sum(s * y, {0, 1}), std::vector{x})[0]);
  int by_rows = 0;
  const Graph simplified = simplify(g);
  for (const Group& group : fuse(simplified)) by_rows += group.rows;
  EXPECT_EQ(by_rows, 1);
}

TEST_F(JoinRows, NormalizationIsOneKernelWithAllItsResults) {
  const Value gamma = g.state("gamma", {DType::f32, {24}});
  const Value centred = x - mean(x);
  const Value scale = rsqrt(mean(centred * centred) + 1e-3);
  g.output("y", centred * scale * gamma);
  g.output("scale", scale);
  const std::vector<Group> groups = fuse(g);
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_TRUE(groups[0].rows);
  EXPECT_EQ(groups[0].outputs.size(), 2u);
  EXPECT_EQ(groups[0].space, x.shape());
}

TEST_F(JoinRows, CrossEntropyAndItsGradientAreOneKernel) {
  const Value labels = g.input("labels", {DType::i32, {16}});
  const Value shifted = x - reduce_max(x, {-1}, true);
  const Value log_sum = log(reduce_sum(exp(shifted), {-1}, true));
  const Value hot = compare(iota(g, {DType::i32, {16, 24}}, 1), expand_dims(labels, 1), "eq");
  g.output("losses", reduce_sum(select(hot, log_sum - shifted, zeros_like(x)), {-1}));
  g.output("gradient", exp(shifted - log_sum) - convert(hot, DType::f32));
  const Graph simplified = simplify(g);
  const std::vector<Group> groups = fuse(simplified);
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_TRUE(groups[0].rows);
  EXPECT_EQ(groups[0].outputs.size(), 2u);
}

TEST_F(JoinRows, WhatSeveralKernelsNeedIsWritten) {
  const Value e = exp(x);
  g.output("rows", reduce_sum(e, {1}));
  g.output("columns", reduce_sum(e, {0}));
  EXPECT_EQ(groups_of(g), (Texts{"by rows: exp+reduce_sum 1->2", "reduce_sum 1->1"}));
}

TEST_F(JoinRows, ColumnsStayApart) {
  g.output("z", x - broadcast_to(reduce_max(x, {0}, true), x.shape()));
  EXPECT_EQ(groups_of(g), (Texts{"reduce_max 1->1", "sub 2->1"}));
}

TEST_F(JoinRows, ShortAndLongRowsStayApart) {
  const Value few = g.input("few", {DType::f32, {100, 7}});
  g.output("few", softmax(few));
  const Value many = g.input("many", {DType::f32, {9, 40000}});
  g.output("many", softmax(many));
  const Value two = g.input("two", {DType::f32, {2, 5000}});  // rows are the kernel's parallel work
  g.output("two", softmax(two));
  for (const Group& group : fuse(g)) EXPECT_FALSE(group.rows) << group.name;
}

// In a square, a row's results fit the columns' places as well.
TEST_F(JoinRows, ARowsResultIsNotGivenToOtherRows) {
  const Value square = g.input("square", {DType::f32, {16, 16}});
  const Value largest = reduce_max(square, {1});
  g.output("z", square - broadcast(largest, {16, 16}, {1}));
  EXPECT_EQ(groups_of(g), (Texts{"reduce_max 1->1", "sub 2->1"}));
  Graph turned("turned");
  const Value s = turned.input("square", {DType::f32, {16, 16}});
  const Value e = exp(s);
  turned.output("z", transpose(e, {1, 0}) - reduce_max(e, {1}, true));
  EXPECT_EQ(groups_of(turned), (Texts{"by rows: exp+reduce_max 1->2", "sub 2->1"}));
}

// The product needs the maximum, and what follows needs the product.
TEST_F(JoinRows, NothingMayLieBetween) {
  const Value w = g.state("w", {DType::f32, {24, 24}});
  const Value e = exp(x - reduce_max(x, {1}, true));
  const Value product = matmul(e, w);
  g.output("z", e * product / reduce_sum(e * product, {1}, true));
  for (const Group& group : fuse(g)) {
    const bool begins = std::find(group.nodes.begin(), group.nodes.end(), e.node) != group.nodes.end();
    EXPECT_FALSE(begins && group.outputs[0].node->id > product.node->id) << group.name;
  }
}

TEST_F(JoinRows, ReasonsAreLogged) {
  g.output("z", x - reduce_max(x, {1}, true));
  FusionLog log;
  fuse(g, {}, &log);
  EXPECT_NE(log.text().find("\"reduce_max\" -> \"sub\": fused: row by row\n"), std::string::npos)
      << log.text();
}

// A weight whose rows are scaled to their norms is still updated where it lies.
TEST_F(JoinRows, MayWriteOverARowThatWasRead) {
  const Value w = g.state("w", {DType::f32, {32, 24}});
  g.update(w, w * rsqrt(reduce_sum(w * w, {1}, true)));
  const Plan plan = plan_unoptimized(std::move(g));
  ASSERT_EQ(plan.schedule.size(), 1u) << print(plan);
  EXPECT_EQ(plan.schedule[0].output_locations[0].space, Location::Space::state);
}

TEST_F(JoinRows, PlansGiveWhatTheGraphMeans) {
  g.output("softmax", softmax(x * y));
  g.output("largest", reduce_max(x * y, {1}));
  RandomNumbers random(1);
  const std::vector<Tensor> inputs = {random.tensor({16, 24}, -1, 1, DType::f32),
                                      random.tensor({16, 24}, -1, 1, DType::f32)};
  expect_same_results(plan_unoptimized(parse(print(g))), g, inputs, {});
}

}  // namespace
}  // namespace kiln::graph::testing
