// Compiled convolutions in Winograd's form: against the interpreter's, against the direct ones in f64, and to
// the bit from batch to batch.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "codegen/tiling.h"
#include "graph/passes/passes.h"
#include "kiln/codegen/compile.h"
#include "kiln/graph/interpreter.h"
#include "kiln/graph/ops.h"
#include "kiln/runtime/executable.h"
#include "tests/codegen/compile_support.h"
#include "tests/support/random_tensor.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

struct Sizes {
  Shape x;
  std::int64_t window, filters;
  Ints low, high;
  Shape kernel() const { return {window, window, x[3], filters}; }
  ConvAttrs attrs() const { return {.strides = {1, 1}, .low = low, .high = high, .dilation = {1, 1}}; }
  Shape result() const {
    return {x[0], x[1] + low[0] + high[0] - window + 1, x[2] + low[1] + high[1] - window + 1, filters};
  }
};

Graph convolution(const Sizes& s, DType type) {
  Graph g("convolution");
  const Value x = g.input("x", {type, s.x}), bias = g.input("bias", {type, {s.filters}});
  const Value k = g.input("k", {type, s.kernel()}), y = conv(x, k, s.attrs()) + bias;
  g.output("y", maximum(y, scalar(y, 0)));
  return g;
}
Graph input_gradient(const Sizes& s, DType type) {
  Graph g("input_gradient");
  const Value dy = g.input("dy", {type, s.result()}), k = g.input("k", {type, s.kernel()});
  g.output("dx", conv_input_grad(dy, k, s.x, s.attrs()));
  return g;
}
Graph kernel_gradient(const Sizes& s, DType type) {
  Graph g("kernel_gradient");
  const Value x = g.input("x", {type, s.x}), dy = g.input("dy", {type, s.result()});
  g.output("dk", conv_kernel_grad(x, dy, s.kernel(), s.attrs()));
  return g;
}

TEST(WinogradKernels, AgreeWithTheInterpreter) {
  const Sizes sizes[] = {
      {{2, 9, 7, 5}, 3, 19, {1, 1}, {1, 1}},    // channels and filters that fill no vector
      {{1, 3, 3, 16}, 3, 16, {0, 0}, {0, 0}},   // one result
      {{3, 12, 8, 70}, 3, 34, {1, 0}, {1, 2}},  // several blocks of channels
      {{2, 8, 6, 17}, 5, 16, {2, 2}, {2, 2}},
  };
  for (const Sizes& s : sizes)
    for (auto build : {convolution, input_gradient, kernel_gradient})
      expect_compiled_equals_interpreted(canonicalize(build(s, DType::f32), ConvAlgorithm::winograd), 2e-5);
}

TEST(WinogradKernels, BlocksCoverAllTilesAndFilters) {
  const Target target = Target::host();
  for (std::int64_t tiles : {1, 7, 100, 12544})
    for (std::int64_t channels : {4, 64, 4096})
      for (std::int64_t filters : {6, 64, 384}) {
        const WinogradBlock block = winograd_block(tiles, channels, filters, 16, target);
        EXPECT_GE(block.tiles, 1);
        EXPECT_LE(block.tiles, tiles);
        EXPECT_EQ(filters % block.filters, 0);
        EXPECT_LE(36 * 4 * block.tiles * (channels + block.filters), std::int64_t{16} << 20);
        const WinogradGradBlock grad = winograd_grad_block(tiles, channels, filters);
        EXPECT_LE(grad.tiles, tiles);
        EXPECT_EQ(channels % grad.channels, 0);
        EXPECT_EQ(filters % grad.filters, 0);
        for (const int lanes : {4, 8, 16}) {
          const WinogradRegisters shape = winograd_registers(tiles, filters, lanes, target);
          EXPECT_LE(shape.tiles, tiles);
          EXPECT_LE(6 * shape.tiles * shape.vectors, accumulator_registers(target));
        }
      }
}

/// sqrt(sum of squared errors / sum of squares)
double relative_error(const Tensor& got, const Tensor& expected) {
  double errors = 0, squares = 0;
  for (std::int64_t i = 0; i < got.size(); i++) {
    const double y = expected.data<double>()[i], e = static_cast<double>(got.data<float>()[i]) - y;
    errors += e * e;
    squares += y * y;
  }
  return std::sqrt(errors / squares);
}

