#include "graph/passes/min_cut.h"
#include "kiln/graph/ops.h"
#include "tests/graph/evaluate.h"
#include "tests/graph/pass_testing.h"
#include "tests/support/random_tensor.h"

namespace kiln::graph::testing {
namespace {

// ---- the cheapest cut -------------------------------------------------------------------------------------

TEST(MinCut, GoesWhereEdgesAreCheapest) {
  // Two chains from the source to the sink, with an edge between.
  MinCut cut;
  const int a = cut.add_node(), b = cut.add_node(), c = cut.add_node();
  cut.add_edge(MinCut::source, a, 10);
  cut.add_edge(a, b, 3);
  cut.add_edge(b, MinCut::sink, 5);
  cut.add_edge(MinCut::source, c, 1);
  cut.add_edge(c, MinCut::sink, 7);
  cut.add_edge(a, c, 4);
  // b's side costs 3; a's edge to c, 4, and c's from the source, 1, are less than the 7 behind it.
  const std::vector<bool> sink_side = cut.sink_side();
  EXPECT_FALSE(sink_side[static_cast<std::size_t>(a)]);
  EXPECT_TRUE(sink_side[static_cast<std::size_t>(b)]);
  EXPECT_TRUE(sink_side[static_cast<std::size_t>(c)]);
}

TEST(MinCut, FewestNodesOnTheSinksSideWhereCutsCostTheSame) {
  MinCut cut;
  const int a = cut.add_node(), b = cut.add_node(), alone = cut.add_node();
  cut.add_edge(MinCut::source, a, 2);
  cut.add_edge(a, b, 2);
  cut.add_edge(b, MinCut::sink, 2);
  const std::vector<bool> sink_side = cut.sink_side();
  for (int node : {a, b, alone}) EXPECT_FALSE(sink_side[static_cast<std::size_t>(node)]) << node;
}

// ---- the pass ---------------------------------------------------------------------------------------------

TEST(Layout, BatchLastForFewFiltersUntilAfterThePooling) {
  expect_pass(layout, R"(
graph g {
  %0 = input "x" : f32[128,28,28,1]
  %1 = input "kernel" : f32[5,5,1,6]
  %2 = input "bias" : f32[6]
  %3 = conv(%0, %1) {dilation=[1, 1], groups=1, high=[0, 0], low=[0, 0], strides=[1, 1]} : f32[128,24,24,6]
  %4 = broadcast(%2) {dims=[3], shape=[128, 24, 24, 6]} : f32[128,24,24,6]
  %5 = add(%3, %4) : f32[128,24,24,6]
  %6 = window_max(%5) {high=[0, 0, 0, 0], low=[0, 0, 0, 0], strides=[1, 2, 2, 1], window=[1, 2, 2, 1]} : f32[128,12,12,6]
  output "y" = %6
})",
              R"(
graph g {
  %0 = input "x" : f32[128,28,28,1]
  %1 = input "kernel" : f32[5,5,1,6]
  %2 = input "bias" : f32[6]
  %3 = transpose(%0) {permutation=[1, 2, 3, 0]} : f32[28,28,1,128]
  %4 = conv_batch_last(%3, %1) {dilation=[1, 1], groups=1, high=[0, 0], low=[0, 0], strides=[1, 1]} : f32[24,24,6,128]
  %5 = broadcast(%2) {dims=[3], shape=[128, 24, 24, 6]} : f32[128,24,24,6]
  %6 = broadcast(%2) {dims=[2], shape=[24, 24, 6, 128]} : f32[24,24,6,128]
  %7 = add(%4, %6) : f32[24,24,6,128]
  %8 = window_max(%7) {high=[0, 0, 0, 0], low=[0, 0, 0, 0], strides=[2, 2, 1, 1], window=[2, 2, 1, 1]} : f32[12,12,6,128]
  %9 = transpose(%8) {permutation=[3, 0, 1, 2]} : f32[128,12,12,6]
  output "y" = %9
})");
}

constexpr const char* conv_text = R"(
graph g {{
  %0 = input "x" : f32[{0},28,28,{1}]
  %1 = input "kernel" : f32[5,5,{1},{2}]
  %2 = conv(%0, %1) {{dilation=[1, 1], groups=1, high=[0, 0], low=[0, 0], strides=[1, 1]}} : f32[{0},24,24,{2}]
  output "y" = %2
}})";

