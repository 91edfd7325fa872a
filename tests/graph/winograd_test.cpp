// Winograd's form of convolutions and their gradients: the same numbers, and where it is chosen.
#include "graph/passes/winograd.h"

#include "graph/ops/winograd.h"
#include "graph/passes/passes.h"
#include "tests/graph/evaluate.h"
#include "tests/graph/pass_testing.h"
#include "tests/support/errors.h"

namespace kiln::graph {
namespace {

using testing::Draw;

struct Case {
  Shape x, kernel;
  Ints low, high;
};

/// Rests of tiles on either axis, padding wider than a tile's rim, a single result, one channel.
const Case cases[] = {
    {{2, 9, 7, 3}, {3, 3, 3, 2}, {1, 1}, {1, 1}},  {{1, 3, 3, 2}, {3, 3, 2, 5}, {0, 0}, {0, 0}},
    {{3, 4, 11, 1}, {3, 3, 1, 1}, {0, 2}, {3, 0}}, {{2, 8, 6, 2}, {5, 5, 2, 3}, {2, 2}, {2, 2}},
    {{1, 5, 9, 4}, {5, 5, 4, 1}, {0, 4}, {0, 1}},
};

/// The graphs that `build` makes, canonicalized for direct products and in Winograd's form, agree.
void expect_same(const Case& c, Value (*build)(const Case&, Graph&)) {
  Graph g("g");
  g.output("y", build(c, g));
  Draw draw(7);
  std::vector<Tensor> inputs;
  for (Value v : g.inputs()) inputs.push_back(draw.tensor(v.shape()));
  const Graph direct = canonicalize(g, ConvAlgorithm::direct),
              tiled = canonicalize(g, ConvAlgorithm::winograd);
  const auto is_tiled = [](const Node& n) {
    return n.op == Op::winograd_conv || n.op == Op::winograd_kernel_grad;
  };
  EXPECT_TRUE(std::any_of(tiled.nodes().begin(), tiled.nodes().end(), is_tiled)) << print(tiled);
  EXPECT_TRUE(std::none_of(direct.nodes().begin(), direct.nodes().end(), is_tiled)) << print(direct);
  const Tensor expected = interpret(direct, inputs, {}).outputs[0],
               got = interpret(tiled, inputs, {}).outputs[0];
  ASSERT_EQ(got.shape(), expected.shape());
  for (std::int64_t i = 0; i < got.size(); i++)
    ASSERT_NEAR(got.data<double>()[i], expected.data<double>()[i], 1e-13 * 300) << print(g) << i;
}

ConvAttrs attrs_of(const Case& c) {
  return {.strides = {1, 1}, .low = c.low, .high = c.high, .dilation = {1, 1}};
}
Shape result_of(const Case& c) {
  const winograd::Tiles tiles(c.x, c.low, c.high, c.kernel[0]);
  return {c.x[0], tiles.height, tiles.width, c.kernel[3]};
}

TEST(Winograd, ConvolutionIsTheDirectOne) {
  for (const Case& c : cases)
    expect_same(c, [](const Case& c, Graph& g) {
      const Value x = g.input("x", {DType::f64, c.x}), k = g.input("k", {DType::f64, c.kernel});
      return conv(x, k, attrs_of(c));
    });
}

TEST(Winograd, GradientOfTheInputIsTheDirectOne) {
  for (const Case& c : cases) {
    if (c.low[0] >= c.kernel[0] || c.high[0] >= c.kernel[0]) continue;  // no such form: see below
    expect_same(c, [](const Case& c, Graph& g) {
      return conv_input_grad(g.input("dy", {DType::f64, result_of(c)}), g.input("k", {DType::f64, c.kernel}),
                             c.x, attrs_of(c));
    });
  }
}

TEST(Winograd, GradientOfTheKernelIsTheDirectOne) {
  for (const Case& c : cases)
    expect_same(c, [](const Case& c, Graph& g) {
      return conv_kernel_grad(g.input("x", {DType::f64, c.x}), g.input("dy", {DType::f64, result_of(c)}),
                              c.kernel, attrs_of(c));
    });
}

/// The op that canonicalize makes of a convolution.
Op chosen(const Shape& x, const Shape& kernel, DType type, ConvAttrs attrs, ConvAlgorithm algorithm) {
  Graph g("g");
  g.output("y", conv(g.input("x", {type, x}), g.input("k", {type, kernel}), attrs));
  const Graph result = canonicalize(g, algorithm);
  return result.outputs()[0].value.node->op;
}
Op chosen(const Shape& x, const Shape& kernel, DType type = DType::f32) {
  const std::int64_t pad = kernel[0] / 2;
  return chosen(x, kernel, type, {.low = {pad, pad}, .high = {pad, pad}}, ConvAlgorithm::automatic);
}

TEST(Winograd, IsChosenWhereItSavesMoreThanItCosts) {
  EXPECT_EQ(chosen({16, 56, 56, 64}, {3, 3, 64, 64}), Op::winograd_conv);
  EXPECT_EQ(chosen({16, 26, 26, 96}, {5, 5, 96, 256}), Op::winograd_conv);
  EXPECT_EQ(chosen({16, 224, 224, 1}, {3, 3, 1, 16}), Op::conv) << "one channel: nothing but transforms";
  EXPECT_EQ(chosen({128, 14, 14, 6}, {5, 5, 6, 16}), Op::winograd_conv);
  EXPECT_EQ(chosen({16, 56, 56, 3}, {3, 3, 3, 64}), Op::conv);
  EXPECT_EQ(chosen({16, 3, 3, 192}, {3, 3, 192, 384}), Op::conv) << "mostly tiles' rests";
  EXPECT_EQ(chosen({16, 56, 56, 64}, {3, 3, 64, 64}, DType::f64), Op::conv);
  EXPECT_EQ(chosen({16, 56, 56, 64}, {7, 7, 64, 64}), Op::conv) << "no transform";
}

TEST(Winograd, TheLogSaysWhy) {
  Graph g("g");
  const auto convolved = [&](const char* name, const Shape& x, const Shape& kernel, Ints strides = {1, 1}) {
    g.output(name, conv(g.input(name + std::string("_x"), {DType::f32, x}),
                        g.input(name + std::string("_k"), {DType::f32, kernel}), {.strides = strides}));
  };
  convolved("wide", {16, 30, 30, 16}, {3, 3, 16, 32});
  convolved("strided", {1, 30, 30, 16}, {3, 3, 16, 32}, {2, 2});
  convolved("small", {1, 5, 5, 16}, {3, 3, 16, 32});
  std::string log;
  canonicalize(g, ConvAlgorithm::automatic, &log);
  EXPECT_EQ(
      log,
      "%2 conv: f32[16,30,30,16] by (3, 3, 16, 32): winograd: 1241856 multiply-adds an image, transforms "
      "included, instead of 3612672\n"
      "%5 conv: f32[1,30,30,16] by (3, 3, 16, 32): direct: Winograd has no form for its kernel and strides\n"
      "%8 conv: f32[1,5,5,16] by (3, 3, 16, 32): direct: too few tiles an image (1) for what is read of the "
      "kernel\n");
}

TEST(Winograd, TheChoiceDoesNotDependOnTheBatch) {
  for (std::int64_t size : {4, 6, 8, 12, 28})
    for (std::int64_t channels : {8, 16, 64, 384}) {
      const Shape kernel{3, 3, channels, 32};
      EXPECT_EQ(chosen({1, size, size, channels}, kernel), chosen({512, size, size, channels}, kernel));
    }
}

TEST(Winograd, HasNoFormForStridesDilationAndGroups) {
  const Shape x{1, 12, 12, 8}, kernel{3, 3, 8, 8};
  const auto forced = ConvAlgorithm::winograd;
  EXPECT_EQ(chosen(x, kernel, DType::f32, {}, forced), Op::winograd_conv);
  EXPECT_EQ(chosen(x, kernel, DType::f32, {.strides = {2, 1}}, forced), Op::conv);
  EXPECT_EQ(chosen(x, kernel, DType::f32, {.dilation = {1, 2}}, forced), Op::conv);
  EXPECT_EQ(chosen(x, {3, 3, 4, 8}, DType::f32, {.groups = 2}, forced), Op::conv);
  EXPECT_EQ(chosen(x, {3, 5, 8, 8}, DType::f32, {}, forced), Op::conv);
  EXPECT_EQ(chosen({1, 12, 8}, {3, 8, 8}, DType::f32, {}, forced), Op::conv) << "one axis";
}

TEST(Winograd, CanonicalFormTransformsTheKernelByAProduct) {
  const auto pass = [](const Graph& g) { return canonicalize(g, ConvAlgorithm::winograd); };
  Graph g("g");
  const Value x = g.input("x", {DType::f32, {1, 4, 4, 2}}), k = g.input("k", {DType::f32, {3, 3, 2, 3}});
  g.output("y", conv(x, k, {.low = {1, 1}, .high = {1, 1}}));
  const std::string text = print(pass(g));
  EXPECT_NE(text.find("reshape(%1) {shape=[9, 6]} : f32[9,6]"), std::string::npos) << text;
  EXPECT_NE(text.find("{lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[36,6]"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("{batch_last=false, high=[1, 1], low=[1, 1], window=3} : f32[1,4,4,3]"),
            std::string::npos)
      << text;
  EXPECT_EQ(print(pass(pass(g))), text) << "a second run changes the result of the first";
}

TEST(Winograd, ShapeErrorsSayWhatWasExpected) {
  Graph g("g");
  const Value x = g.input("x", {DType::f32, {1, 6, 6, 2}});
  const auto array = [&](Shape shape) { return g.input("k", {DType::f32, std::move(shape)}); };
  const auto expect = [](const std::string& part, const auto& emit) {
    const std::string message = kiln::testing::message_of<ShapeError>(emit);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect("(36, C, F)", [&] { winograd_conv(x, array({9, 2, 3}), 3, {0, 0}, {0, 0}); });
  expect("(36, 3, 3)", [&] { winograd_conv(x, array({36, 3, 3}), 3, {0, 0}, {0, 0}); });
  expect("no transform for 4x4", [&] { winograd_conv(x, array({36, 2, 3}), 4, {0, 0}, {0, 0}); });
  expect("low must be two sizes", [&] { winograd_conv(x, array({36, 2, 3}), 3, {0}, {0, 0}); });
  expect("(1, 4, 4, 3)", [&] { winograd_kernel_grad(x, array({1, 6, 6, 3}), 3, {0, 0}, {0, 0}, 1); });
  expect("parts", [&] { winograd_kernel_grad(x, array({1, 4, 4, 3}), 3, {0, 0}, {0, 0}, 0); });
}

}  // namespace
}  // namespace kiln::graph
