// Convolutions that pool their results in their tiles: against the interpreter, and to the bit against the
// same with one node a kernel.
#include "codegen/pooling.h"

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
  Ints window;  ///< of pixels
  ConvAttrs attrs = {};
};

/// Windows of pixels, one beside the other.
WindowAttrs side_by_side(const Ints& pixels) {
  WindowAttrs attrs;
  attrs.window = {1};
  attrs.window.insert(attrs.window.end(), pixels.begin(), pixels.end());
  attrs.window.push_back(1);
  attrs.strides = attrs.window;
  return attrs;
}

enum class Kind : std::uint8_t { maximum, maximum_and_place, average };

/// A layer's outputs: what pooling gives, with a bias before and an activation behind.
Graph pooled(const Case& c, DType dtype, Kind kind) {
  Graph g("pooled");
  const Value x = g.input("x", {dtype, c.x}), kernel = g.input("kernel", {dtype, c.kernel});
  const Value y = conv(x, kernel, c.attrs) + g.input("bias", {dtype, {c.kernel.back()}});
  const WindowAttrs attrs = side_by_side(c.window);
  const Value pool = kind == Kind::average ? window_sum(y, attrs) * 0.3 : window_max(y, attrs);
  g.output("y", maximum(pool, scalar(pool, 0)));
  if (kind == Kind::maximum_and_place) g.output("place", window_argmax(y, attrs));
  return g;
}
constexpr Kind kinds[] = {Kind::maximum, Kind::maximum_and_place, Kind::average};

int kernels_with_pools(const Graph& g, const PlanOptions& options) {
  const Graph optimized = optimize(g, options);
  int count = 0;
  for (const Group& group : fuse(optimized)) count += group.pool.empty() ? 0 : 1;
  return count;
}

void expect_same_bits(const Graph& g) {
  const std::vector<Tensor> inputs = random_arguments(g, 3).inputs;
  const std::vector<Tensor> together = run_compiled(g, inputs), apart = run_compiled(g, inputs, false);
  for (std::size_t i = 0; i < together.size(); i++)
    EXPECT_EQ(std::memcmp(together[i].raw(), apart[i].raw(), together[i].nbytes()), 0)
        << print(g) << "\noutput " << i;
}

const Case directly[] = {
    {{3, 13, 12, 1}, {3, 3, 1, 16}, {2, 2}},
    {{2, 15, 18, 3}, {5, 4, 3, 19}, {2, 3}, {.strides = {1, 2}}},
    {{2, 11, 10, 2}, {2, 2, 2, 6}, {3, 1}, {.dilation = {2, 3}}},
    {{4, 40, 3}, {4, 3, 4}, {4}, {.strides = {2}}},
    {{2, 6, 7, 8, 1}, {2, 3, 2, 1, 3}, {2, 1, 3}},
    {{2, 9, 9, 7}, {1, 1, 7, 33}, {3, 3}},
    {{2, 10, 13, 3}, {2, 2, 3, 5}, {3, 5}},   // of more elements than some CPUs have registers
    {{2, 10, 13, 3}, {2, 2, 3, 37}, {3, 3}},  // in rows where registers are few
};
TEST(PooledConvolutions, DirectOnesEqualTheInterpreters) {
  for (DType dtype : {DType::f32, DType::f64})
    for (const Case& c : directly)
      for (Kind kind : kinds) {
        const Graph g = canonicalize(pooled(c, dtype, kind), ConvAlgorithm::direct);
        EXPECT_EQ(kernels_with_pools(g, {.conv = ConvAlgorithm::direct}), 1) << print(g);
        expect_compiled_equals_interpreted(g);
        expect_same_bits(g);
      }
}

TEST(PooledConvolutions, WithTheBatchLastToo) {
  for (Case c : directly)
    for (std::int64_t batch : {1, 5, 37, 130}) {
      if (batch == 130 && c.x.rank() != 4) continue;
      c.x = c.x.tail().prepend(batch);
      const Graph g =
          layout(canonicalize(pooled(c, DType::f32, kinds[batch % 3]), ConvAlgorithm::direct), true);
      expect_compiled_equals_interpreted(g);
      expect_same_bits(g);
    }
}