TEST(Layout, StaysWhereNothingIsWon) {
  // One image has no batch to run vectors along; 16 filters fill a vector; sixteen channels in front of six
  // filters are more to move, but more products, too.
  expect_unchanged(layout, fmt::format(conv_text, 1, 1, 6));
  expect_unchanged(layout, fmt::format(conv_text, 4, 1, 6));
  expect_unchanged(layout, fmt::format(conv_text, 128, 1, 16));
  expect_unchanged(layout, fmt::format(conv_text, 128, 4, 32));
  EXPECT_NE(print(layout(parse(fmt::format(conv_text, 128, 16, 6)))).find("conv_batch_last"),
            std::string::npos);
}

/// Everything that may have either layout, in a graph and its gradient.
Graph network(std::int64_t batch, ConvAlgorithm algorithm) {
  Graph g("network");
  const Value x = g.input("x", {DType::f32, {batch, 12, 11, 2}});
  const Value first = g.input("first", {DType::f32, {3, 3, 2, 3}});
  const Value second = g.input("second", {DType::f32, {3, 3, 3, 5}});
  const Value grouped = g.input("grouped", {DType::f32, {2, 2, 1, 4}});
  const Value bias = g.input("bias", {DType::f32, {3}});
  const Value y = sigmoid(conv(x, first, {.low = {1, 1}, .high = {1, 1}}) + bias);
  const WindowAttrs window{.window = {1, 2, 2, 1}, .strides = {1, 2, 2, 1}};
  const Value pooled = window_max(y, window);
  const Value z = conv(pooled, second, {.low = {1, 0}, .high = {0, 1}});
  g.output("z", z);
  g.output("averages", window_sum(reverse(pooled, {1}), {.window = {1, 3, 2, 1}}));
  g.output("groups", conv(x, grouped, {.strides = {2, 1}, .dilation = {1, 2}, .groups = 2}));
  const Value dz = sin(z);
  const ConvAttrs same{.low = {1, 0}, .high = {0, 1}};
  g.output("second", conv_kernel_grad(pooled, dz, second.shape(), same));
  const Value dpooled = conv_input_grad(dz, second, pooled.shape(), same);
  const Value dy = window_max_grad(window_argmax(y, window), dpooled, y.shape(), window) * y;
  g.output("bias", reduce_sum(dy, {0, 1, 2}));
  g.output("first", conv_kernel_grad(x, dy, first.shape(), {.low = {1, 1}, .high = {1, 1}}));
  return canonicalize(g, algorithm);
}

TEST(Layout, ResultsAreTheSame) {
  RandomNumbers random(5);
  for (auto algorithm : {ConvAlgorithm::direct, ConvAlgorithm::winograd}) {
    const Graph g = network(3, algorithm), moved = layout(g, true);
    verify(moved);
    int forms = 0;
    for (const Node& n : moved.nodes()) forms += n.op == Op::conv_batch_last || n.op == Op::conv_kernel_sums;
    EXPECT_GE(forms, algorithm == ConvAlgorithm::direct ? 5 : 1) << print(moved);
    std::vector<Tensor> inputs;
    for (Value v : g.inputs()) inputs.push_back(random.tensor(v.shape(), -1, 1, DType::f32));
    const InterpreterResult expected = interpret(g, inputs, {}), got = interpret(moved, inputs, {});
    for (std::size_t i = 0; i < expected.outputs.size(); i++) {
      ASSERT_EQ(got.outputs[i].shape(), expected.outputs[i].shape());
      for (std::int64_t k = 0; k < expected.outputs[i].size(); k++)
        EXPECT_NEAR(got.outputs[i].data<float>()[k], expected.outputs[i].data<float>()[k], 2e-3)
            << g.outputs()[i].name << "\n"
            << print(moved);
    }
  }
}

}  // namespace
}  // namespace kiln::graph::testing
