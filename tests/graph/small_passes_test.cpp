#include <gtest/gtest.h>

#include <cmath>

#include "kiln/graph/ops.h"
#include "tests/graph/evaluate.h"
#include "tests/graph/pass_testing.h"

namespace kiln::graph::testing {
namespace {

// ---- dead code --------------------------------------------------------------------------------------------

TEST(Dce, DropsWhatNothingNeedsButKeepsInputsAndStates) {
  expect_pass(dce, R"(graph g {
  %0 = input "x" : f32[2]
  %1 = input "unused" : f32[2]
  %2 = state "s" : f32[2]
  %3 = neg(%0) : f32[2]
  %4 = exp(%3) : f32[2]
  %5 = abs(%0) : f32[2]
  output "y" = %5
}
)",
              R"(graph g {
  %0 = input "x" : f32[2]
  %1 = input "unused" : f32[2]
  %2 = state "s" : f32[2]
  %5 = abs(%0) : f32[2]
  output "y" = %5
}
)");
}

TEST(Dce, ChecksAndUpdatesAreNeeded) {
  expect_unchanged(dce, R"(graph g {
  %0 = input "x" : f32[2]
  %1 = state "s" : f32[2]
  %2 = add(%1, %0) : f32[2]
  %3 = is_finite(%0) : bool[2]
  %4 = check(%3, %0) {message="row {row} is {value}"}
  update %1 = %2
}
)");
}

// ---- common subexpressions --------------------------------------------------------------------------------

TEST(Cse, MergesEqualNodesAndWhatFollows) {
  expect_pass(cse, R"(graph g {
  %0 = input "x" : f32[2]
  %1 = exp(%0) : f32[2]
  %2 = exp(%0) : f32[2]
  %3 = neg(%1) : f32[2]
  %4 = neg(%2) : f32[2]
  %5 = add(%3, %4) : f32[2]
  output "y" = %5
}
)",
              R"(graph g {
  %0 = input "x" : f32[2]
  %1 = exp(%0) : f32[2]
  %3 = neg(%1) : f32[2]
  %5 = add(%3, %3) : f32[2]
  output "y" = %5
}
)");
}

TEST(Cse, AttributesOrderOfOperandsAndSignOfZeroCount) {
  expect_unchanged(cse, R"(graph g {
  %0 = input "x" : f32[2,2]
  %1 = input "y" : f32[2,2]
  %2 = reduce_sum(%0) {axes=[0]} : f32[2]
  %3 = reduce_sum(%0) {axes=[1]} : f32[2]
  %4 = sub(%0, %1) : f32[2,2]
  %5 = sub(%1, %0) : f32[2,2]
  %6 = constant {value=f32[] 0} : f32[]
  %7 = constant {value=f32[] -0} : f32[]
  output "a" = %2
  output "b" = %3
  output "c" = %4
  output "d" = %5
  output "e" = %6
  output "f" = %7
}
)");
}

TEST(Cse, RandomBitsOfOneStreamAreOneButStreamsAreTheirOwn) {
  Graph g("random");
  const Value key = g.state("key", {DType::i64, {2}});
  g.output("a", random_bits(key, {8}, 1));
  g.output("b", random_bits(key, {8}, 1));
  g.output("c", random_bits(key, {8}, 2));
  const Graph merged = cse(g);
  EXPECT_EQ(merged.outputs()[0].value, merged.outputs()[1].value);
  EXPECT_NE(merged.outputs()[0].value, merged.outputs()[2].value);
}

TEST(Cse, ChecksAreKept) {
  Graph g("checks");
  const Value x = g.input("x", {DType::f32, {3}});
  check(is_finite(x), x, "a");
  check(is_finite(x), x, "a");
  EXPECT_EQ(cse(g).checks().size(), 2u);
}

// ---- constant folding -------------------------------------------------------------------------------------