TEST(PooledConvolutions, InWinogradsForm) {
  const Case cases[] = {
      {{2, 10, 10, 8}, {3, 3, 8, 16}, {2, 2}},                                    // whole tiles
      {{2, 9, 15, 5}, {3, 3, 5, 19}, {2, 2}, {.low = {1, 1}, .high = {1, 1}}},    // tiles that stick out
      {{1, 11, 14, 16}, {3, 3, 16, 7}, {4, 2}, {.low = {1, 0}, .high = {0, 1}}},  // other windows
      {{3, 12, 9, 6}, {3, 3, 6, 16}, {1, 4}},
      {{2, 11, 8, 17}, {5, 5, 17, 16}, {2, 2}, {.low = {2, 2}, .high = {2, 2}}},
      {{2, 9, 9, 4}, {5, 5, 4, 33}, {2, 1}},
  };
  int number = 0;
  for (Case c : cases) {
    const Kind kind = kinds[number++ % 3];
    Graph g = canonicalize(pooled(c, DType::f32, kind), ConvAlgorithm::winograd);
    EXPECT_EQ(kernels_with_pools(g, {.conv = ConvAlgorithm::winograd}), 1) << print(g);
    expect_compiled_equals_interpreted(g, 2e-5);
    expect_same_bits(g);
    c.x = c.x.tail().prepend(19);
    g = layout(canonicalize(pooled(c, DType::f32, kind), ConvAlgorithm::winograd), true);
    expect_compiled_equals_interpreted(g, 2e-5);
    expect_same_bits(g);
  }
}

/// A residual is read for the elements of a window, and an array of the pooled size for the window. A long
/// function is computed of the elements, or of what they pool to.
Graph with_epilogues(std::int64_t filters, bool of_elements) {
  Graph g("epilogues");
  const Value x = g.input("x", {DType::f32, {2, 9, 11, 8}});
  const Value y = conv(x, g.input("kernel", {DType::f32, {3, 3, 8, filters}}), {});
  const Value sum = y + g.input("residual", y.type()), z = of_elements ? sigmoid(sum) : sum;
  const WindowAttrs attrs{{1, 2, 2, 1}, {1, 2, 2, 1}};
  const Value m = window_max(z, attrs);
  g.output("m", (of_elements ? m : sigmoid(m)) * g.input("behind", m.type()));
  g.output("place", window_argmax(z, attrs));
  return g;
}
TEST(PooledConvolutions, EpiloguesBeforeAndBehind) {
  for (const ConvAlgorithm algorithm : {ConvAlgorithm::direct, ConvAlgorithm::winograd})
    for (const std::int64_t filters : {8, 19})
      for (const bool of_elements : {false, true}) {
        const Graph chosen = canonicalize(with_epilogues(filters, of_elements), algorithm);
        EXPECT_EQ(kernels_with_pools(chosen, {.conv = algorithm}), 1);
        expect_compiled_equals_interpreted(chosen, 2e-5);
        expect_same_bits(chosen);
      }
}

// The pooled values, which wait for exp, have another type than the sums.
TEST(PooledConvolutions, TypesMayChangeBetween) {
  for (const DType type : {DType::i32, DType::i64, DType::f64}) {
    Graph g("types");
    const Value x = g.input("x", {DType::f32, {2, 9, 11, 8}});
    const Value y = conv(x, g.input("kernel", {DType::f32, {3, 3, 8, 6}}), {});
    const Value m = window_max(convert(y, type), side_by_side({2, 2}));
    g.output("y", exp(convert(m, DType::f32) * 0.1));
    const Graph chosen = canonicalize(g, ConvAlgorithm::direct);
    EXPECT_EQ(kernels_with_pools(chosen, {.conv = ConvAlgorithm::direct}), 1);
    expect_compiled_equals_interpreted(chosen);
  }
}

