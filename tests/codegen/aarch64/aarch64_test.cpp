// Code for AArch64, run by qemu-aarch64 on whatever machine this is, against the interpreter.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "codegen/faults.h"
#include "codegen/sanitize.h"
#include "kiln/graph/interpreter.h"
#include "kiln/graph/ops.h"
#include "tests/codegen/aarch64/machine.h"
#include "tests/codegen/compile_support.h"
#include "tests/support/compare.h"
#include "tests/support/lenet.h"
#include "tests/support/random_graph.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

struct AArch64 : ::testing::Test {
  void SetUp() override {
    if (built_with_address_sanitizer)
      GTEST_SKIP() << "generated code calls the address sanitizer, which start.c doesn't have";
  }

  Graph g{"aarch64"};
  Value input(const Shape& shape, DType dtype = DType::f32) {
    return g.input(fmt::format("x{}", g.inputs().size()), {dtype, shape});
  }
};

void expect_as_interpreted(const Graph& graph, const CompileOptions& options = {}, double tolerance = 1e-5) {
  const Arguments arguments = random_arguments(graph, 1);
  const InterpreterResult expected = interpret(graph, arguments.inputs, arguments.states);
  const AArch64Program::Results got = AArch64Program(graph, options).run(arguments.inputs, arguments.states);
  EXPECT_EQ(got.failed, 0);
  for (std::size_t i = 0; i < got.outputs.size(); i++)
    expect_close(expected.outputs[i], got.outputs[i], tolerance, graph.outputs()[i].name);
  for (std::size_t i = 0; i < got.states.size(); i++)
    expect_close(expected.states[i], got.states[i], tolerance, fmt::format("state {}", i));
}

TEST_F(AArch64, Products) {
  const Value a = input({37, 53}), b = input({53, 29}), batched = input({3, 5, 7}), c = input({3, 7, 11}),
              column = input({53, 1});
  g.output("product", matmul(a, b));
  g.output("transposed", matmul(transpose(b, {1, 0}), transpose(a, {1, 0})));
  g.output("batched", matmul(batched, c));
  g.output("column", matmul(a, column));
  expect_as_interpreted(g);
}

TEST_F(AArch64, Convolutions) {
  const Value x = input({2, 9, 11, 5}), narrow = input({2, 12, 13, 1});
  g.output("3x3", conv(x, input({3, 3, 5, 19}), {.low = {1, 1}, .high = {1, 1}}));
  g.output("1x1", conv(x, input({1, 1, 5, 7}), {}));
  g.output("5x5", conv(narrow, input({5, 5, 1, 6}), {}));
  g.output("strided", conv(x, input({3, 2, 5, 4}), {.strides = {2, 3}}));
  g.output("dilated", conv(x, input({3, 3, 5, 4}), {.dilation = {2, 2}}));
  g.output("groups", conv(x, input({3, 3, 1, 10}), {.low = {1, 1}, .high = {1, 1}, .groups = 5}));
  const Value z = conv(narrow, input({5, 5, 1, 6}), {});
  const WindowAttrs pool{.window = {1, 2, 2, 1}, .strides = {1, 2, 2, 1}};
  g.output("pooled", window_max(z, pool));
  g.output("place", window_argmax(z, pool));
  expect_as_interpreted(g);
}

TEST_F(AArch64, ConvolutionsInWinogradsForm) {
  const Value x = input({2, 10, 11, 6}), kernel = input({3, 3, 6, 18});
  const ConvAttrs same{.low = {1, 1}, .high = {1, 1}};
  const Value y = conv(x, kernel, same);
  g.output("y", y);
  g.output("dx", conv_input_grad(y, kernel, x.shape(), same));
  g.output("dk", conv_kernel_grad(x, y, kernel.shape(), same));
  g.output("average", window_sum(conv(x, input({3, 3, 6, 7}), same), {{1, 2, 2, 1}, {1, 2, 2, 1}}));
  expect_as_interpreted(g, {.conv = ConvAlgorithm::winograd}, 1e-4);
}