TEST(FoldConstants, EvaluatesWhatIsKnown) {
  expect_pass([](const Graph& g) { return dce(fold_constants(g)); }, R"(graph g {
  %0 = constant {value=f32[3] [1, 2, 3]} : f32[3]
  %1 = constant {value=f32[] 2} : f32[]
  %2 = broadcast(%1) {dims=[], shape=[3]} : f32[3]
  %3 = mul(%0, %2) : f32[3]
  %4 = reduce_sum(%3) {axes=[0]} : f32[]
  output "y" = %4
}
)",
              R"(graph g {
  %0 = constant {value=f32[] 12} : f32[]
  output "y" = %0
}
)");
}

TEST(FoldConstants, LeavesInputsBroadcastsCountingAndLargeResults) {
  expect_unchanged(fold_constants, R"(graph g {
  %0 = input "x" : f32[2]
  %1 = constant {value=f32[] 2} : f32[]
  %2 = broadcast(%1) {dims=[], shape=[2]} : f32[2]
  %3 = add(%0, %2) : f32[2]
  %4 = iota {axis=0, dtype=f32, shape=[2]} : f32[2]
  %5 = broadcast(%1) {dims=[], shape=[100, 100]} : f32[100,100]
  %6 = cumsum(%5) {axis=0, exclusive=false, reverse=false} : f32[100,100]
  output "a" = %3
  output "b" = %4
  output "c" = %6
}
)");
}

TEST(FoldConstants, SeveralResults) {
  Graph g("sorted");
  const std::vector<Value> sorted = sort(constant(g, Tensor({3.f, 1.f, 2.f})), 0);
  g.output("values", sorted[0]);
  g.output("indices", sorted[1]);
  const Graph folded = dce(fold_constants(g));
  ASSERT_EQ(folded.nodes().size(), 2u);
  expect_tensor(folded.outputs()[0].value.node->attributes.tensor("value"), {3}, {1, 2, 3});
  expect_tensor(folded.outputs()[1].value.node->attributes.tensor("value"), {3}, {1, 2, 0});
}

// ---- splitting reductions ---------------------------------------------------------------------------------

// Few taps, channels and filters, many images: one register tile, but work for several threads.
TEST(SplitReductions, KernelGradOfFewElementsIsCutIntoSums) {
  expect_pass(split_reductions, R"(
graph g {
  %0 = input "x" : f32[60,28,28,1]
  %1 = input "dy" : f32[60,24,24,6]
  %2 = conv_kernel_grad(%0, %1) {dilation=[1, 1], groups=1, high=[0, 0], kernel=[5, 5, 1, 6], low=[0, 0], strides=[1, 1]} : f32[5,5,1,6]
  output "dk" = %2
})",
              R"(
graph g {
  %0 = input "x" : f32[60,28,28,1]
  %1 = input "dy" : f32[60,24,24,6]
  %2 = conv_kernel_sums(%0, %1) {batch_last=false, dilation=[1, 1], groups=1, high=[0, 0], kernel=[5, 5, 1, 6], low=[0, 0], parts=10, strides=[1, 1]} : f32[10,5,5,1,6]
  %3 = reduce_sum(%2) {axes=[0]} : f32[5,5,1,6]
  output "dk" = %3
})");
}

std::string split_text(Shape shape, Ints axes, Value (*reduce)(Value, Ints, bool) = reduce_sum) {
  Graph g("g");
  g.output("y", reduce(g.input("x", {DType::f32, std::move(shape)}), std::move(axes), false));
  std::string text;
  const Graph split = dce(split_reductions(g));
  verify(split);
  for (const Node& n : split.nodes())
    if (n.op != Op::input && n.op != Op::constant)
      text += fmt::format("{} {}; ", op_name(n.op), n.type().to_string());
  return text;
}

TEST(SplitReductions, ImagesFirstThenTheBatch) {
  EXPECT_EQ(split_text({128, 24, 24, 6}, {0, 1, 2}), "reduce_sum f32[128,6]; reduce_sum f32[6]; ");
  EXPECT_EQ(split_text({128, 1000}, {0, 1}), "reduce_sum f32[128]; reduce_sum f32[]; ");
}

