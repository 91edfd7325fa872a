#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kiln/graph/ops.h"
#include "tests/graph/pass_testing.h"
#include "tests/support/random_tensor.h"

namespace kiln::graph::testing {
namespace {

TEST(Siblings, NarrowProductsOfOneOperandAreOne) {
  expect_pass(siblings, R"(graph heads {
  %0 = input "x" : f32[64,20]
  %1 = state "a" : f32[20,4]
  %2 = state "b" : f32[20,10]
  %3 = dot(%0, %1) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[64,4]  # first
  %4 = dot(%0, %2) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[64,10]  # second
  output "y" = %3
  output "z" = %4
}
)",
              R"(graph heads {
  %0 = input "x" : f32[64,20]
  %1 = state "a" : f32[20,4]
  %2 = state "b" : f32[20,10]
  %3 = concatenate(%1, %2) {axis=1} : f32[20,14]  # first+second
  %4 = dot(%0, %3) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[64,14]  # first+second
  %5 = slice(%4) {limit=[64, 4], start=[0, 0], stride=[1, 1]} : f32[64,4]  # first
  %6 = slice(%4) {limit=[64, 14], start=[0, 4], stride=[1, 1]} : f32[64,10]  # second
  output "y" = %5
  output "z" = %6
}
)");
}

// Bias and relu of each are one chain on the whole; a weight that is made later is made earlier.
TEST(Siblings, WhatFollowsThemIsOneAsWell) {
  expect_pass(siblings, R"(graph chains {
  %0 = input "x" : f32[64,20]
  %1 = state "a" : f32[20,4]
  %2 = state "b" : f32[10,20]
  %3 = state "c" : f32[4]
  %4 = state "d" : f32[10]
  %5 = constant {value=f32[] 0} : f32[]
  %6 = dot(%0, %1) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[64,4]
  %7 = broadcast(%3) {dims=[1], shape=[64, 4]} : f32[64,4]
  %8 = add(%6, %7) : f32[64,4]
  %9 = broadcast(%5) {dims=[], shape=[64, 4]} : f32[64,4]
  %10 = maximum(%8, %9) : f32[64,4]
  %11 = transpose(%2) {permutation=[1, 0]} : f32[20,10]
  %12 = dot(%0, %11) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[64,10]
  %13 = broadcast(%4) {dims=[1], shape=[64, 10]} : f32[64,10]
  %14 = add(%12, %13) : f32[64,10]
  %15 = broadcast(%5) {dims=[], shape=[64, 10]} : f32[64,10]
  %16 = maximum(%14, %15) : f32[64,10]
  %17 = exp(%16) : f32[64,10]
  output "y" = %10
  output "z" = %17
}
)",
              R"(graph chains {
  %0 = input "x" : f32[64,20]
  %1 = state "a" : f32[20,4]
  %2 = state "b" : f32[10,20]
  %3 = state "c" : f32[4]
  %4 = state "d" : f32[10]
  %5 = constant {value=f32[] 0} : f32[]
  %6 = transpose(%2) {permutation=[1, 0]} : f32[20,10]
  %7 = concatenate(%1, %6) {axis=1} : f32[20,14]
  %8 = dot(%0, %7) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[64,14]
  %9 = concatenate(%3, %4) {axis=0} : f32[14]
  %10 = broadcast(%9) {dims=[1], shape=[64, 14]} : f32[64,14]
  %11 = add(%8, %10) : f32[64,14]
  %12 = broadcast(%5) {dims=[], shape=[64, 14]} : f32[64,14]
  %13 = maximum(%11, %12) : f32[64,14]
  %14 = slice(%13) {limit=[64, 4], start=[0, 0], stride=[1, 1]} : f32[64,4]
  %15 = slice(%13) {limit=[64, 14], start=[0, 4], stride=[1, 1]} : f32[64,10]
  %16 = exp(%15) : f32[64,10]
  output "y" = %14
  output "z" = %16
}
)");
}

struct SiblingGraphs : ::testing::Test {
  Graph g{"siblings"};
  Value x = g.input("x", {DType::f32, {2, 6, 6, 20}});
  Value rows = reshape(x, {72, 20});