std::vector<Tensor> run(const Graph& g, const std::vector<Tensor>& inputs, ConvAlgorithm conv) {
  const auto program = compile(g, {.conv = conv});
  std::vector<Tensor> states, outputs;
  for (const auto& d : program->outputs) outputs.emplace_back(d.shape, d.dtype);
  runtime::Executable(program).run(inputs, states, outputs);
  return outputs;
}

/// Shapes, padding and kernels drawn at random: both algorithms against the direct convolution in f64.
TEST(WinogradKernels, RandomConvolutionsAgreeWithF64) {
  RandomNumbers random(11);
  for (int i = 0; i < 10; i++) {
    const std::int64_t window = random.chance(0.6) ? 3 : 5;
    const auto padding = [&] { return Ints{random.below(window), random.below(window)}; };
    const Sizes s{
        {1 + random.below(3), window + random.below(9), window + random.below(9), 1 + random.below(40)},
        window,
        1 + random.below(40),
        padding(),
        padding()};
    for (auto build : {convolution, input_gradient, kernel_gradient}) {
      const Graph g = build(s, DType::f32), wide = build(s, DType::f64);
      std::vector<Tensor> inputs, wide_inputs;
      for (Value v : g.inputs()) {
        inputs.push_back(random.tensor(v.shape(), -1, 1, DType::f32));
        wide_inputs.push_back(inputs.back().astype(DType::f64));
      }
      const Tensor expected = interpret(wide, wide_inputs, {}).outputs[0];
      for (auto conv : {ConvAlgorithm::direct, ConvAlgorithm::winograd})
        EXPECT_LT(relative_error(run(g, inputs, conv)[0], expected), 3e-6) << print(g);
    }
  }
}

/// The first image's result, of a batch whose images differ.
std::string first_image(const Sizes& s, std::int64_t batch, const Tensor& images, const Tensor& kernel) {
  Sizes of_batch = s;
  of_batch.x = Shape({batch, s.x[1], s.x[2], s.x[3]});
  const Graph g = convolution(of_batch, DType::f32);
  Tensor x(of_batch.x, DType::f32);
  std::memcpy(x.raw(), images.raw(), x.nbytes());
  const Tensor y = run(g, {x, Tensor::zeros({s.filters}), kernel}, ConvAlgorithm::automatic)[0];
  return {static_cast<const char*>(y.raw()), y.nbytes() / static_cast<std::size_t>(batch)};
}

TEST(WinogradKernels, AnImageGivesTheSameBitsInAnyBatch) {
  const Sizes s{{1, 13, 13, 40}, 3, 96, {1, 1}, {1, 1}};
  RandomNumbers random(5);
  const Tensor images = random.tensor({33, 13, 13, 40}, -1, 1, DType::f32);
  const Tensor kernel = random.tensor(s.kernel(), -1, 1, DType::f32);
  const std::string alone = first_image(s, 1, images, kernel);
  for (std::int64_t batch : {2, 7, 33}) EXPECT_TRUE(first_image(s, batch, images, kernel) == alone) << batch;
}

// Of 1,024 images, whose elements lie a page apart, each block is copied first: the same bits as of 64
// images.
TEST(WinogradKernels, ManyImagesWithTheBatchLastGiveTheSameBits) {
  RandomNumbers random(4);
  const Tensor x = random.tensor({9, 8, 8, 1024}, -1, 1, DType::f32),
               kernel = random.tensor({36, 8, 6}, -1, 1, DType::f32);
  const auto convolved = [&](const Tensor& images) {
    Graph g("batch_last");
    const Value in = input(g, images), k = input(g, kernel);
    g.output("y", winograd_conv(in, k, 3, {1, 0}, {2, 1}, true));
    return run_compiled(g, {images, kernel})[0];
  };
  const auto block = [](const Tensor& t, std::int64_t first) {
    Tensor part({t.dim(0), t.dim(1), t.dim(2), 64}, DType::f32);
    for (std::int64_t i = 0; i < part.size() / 64; i++)
      std::memcpy(part.data<float>() + i * 64, t.data<float>() + i * t.dim(3) + first, 64 * sizeof(float));
    return part;
  };
  const Tensor all = convolved(x);
  for (const std::int64_t first : {0, 320, 960}) {
    const Tensor expected = convolved(block(x, first)), got = block(all, first);
    EXPECT_EQ(std::memcmp(got.raw(), expected.raw(), expected.nbytes()), 0) << "images from " << first;
  }
}

