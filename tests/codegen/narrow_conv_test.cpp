// Convolutions of few channels or filters, whose kernels aren't those of wide ones.
#include <gtest/gtest.h>

#include <cstring>

#include "graph/passes/passes.h"
#include "kiln/graph/ops.h"
#include "tests/codegen/compile_support.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

struct Case {
  Shape x, kernel;
  ConvAttrs attrs;
};
const Case cases[] = {
    {{4, 13, 12, 1}, {5, 5, 1, 6}, {}},
    {{6, 9, 14, 2}, {3, 3, 2, 5}, {.strides = {2, 1}, .low = {1, 1}, .high = {0, 1}}},
    {{4, 11, 10, 1}, {3, 2, 1, 17}, {.dilation = {2, 3}}},
    {{8, 8, 7, 6}, {2, 3, 2, 9}, {.groups = 3}},
    {{6, 7, 9, 6}, {3, 3, 6, 16}, {.low = {1, 1}, .high = {1, 1}}},
    {{4, 40, 3}, {4, 3, 4}, {.strides = {3}}},
    {{2, 4, 5, 6, 1}, {2, 3, 2, 1, 3}, {.low = {1, 0, 0}, .high = {0, 1, 1}}},
    {{2, 70, 1}, {60, 1, 2}, {}},
};

TEST(NarrowConvolutions, KernelSumsEqualTheInterpreters) {
  for (DType dtype : {DType::f32, DType::f64})
    for (const Case& c : cases)
      for (std::int64_t parts : {std::int64_t{1}, std::int64_t{2}, c.x[0]}) {
        Graph g("sums");
        const Value x = g.input("x", {dtype, c.x}), kernel = g.input("kernel", {dtype, c.kernel});
        const Value dy = g.input("dy", conv(x, kernel, c.attrs).type());
        // Padding is a node of its own by the time that kernels are chosen.
        Ints low{0}, high{0};
        low.insert(low.end(), c.attrs.low.begin(), c.attrs.low.end());
        high.insert(high.end(), c.attrs.high.begin(), c.attrs.high.end());
        low.resize(static_cast<std::size_t>(x.rank()), 0);
        high.resize(static_cast<std::size_t>(x.rank()), 0);
        ConvAttrs unpadded = c.attrs;
        unpadded.low = unpadded.high = {};
        g.output("sums", conv_kernel_sums(pad(x, scalar(x, 0), low, high), dy, c.kernel, unpadded, parts));
        expect_compiled_equals_interpreted(g);
      }
}

// Enough images for the passes to cut the gradient of the kernel into several sums.
TEST(NarrowConvolutions, GradientsOfLargeBatchesEqualTheInterpreters) {
  for (Case c : cases) {
    c.x = c.x.tail().prepend(24);
    Graph g("gradients");
    const Value x = g.input("x", {DType::f32, c.x}), kernel = g.input("kernel", {DType::f32, c.kernel});
    const Value y = conv(x, kernel, c.attrs), dy = g.input("dy", y.type());
    g.output("y", sigmoid(y));
    g.output("dx", conv_input_grad(dy, kernel, c.x, c.attrs));
    g.output("kernel", kernel - conv_kernel_grad(x, dy, c.kernel, c.attrs) * 0.01);
    expect_compiled_equals_interpreted(g);
  }
}

// All pixels of such an image are rows of one product; in another batch they have the same bits.
TEST(NarrowConvolutions, TinyImagesEqualTheInterpreters) {
  const Case tiny[] = {
      {{1, 5, 5, 7}, {3, 3, 7, 40}, {}},
      {{3, 4, 5, 3}, {3, 2, 3, 9}, {.strides = {1, 2}}},
      {{2, 6, 5, 6}, {2, 2, 3, 8}, {.dilation = {3, 2}, .groups = 2}},
      {{2, 3, 4, 3, 2}, {2, 3, 2, 2, 5}, {}},
  };
  for (DType dtype : {DType::f32, DType::f64})
    for (const Case& c : tiny) {
      Graph g("tiny");
      const Value x = g.input("x", {dtype, c.x}), kernel = g.input("kernel", {dtype, c.kernel});
      g.output("y", sigmoid(conv(x, kernel, c.attrs)));
      expect_compiled_equals_interpreted(canonicalize(g, ConvAlgorithm::direct));
    }
}