TEST(SplitReductions, LongLinesInPartsPaddedIfTheyMustBe) {
  EXPECT_EQ(split_text({100003}, {0}),
            "pad f32[102400]; reshape f32[25,4096]; reduce_sum f32[25]; reduce_sum f32[]; ");
  EXPECT_EQ(split_text({100000}, {0}), "reshape f32[25,4000]; reduce_sum f32[25]; reduce_sum f32[]; ");
  EXPECT_EQ(split_text({4000, 10}, {0}), "reshape f32[8,500,10]; reduce_sum f32[8,10]; reduce_sum f32[10]; ");
  EXPECT_EQ(split_text({60000, 16}, {0}),
            "reshape f32[60,1000,16]; reduce_sum f32[60,16]; reduce_sum f32[16]; ");
}

TEST(SplitReductions, RowsOfABatchAsARowAlone) {
  const auto shapes = [](std::int64_t rows, std::int64_t length) {
    std::string text = split_text({rows, length}, {1});
    const std::string number = fmt::format("[{}", rows);
    for (std::size_t at = 0; (at = text.find(number, at)) != std::string::npos;)
      text.replace(at, number.size(), "[N");
    return text;
  };
  for (std::int64_t rows : {2, 7, 8, 500, 3000}) {
    EXPECT_EQ(shapes(rows, 5000), "reduce_sum f32[N]; ");
    EXPECT_EQ(shapes(rows, 40000), shapes(1, 40000));
  }
  EXPECT_EQ(shapes(1, 40000), "reshape f32[N,10,4000]; reduce_sum f32[N,10]; reduce_sum f32[N]; ");
}

TEST(SplitReductions, LeavesSmallOnesAndThoseWithManyResults) {
  EXPECT_EQ(split_text({128, 10}, {0, 1}), "reduce_sum f32[]; ");
  EXPECT_EQ(split_text({128, 10}, {1}), "reduce_sum f32[128]; ");
  EXPECT_EQ(split_text({4096, 512}, {1}), "reduce_sum f32[4096]; ");
  EXPECT_EQ(split_text({16, 28, 28, 6}, {1, 2}), "reduce_sum f32[16,6]; ");
  EXPECT_EQ(split_text({100, 2000}, {0}), "reduce_sum f32[2000]; ");
  EXPECT_EQ(split_text({0, 7}, {0, 1}), "reduce_sum f32[]; ");
}

TEST(SplitReductions, PaddingNeverWins) {
  for (const DType type : {DType::f32, DType::f64, DType::i32, DType::i64}) {
    Graph g("padded");
    const Value x = g.input("x", {type, {40009}});
    g.output("max", reduce_max(x));
    g.output("min", reduce_min(x));
    g.output("sum", reduce_sum(x));
    g.output("prod", reduce_prod(x));
    const Graph split = split_reductions(g);
    EXPECT_GT(split.nodes().size(), g.nodes().size() + 8);
    for (const double value : {-3.0, 1.0, 7.0}) {
      const std::vector<Tensor> inputs = {Tensor::full({40009}, value, type)};
      const std::vector<Tensor> expected = interpret(g, inputs, {}).outputs,
                                got = interpret(split, inputs, {}).outputs;
      for (std::size_t i = 0; i < expected.size(); i++)
        EXPECT_EQ(got[i].item(), expected[i].item())
            << g.outputs()[i].name << " of " << name(type) << " " << value;
    }
  }
}

TEST(SplitReductions, KeepNotANumberAndInfinity) {
  Graph g("special");
  const Value x = g.input("x", {DType::f32, {40009}});
  g.output("max", reduce_max(x));
  g.output("sum", reduce_sum(x));
  const Graph split = split_reductions(g);
  Tensor t = Tensor::full({40009}, -infinity);
  EXPECT_EQ(interpret(split, std::vector{t}, {}).outputs[0].item(), -infinity);
  EXPECT_EQ(interpret(split, std::vector{t}, {}).outputs[1].item(), -infinity);
  t(40008) = nan;
  EXPECT_TRUE(std::isnan(interpret(split, std::vector{t}, {}).outputs[0].item()));
  EXPECT_TRUE(std::isnan(interpret(split, std::vector{t}, {}).outputs[1].item()));
}

}  // namespace
}  // namespace kiln::graph::testing