// A kernel that the first cache holds meets a few tiles at a time, in registers. Sums in squares of many
// tiles, as with the batch last, have the same bits.
TEST(WinogradKernels, InRegistersHaveTheSameBits) {
  struct Case {
    Shape x;
    std::int64_t window, filters;
    Ints low, high;
  };
  const Case cases[] = {
      {{3, 14, 14, 6}, 5, 16, {0, 0}, {0, 0}},  // an odd number of tiles; LeNet's
      {{2, 9, 12, 3}, 5, 32, {2, 1}, {1, 2}},   // tiles that stick out, two vectors of filters
      {{1, 10, 7, 5}, 3, 16, {1, 1}, {1, 1}},  {{3, 8, 8, 2}, 3, 48, {1, 1}, {1, 1}},  // three vectors
      {{5, 3, 3, 7}, 3, 16, {0, 0}, {0, 0}},                                           // one tile an image
      {{1, 3, 3, 7}, 3, 16, {0, 0}, {0, 0}},
  };
  for (const Case& c : cases) {
    const Target host = Target::host();
    ASSERT_TRUE(!host.has_fma || sums_in_registers(c.x[3], c.filters, host.lanes(DType::f32), host));
    RandomNumbers random(7);
    const Tensor x = random.tensor(c.x, -1, 1, DType::f32),
                 kernel = random.tensor({36, c.x[3], c.filters}, -1, 1, DType::f32);
    const auto convolved = [&](bool batch_last) {
      Graph g("convolution");
      const Value in = input(g, x), k = input(g, kernel);
      const Value y =
          batch_last ? transpose(winograd_conv(transpose(in, {1, 2, 3, 0}), k, c.window, c.low, c.high, true),
                                 {3, 0, 1, 2})
                     : winograd_conv(in, k, c.window, c.low, c.high);
      g.output("y", y);
      expect_compiled_equals_interpreted(g, 2e-5);
      return run_compiled(g, {x, kernel})[0];
    };
    const Tensor expected = convolved(true), got = convolved(false);
    EXPECT_EQ(std::memcmp(got.raw(), expected.raw(), expected.nbytes()), 0) << c.x;
  }
}

/// What isn't finite stays within the tiles that it is in, and never becomes a finite number.
TEST(WinogradKernels, NanStaysInItsTiles) {
  const Sizes s{{2, 12, 12, 16}, 3, 16, {1, 1}, {1, 1}};
  Tensor x = RandomNumbers(3).tensor(s.x, -1, 1, DType::f32);
  x.data<float>()[(5 * 12 + 5) * 16 + 3] = nan;  // pixel (5, 5) of image 0
  const Tensor kernel = RandomNumbers(4).tensor(s.kernel(), -1, 1, DType::f32);
  Graph g("g");
  const Value image = g.input("x", {DType::f32, s.x}), taps = g.input("k", {DType::f32, s.kernel()});
  g.output("y", conv(image, taps, s.attrs()));
  const Tensor y = run(g, {x, kernel}, ConvAlgorithm::winograd)[0];
  for (std::int64_t n = 0; n < 2; n++)
    for (std::int64_t i = 0; i < 12; i++)
      for (std::int64_t j = 0; j < 12; j++) {
        const bool meets = n == 0 && std::abs(i - 5) <= 1 && std::abs(j - 5) <= 1;
        const bool same_tile = n == 0 && i / 4 == 1 && j / 4 == 1;
        const bool is_nan = std::isnan(y.data<float>()[((n * 12 + i) * 12 + j) * 16]);
        if (meets || !same_tile) {
          EXPECT_EQ(is_nan, meets) << n << ' ' << i << ' ' << j;
        }
      }
}

}  // namespace
}  // namespace kiln::codegen