// ---- with the batch as the last axis ----------------------------------------------------------------------

TEST(NarrowConvolutions, BatchLastEqualsTheInterpreters) {
  for (DType dtype : {DType::f32, DType::f64})
    for (Case c : cases)
      for (std::int64_t batch : {1, 5, 37}) {
        c.x = c.x.tail().prepend(batch);
        Graph g("batch_last");
        const Value x = g.input("x", {dtype, c.x}), kernel = g.input("kernel", {dtype, c.kernel});
        const Value y = conv(x, kernel, c.attrs), dy = g.input("dy", y.type());
        g.output("y", sigmoid(y + g.input("bias", {dtype, {c.kernel.back()}})));
        g.output("dx", conv_input_grad(dy, kernel, c.x, c.attrs));
        g.output("dk", conv_kernel_grad(x, dy, c.kernel, c.attrs));
        expect_compiled_equals_interpreted(layout(canonicalize(g, ConvAlgorithm::direct), true));
      }
}

TEST(NarrowConvolutions, WinogradsFormWithBatchLastEqualsTheInterpreters) {
  for (std::int64_t batch : {1, 7, 40})
    for (std::int64_t window : {3, 5}) {
      Graph g("batch_last");
      const Value x = g.input("x", {DType::f32, {batch, 9, 8, 6}});
      const Value kernel = g.input("kernel", {DType::f32, {window, window, 6, 10}});
      const ConvAttrs attrs{.low = {1, 2}, .high = {2, 0}};
      const Value y = conv(x, kernel, attrs);
      g.output("y", maximum(y, scalar(y, 0)));
      g.output("dx", conv_input_grad(sin(y), kernel, x.shape(), attrs));
      expect_compiled_equals_interpreted(layout(canonicalize(g, ConvAlgorithm::winograd), true), 2e-5);
    }
}

/// LeNet's images: two convolutions and poolings.
Graph images(std::int64_t batch, Value (*pool)(Value)) {
  Graph g("images");
  const Value x = g.input("x", {DType::f32, {batch, 28, 28, 1}});
  const Value first = g.input("first", {DType::f32, {5, 5, 1, 6}});
  const Value second = g.input("second", {DType::f32, {5, 5, 6, 16}});
  const Value y = pool(sigmoid(conv(x, first, {}) + g.input("bias", {DType::f32, {6}})));
  g.output("y", pool(sigmoid(conv(y, second, {}))));
  return g;
}

// One image has the batch first, many have it last: another kernel, but the same bits.
TEST(NarrowConvolutions, APredictionDoesNotDependOnItsBatch) {
  static const WindowAttrs window{.window = {1, 2, 2, 1}, .strides = {1, 2, 2, 1}};
  Value (*const pools[])(Value) = {[](Value v) { return window_max(v, window); },
                                   [](Value v) { return window_sum(v, window) * 0.25; }};
  const std::int64_t batch = 67;
  for (auto pool : pools) {
    const Graph many = images(batch, pool), one = images(1, pool);
    const auto is_batch_last = [](const Graph& g) {
      return print(optimize(g)).find("conv_batch_last") != std::string::npos;
    };
    ASSERT_TRUE(is_batch_last(many));
    ASSERT_FALSE(is_batch_last(one));
    const Arguments arguments = random_arguments(many, 3);
    const Tensor together = run_compiled(many, arguments.inputs)[0];
    const std::size_t bytes = together.nbytes() / static_cast<std::size_t>(batch);
    for (std::int64_t i : {std::int64_t{0}, std::int64_t{31}, batch - 1}) {
      std::vector<Tensor> inputs = arguments.inputs;
      inputs[0] = Tensor(one.inputs()[0].shape(), DType::f32);
      std::memcpy(inputs[0].raw(), arguments.inputs[0].data<float>() + i * inputs[0].size(),
                  inputs[0].nbytes());
      const Tensor alone = run_compiled(one, inputs)[0];
      const char* row = static_cast<const char*>(together.raw()) + static_cast<std::size_t>(i) * bytes;
      EXPECT_EQ(std::memcmp(alone.raw(), row, bytes), 0) << "image " << i;
    }
  }
}

}  // namespace
}  // namespace kiln::codegen