TEST(PooledConvolutions, TiesAndNaN) {
  // A kernel of one tap copies the image, so that the maxima are those of its numbers.
  Graph g("special");
  const Value x = g.input("x", {DType::f32, {4, 2, 8, 1}});
  const Value y = conv(x, g.input("kernel", {DType::f32, {1, 1, 1, 1}}), {});
  const WindowAttrs attrs{{1, 2, 2, 1}, {1, 2, 2, 1}};
  g.output("m", window_max(y, attrs));
  g.output("place", window_argmax(y, attrs));
  EXPECT_EQ(kernels_with_pools(g, {}), 1);
  std::vector<float> pixels;
  for (int n = 0; n < 4; n++)
    pixels.insert(pixels.end(), {1, 1, nan, 2, -inf, -inf, 3, nan,  //
                                 1, 0, 4, nan, -inf, -inf, 5, 6});
  const Tensor image(pixels, Shape{4, 2, 8, 1});
  const Tensor one(std::vector<float>{1}, Shape{1, 1, 1, 1});
  const std::vector<Tensor> results = run_compiled(g, {image, one});
  expect_floats(results[0].slice(3, 4), {1, nan, -inf, nan}, "maxima");
  const auto* place = results[1].data<std::uint8_t>();
  EXPECT_EQ(std::vector<int>(place, place + 4), (std::vector<int>{0, 0, 0, 1}));
}

/// The gradient of a first layer's kernel, whose results are pooled: computed from what each window passes
/// on.
Graph first_layer_gradient(const Case& c, DType dtype, bool batch_last) {
  Graph g("first layer");
  const Value x = g.input("x", {dtype, c.x}), kernel = g.input("kernel", {dtype, c.kernel});
  const Value y = conv(x, kernel, c.attrs);
  const WindowAttrs attrs = side_by_side(c.window);
  const Value place = window_argmax(y, attrs);
  const Value dy = g.input("dy", {dtype, place.shape()});
  if (!batch_last) {
    const Value grad = window_max_grad(place, dy, y.shape(), attrs);
    g.output("dk", reduce_sum(conv_kernel_sums(x, grad, c.kernel, c.attrs, c.x[0]), {0}));
    return g;
  }
  Ints last(c.x.rank());
  for (std::size_t i = 0; i < last.size(); i++) last[i] = static_cast<std::int64_t>((i + 1) % last.size());
  const auto turned = [&](Ints v) {
    std::rotate(v.begin(), v.begin() + 1, v.end());
    return v;
  };
  const WindowAttrs turned_attrs{turned(attrs.window), turned(attrs.strides), {}, {}};
  const Value grad =
      window_max_grad(transpose(place, last), transpose(dy, last), transpose(y, last).shape(), turned_attrs);
  const Value sums = conv_kernel_sums(transpose(x, last), grad, c.kernel, c.attrs, 1, true);
  g.output("dk", reduce_sum(sums, {0}));
  return g;
}

TEST(PooledConvolutions, GradientsOfFirstLayersNeverBecomeArrays) {
  const Case cases[] = {
      {{3, 14, 12, 1}, {3, 3, 1, 16}, {2, 2}},
      {{2, 16, 19, 3}, {5, 2, 3, 19}, {2, 3}, {.strides = {1, 2}}},
      {{37, 11, 10, 2}, {2, 2, 2, 6}, {3, 1}, {.dilation = {2, 3}}},
      {{4, 38, 3}, {4, 3, 4}, {3}, {.strides = {2}}},
      {{2, 7, 7, 7, 1}, {2, 3, 2, 1, 3}, {2, 1, 3}},
  };
  for (const Case& c : cases)
    for (bool batch_last : {false, true})
      for (DType dtype : {DType::f32, DType::f64}) {
        const Graph g = first_layer_gradient(c, dtype, batch_last);
        for (const Group& group : fuse(g))
          EXPECT_TRUE(!group.root || group.root->op != Op::window_max_grad) << print(g);
        expect_compiled_equals_interpreted(g);
        expect_same_bits(g);
      }
}

}  // namespace
}  // namespace kiln::codegen