TEST_F(AArch64, WindowsReductionsAndSoftmax) {
  const Value x = input({2, 9, 11, 5}), rows = input({13, 37});
  const WindowAttrs pool{.window = {1, 2, 2, 1}, .strides = {1, 2, 2, 1}};
  g.output("max_pooling", window_max(x, pool));
  g.output("average", window_sum(x, pool) * 0.25);
  g.output("sum", reduce_sum(x, {0, 1, 2}));
  g.output("largest", reduce_max(rows, {1}));
  g.output("smallest", reduce_min(rows, {0}));
  g.output("place", argmax(rows, 1));
  const Value e = exp(rows - reduce_max(rows, {1}, true));
  g.output("softmax", e / reduce_sum(e, {1}, true));
  g.output("padded", pad(rows, scalar(rows, 3), {1, 2}, {2, 1}));
  g.output("gathered", gather(rows, convert(abs(rows) * 12.0, DType::i32), 0));
  expect_as_interpreted(g);
}

TEST_F(AArch64, Functions) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Value x = input({41}, dtype), positive = abs(x) + 0.25;
    g.output("exp", exp(x * 20.0));
    g.output("tanh", tanh(x * 3.0));
    g.output("sigmoid", sigmoid(x * 9.0));
    g.output("log", log(positive));
    g.output("erf", erf(x * 2.0));
    g.output("sin", sin(x * 1000.0));
    g.output("pow", pow(positive, x * 4.0));
    g.output("rem", rem(x * 100.0, positive));
    g.output("round", round(x * 10.0));
  }
  expect_as_interpreted(g);
}

TEST_F(AArch64, LeNetTrains) {
  const Graph step = graph::testing::lenet_training(3);
  Arguments arguments = random_arguments(step, 2);
  for (std::size_t i = 0; i < step.inputs().size(); i++)
    if (arguments.inputs[i].dtype() == DType::i32)
      for (std::int64_t row = 0; row < 3; row++) arguments.inputs[i].data<std::int32_t>()[row] = 3;
  const AArch64Program program(step);
  const InterpreterResult expected = interpret(step, arguments.inputs, arguments.states);
  const AArch64Program::Results got = program.run(arguments.inputs, arguments.states);
  EXPECT_EQ(got.failed, 0);
  expect_close(expected.outputs[0], got.outputs[0], 1e-5, "loss");
  for (std::size_t i = 0; i < got.states.size(); i++)
    expect_close(expected.states[i], got.states[i], 1e-4, fmt::format("state {}", i));
}

// What the tests above compare comes from the generated code.
TEST_F(AArch64, FaultsAreNoticed) {
  g.output("sums", reduce_sum(input({13, 37}), {1}));
  const Arguments arguments = random_arguments(g, 1);
  const auto sums = [&] { return AArch64Program(g).run(arguments.inputs, {}).outputs[0].to_vector<float>(); };
  const std::vector<float> right = sums();
  for (Fault fault : {Fault::fold_half, Fault::tail_lane_less, Fault::reduction_start}) {
    const PlantedFault planted(fault);
    EXPECT_NE(sums(), right) << name(fault);
  }
}

TEST_F(AArch64, RandomGraphs) {
  Agreement sum;
  for (std::int64_t seed = 0; seed < 12; seed++) {
    const RandomProgram random = random_program(seed, {.ops = 40, .gradient = seed % 2 == 0});
    const AArch64Program::Results got = AArch64Program(*random.graph).run(random.inputs, random.states);
    const Agreement one = compare(random, got.outputs, got.states);
    EXPECT_EQ(one.failure, "") << "seed " << seed << "\n" << print(*random.graph);
    sum.checked += one.checked;
    sum.unknown += one.unknown;
  }
  EXPECT_GT(sum.checked, 20 * sum.unknown);
}

}  // namespace
}  // namespace kiln::codegen