  Value weight(const Shape& shape) {
    return g.state(fmt::format("w{}", g.states().size()), {DType::f32, shape});
  }
  int count(Op op) const {
    const Graph result = siblings(g);
    verify(result);
    int n = 0;
    for (const Node& node : result.nodes()) n += node.op == op;
    return n;
  }
  /// The pass changes no bit, by the interpreter, which adds in the same order.
  void expect_same_bits() const {
    RandomNumbers random(1);
    std::vector<Tensor> inputs, states;
    for (Value v : g.inputs()) inputs.push_back(random.tensor(v.shape(), -1, 1, v.dtype()));
    for (const StateSlot& s : g.states())
      states.push_back(random.tensor(s.current.shape(), -1, 1, s.current.dtype()));
    const InterpreterResult before = interpret(g, inputs, states),
                            after = interpret(siblings(g), inputs, states);
    for (std::size_t i = 0; i < before.outputs.size(); i++)
      EXPECT_TRUE(kiln::graph::testing::same_bits(before.outputs[i], after.outputs[i])) << print(siblings(g));
  }
};

TEST_F(SiblingGraphs, PointwiseConvolutions) {
  for (std::int64_t filters : {10, 4, 20}) g.output("y", sigmoid(conv(x, weight({1, 1, 20, filters}), {})));
  EXPECT_EQ(count(Op::conv), 1);
  EXPECT_EQ(count(Op::sigmoid), 1);
  expect_same_bits();
}

// q, k and v of each place of a sequence, seen as heads: reshapes are followed, too.
TEST_F(SiblingGraphs, QueriesKeysAndValues) {
  const Value sequence = reshape(x, {6, 12, 20});
  std::vector<Value> heads;
  for (int i = 0; i < 3; i++) {
    const Value projected = reshape(matmul(reshape(sequence, {72, 20}), weight({20, 10})), {6, 12, 10});
    heads.push_back(projected + weight({10}));
  }
  const Value scores = dot(heads[0], heads[1], {0}, {0}, {2}, {2});
  g.output("y", dot(scores, heads[2], {0}, {0}, {2}, {1}));
  g = cse(g);
  EXPECT_EQ(count(Op::dot), 3);
  EXPECT_EQ(count(Op::add), 1);
  expect_same_bits();
}

TEST_F(SiblingGraphs, OtherFunctionsFollowEachByItself) {
  const Value first = matmul(rows, weight({20, 4})) + weight({4});
  const Value second = matmul(rows, weight({20, 10})) + weight({10});
  g.output("y", tanh(first));
  g.output("z", sigmoid(second));
  EXPECT_EQ(count(Op::dot), 1);
  EXPECT_EQ(count(Op::add), 1);
  EXPECT_EQ(count(Op::tanh), 1);
  expect_same_bits();
}

TEST_F(SiblingGraphs, NotWhereItGainsNothing) {
  const auto expect_apart = [&](const char* what, const std::vector<std::int64_t>& columns) {
    g = Graph("siblings");
    const Value a = g.input("x", {DType::f32, {64, 20}});
    for (std::int64_t n : columns) g.output("y", matmul(a, weight({20, n})));
    EXPECT_EQ(count(Op::dot), static_cast<int>(columns.size())) << what;
  };
  expect_apart("full vectors", {16, 32, 64});
  expect_apart("half vectors", {8, 8, 8});
  expect_apart("wide ones", {100, 100, 100});
  expect_apart("a single one", {10});
  expect_apart("a column is summed in an order of its own", {1, 1, 1});
}

TEST_F(SiblingGraphs, NotOfDifferentOperands) {
  g.output("y", matmul(rows, weight({20, 4})));
  g.output("z", matmul(sin(rows), weight({20, 4})));
  EXPECT_EQ(count(Op::dot), 2);
}

TEST_F(SiblingGraphs, NotByWhatTheProgramComputesFromInputs) {
  const Value first = matmul(rows, weight({20, 20}));
  g.output("y", first);
  g.output("z", matmul(rows, transpose(slice(first, {0, 0}, {20, 20}), {1, 0})));
  EXPECT_EQ(count(Op::dot), 2) << "the second needs the first's result";
}

TEST_F(SiblingGraphs, NotOfChangingWeightsForAFewRows) {
  const Value few = slice(rows, {0, 0}, {8, 20});
  for (int i = 0; i < 2; i++) {
    const Value w = weight({20, 4});
    g.output("y", matmul(few, w));
    g.update(w, w * 0.5);
  }
  EXPECT_EQ(count(Op::dot), 2);
}

TEST_F(SiblingGraphs, NotWhatIsConcatenatedAnyway) {
  std::vector<Value> parts;
  for (int i = 0; i < 3; i++) parts.push_back(sin(matmul(rows, weight({20, 4}))));
  g.output("y", concatenate(parts, 1));
  EXPECT_EQ(count(Op::dot), 3);
}

}  // namespace
}  // namespace kiln::graph::testing
