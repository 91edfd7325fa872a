#include <gtest/gtest.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "graph/passes/groups.h"
#include "kiln/graph/gradient.h"
#include "kiln/graph/ops.h"
#include "tests/graph/pass_testing.h"
#include "tests/support/every_op.h"
#include "tests/support/random_graph.h"

namespace kiln::graph::testing {
namespace {

// The groups of a graph that is fused as it is: each as the names of its ops in order, without constants, its
// root marked with *, and how many arrays it reads and writes.
std::vector<std::string> groups_of(const Graph& g) {
  std::vector<std::string> texts;
  for (const Group& group : fuse(g)) {
    std::vector<std::string> ops;
    for (const Node* n : group.nodes) {
      const bool root = n == group.root ||
                        std::find(group.siblings.begin(), group.siblings.end(), n) != group.siblings.end();
      if (n->op != Op::constant) ops.push_back(fmt::format("{}{}", op_name(n->op), root ? "*" : ""));
    }
    texts.push_back(fmt::format("{} {}->{}", fmt::join(ops, " "), group.inputs.size(), group.outputs.size()));
  }
  return texts;
}
using Texts = std::vector<std::string>;

struct Fusion : ::testing::Test {
  Graph g{"fusion"};
  Value x = g.input("x", {DType::f32, {8, 16}});
  Value y = g.input("y", {DType::f32, {8, 16}});
  Value w = g.state("w", {DType::f32, {16, 32}});
  Value b = g.state("b", {DType::f32, {32}});
};

TEST_F(Fusion, ElementwiseChainsAreOneKernel) {
  const Value t = tanh(x * y);  // a name for each part: the order of operands' evaluation is the compiler's
  g.output("z", t + exp(x));
  EXPECT_EQ(groups_of(g), Texts{"mul tanh exp add 2->1"});
}

TEST_F(Fusion, MovementIsReadThrough) {
  g.output("z", -concatenate(std::vector{reverse(x, {1}), transpose(reshape(exp(y), {16, 8}), {1, 0})}, 0));
  EXPECT_EQ(groups_of(g), Texts{"reverse exp reshape transpose concatenate neg 2->1"});
}

TEST_F(Fusion, ProducersGoIntoReductions) {
  g.output("z", reduce_sum(x * y, {1}) * 2.0);
  EXPECT_EQ(groups_of(g), Texts{"mul reduce_sum* broadcast mul 2->1"});
}

TEST_F(Fusion, ProductsHaveEpiloguesButNoProducers) {
  g.output("z", sigmoid(matmul(exp(x), w) + b));
  EXPECT_EQ(groups_of(g), (Texts{"exp 1->1", "dot* broadcast add sigmoid 3->1"}));
}

TEST_F(Fusion, BetweenTwoRootsAChainIsTheFirstsEpilogue) {
  g.output("z", reduce_max(sigmoid(matmul(x, w) + b), {0}));
  EXPECT_EQ(groups_of(g), (Texts{"dot* broadcast add sigmoid 3->1", "reduce_max* 1->1"}));
}

TEST_F(Fusion, AResidualIsPartOfTheEpilogue) {
  const Value r = g.input("r", {DType::f32, {8, 32}});
  const Value dense = matmul(x, w) + b;
  g.output("z", maximum(dense + tanh(r), scalar(r, 0)));
  EXPECT_EQ(groups_of(g), Texts{"dot* broadcast add tanh add broadcast maximum 4->1"});
}

TEST_F(Fusion, AnEpilogueMustNotReadItsRootElsewhere) {
  const Value square = matmul(x, transpose(x, {1, 0}));
  g.output("z", square + transpose(square, {1, 0}));
  EXPECT_EQ(groups_of(g), (Texts{"transpose 1->1", "dot* 2->1", "transpose add 1->1"}));
}

TEST_F(Fusion, AnExpensiveValueOfTwoKernelsIsComputedOnce) {
  const Value e = exp(x);
  g.output("rows", reduce_sum(e * y, {1}));
  g.output("columns", reduce_sum(e, {0}));
  EXPECT_EQ(groups_of(g), (Texts{"exp mul reduce_sum* 2->2", "reduce_sum* 1->1"}));
}

TEST_F(Fusion, ExpensiveWorkIsNotRepeatedByBroadcasting) {
  g.output("z", x * broadcast(exp(reduce_max(x, {0})), {8, 16}, {1}));
  EXPECT_EQ(groups_of(g), (Texts{"reduce_max* exp 1->1", "broadcast mul 2->1"}));
}

TEST_F(Fusion, CheapWorkOnScalarsIsRepeated) {
  const Value s = g.input("s", {DType::f32, {}});
  const Value doubled = s * 2.0;
  g.output("a", x * doubled);
  g.output("b", reduce_sum(w * doubled, {0}));
  EXPECT_EQ(groups_of(g), (Texts{"mul broadcast mul 2->1", "mul broadcast mul reduce_sum* 2->1"}));
}

TEST_F(Fusion, OneHotRowsAreCountedWhereTheyAreNeeded) {
  const Value labels = g.input("labels", {DType::i32, {8}});
  const Value hot = compare(iota(g, {DType::i32, {8, 16}}, 1), expand_dims(labels, 1), "eq");
  g.output("picked", reduce_sum(select(hot, x, zeros_like(x)), {1}));
  g.output("count", reduce_sum(select(hot, y, zeros_like(y)), {0}));
  const Graph simplified = simplify(g);
  for (const Group& group : fuse(simplified)) {
    EXPECT_NE(group.root, nullptr) << group.name;
    for (Value v : group.outputs) EXPECT_NE(v.dtype(), DType::bool_);
  }
}

TEST_F(Fusion, ADifferenceFromAnArrayThatIsThereIsTakenAgain) {
  const Value centred = x - broadcast(reduce_sum(x, {0}), {8, 16}, {1});
  g.output("squares", reduce_sum(centred * centred, {0}));
  g.output("z", tanh(centred));
  EXPECT_EQ(groups_of(g),
            (Texts{"reduce_sum* 1->1", "broadcast sub mul reduce_sum* 2->1", "broadcast sub tanh 2->1"}));
}

// A product that is rounded here and part of a fused multiply-add there would have two values; the
// exponential of the difference to the maximum could then be any number above 1.
TEST_F(Fusion, WhatASoftmaxTakesItsMaximumOfIsComputedOnce) {
  const Value scaled = x * y;
  const Value largest = reduce_max(scaled, {1});
  const Value e = exp(scaled - broadcast(largest, {8, 16}, {0}));
  g.output("softmax", e / broadcast(reduce_sum(e, {1}), {8, 16}, {0}));
  int products = 0;
  for (const Group& group : fuse(g))
    products += static_cast<int>(std::count(group.nodes.begin(), group.nodes.end(), scaled.node));
  EXPECT_EQ(products, 1);
}

TEST_F(Fusion, SmallKernelsThatShareAValueAreJoined) {
  const Value total = reduce_sum(x, {1});
  const Value half = total * 0.5;
  g.output("a", exp(half));
  g.output("b", half + 1.0);
  EXPECT_EQ(groups_of(g), Texts{"reduce_sum* broadcast mul exp broadcast add 1->2"});
}

TEST_F(Fusion, ReductionsOfTheSameElementsAreSiblings) {
  g.output("sum", reduce_sum(x, {1}));
  g.output("squares", reduce_sum(x * x, {1}));
  g.output("largest", reduce_max(x, {1}));
  EXPECT_EQ(groups_of(g), Texts{"reduce_sum* mul reduce_sum* reduce_max* 1->3"});
}

TEST_F(Fusion, SiblingsMustNotNeedEachOther) {
  const Value mean = reduce_sum(x, {0}) * (1.0 / 8);
  g.output("variance", reduce_sum(pow(x - broadcast(mean, {8, 16}, {1}), scalar(x, 2)), {0}));
  EXPECT_EQ(groups_of(g).size(), 2u);
}

TEST_F(Fusion, BothReductionsOfAnEpilogueAreItsRoots) {
  const Value mean = reduce_sum(x, {1}) * (1.0 / 16);
  const Value squares = reduce_sum(x * x, {1}) * (1.0 / 16);
  g.output("variance", squares - mean * mean);
  EXPECT_EQ(groups_of(g), Texts{"reduce_sum* broadcast mul mul reduce_sum* broadcast mul mul sub 1->1"});
}

TEST_F(Fusion, SeveralOutputsOfOneLoop) {
  const Value e = exp(x);
  g.output("e", e);
  g.output("z", e * y);
  EXPECT_EQ(groups_of(g), Texts{"exp mul 2->2"});
}

TEST_F(Fusion, IndependentMapsOverACommonArrayAreJoined) {
  g.output("a", exp(x));
  g.output("b", x * y);
  g.output("c", exp(w));
  EXPECT_EQ(groups_of(g), (Texts{"exp mul 2->2", "exp 1->1"}));
}

TEST_F(Fusion, ARunningAverageAndItsUserAreOneKernel) {
  const Value m = g.state("m", {DType::f32, {16, 32}});
  const Value gradient = dot(x, matmul(y, w), {}, {}, {0}, {0});
  const Value average = m + (gradient - m) * 0.1;
  g.update(m, average);
  g.update(w, w - average * 0.01);
  const Texts texts = groups_of(g);
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(texts[1], "dot* sub broadcast mul add broadcast mul sub 4->2");
}

TEST_F(Fusion, ReshapesOfArraysAreViews) {
  g.output("z", matmul(reshape(exp(w), {32, 16}), x.graph().state("v", {DType::f32, {16, 2}})));
  EXPECT_EQ(groups_of(g), (Texts{"exp 1->1", "dot* 2->1"}));
}

TEST_F(Fusion, TheTableOfAGatherIsAnArrayButItsIndicesAreComputed) {
  const Value i = g.input("i", {DType::i32, {5}});
  g.output("z", gather(exp(x), i + i, 0) * 2.0);
  EXPECT_EQ(groups_of(g), (Texts{"exp 1->1", "add gather broadcast mul 2->1"}));
}

TEST_F(Fusion, WindowsTakeProducersOnlyIfTheyDoNotOverlap) {
  const Value image = g.input("image", {DType::f32, {1, 8, 8, 1}});
  const auto pool = [&](std::int64_t stride) {
    return window_max(tanh(image), {.window = {1, 2, 2, 1},
                                    .strides = {1, stride, stride, 1},
                                    .low = {0, 0, 0, 0},
                                    .high = {0, 0, 0, 0}});
  };
  g.output("z", pool(2));
  EXPECT_EQ(groups_of(g), Texts{"tanh window_max* 1->1"});
  g.output("overlapping", pool(1));
  EXPECT_EQ(groups_of(g), (Texts{"tanh window_max* 1->1", "tanh 1->1", "window_max* 1->1"}));
}

TEST_F(Fusion, MaximaAndTheirPlacesAreOneKernel) {
  const Value image = g.input("image", {DType::f32, {1, 8, 8, 1}});
  for (std::int64_t stride : {2, 1}) {
    const WindowAttrs attrs{.window = {1, 2, 2, 1}, .strides = {1, stride, stride, 1}};
    const Value y = sigmoid(window_max(image, attrs));
    g.output("y", y);
    g.output("dx", exp(window_max_grad(window_argmax(image, attrs), y, image.shape(), attrs)));
  }
  EXPECT_EQ(groups_of(g), (Texts{"window_max* sigmoid window_argmax* 1->2", "window_max_grad* exp 2->1",
                                 "window_max* sigmoid window_argmax* 1->2", "window_max_grad* exp 2->1"}));
  // Other windows, other loops.
  g.output("other", window_argmax(image, {.window = {1, 3, 3, 1}, .strides = {1, 2, 2, 1}}));
  EXPECT_EQ(groups_of(g).size(), 5u);
}

TEST_F(Fusion, ChecksTakeTheirComparisons) {
  const Value labels = g.input("labels", {DType::i32, {8}});
  const Value fits = compare(labels, scalar(labels, 10), "lt");
  check(fits, labels, "label {value}");
  EXPECT_EQ(groups_of(g), Texts{"broadcast compare check* 1->0"});
  check(logical_not(logical_not(fits)), labels, "loss: label {value}");
  EXPECT_EQ(groups_of(g), (Texts{"broadcast compare check* 1->0",
                                 "broadcast compare logical_not logical_not check* 1->0"}));
}

TEST_F(Fusion, ValuesWithoutElementsAndScalars) {
  const Value none = slice(x, {0, 0}, {0, 16});
  g.output("none", exp(none) * 2.0);
  g.output("sum", reduce_sum(none));
  g.output("scalar", tanh(reduce_sum(x)));
  const Plan plan = plan_unoptimized(std::move(g));
  EXPECT_GE(plan.schedule.size(), 2u);
}

// The group of a consumer may only take over what doesn't wait for something that waits for it.
TEST_F(Fusion, NoCircleThroughAnotherKernel) {
  // p is used by q at once, and by q again through a product: p can't be q's further output.
  const Value p = exp(x);
  const Value through = matmul(matmul(p, w), transpose(w, {1, 0}));
  g.output("q", p + through);
  const Plan plan = plan_unoptimized(std::move(g));
  EXPECT_EQ(plan.schedule.size(), 4u) << print(plan);
}

TEST(FusionSweep, GroupsNeverWaitForEachOther) {
  for (std::int64_t seed = 1000; seed < 1300; seed++) {
    const RandomProgram r = random_program(seed, {.ops = 60, .corners = seed % 2 == 0});
    std::vector<Group> groups = fuse(*r.graph);
    EXPECT_LE(groups.size(), fuse(*r.graph, {.fuse = false}).size());
    ASSERT_NO_THROW(schedule(*r.graph, std::move(groups))) << "seed " << seed;
  }
}

TEST(FusionSweep, EveryOpIsPlanned) {
  for (const bool fused : {true, false}) {
    const Plan plan = compile_plan(every_op(), {.fuse = fused});
    EXPECT_GT(plan.schedule.size(), 10u);
    plan_unoptimized(every_op(), {.fuse = fused});
  }
}

}  // namespace
}  // namespace kiln::graph::testing
