// Strides and gaps that are longer than any array: legal where there is one window or one element to place.
#include <gtest/gtest.h>

#include <limits>

#include "kiln/graph/ops.h"
#include "tests/codegen/compile_support.h"
#include "tests/codegen/run_kernel.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

constexpr std::int64_t longest = std::numeric_limits<std::int64_t>::max();
// The squares of some of these are beyond 2^63, or 0 in 64 bits.
constexpr std::int64_t long_strides[] = {
    1000, (std::int64_t{1} << 31) + 1, std::int64_t{1} << 32, std::int64_t{1} << 62, longest - 1, longest};

TEST(Strides, SingleWindows) {
  for (std::int64_t s : long_strides) {
    Graph g("windows");
    const Value x = g.input("x", {DType::f32, {2, 8, 9, 3}});
    for (std::int64_t window : {1, 2, 9}) {
      const WindowAttrs attrs{.window = {1, window, window, 1}, .strides = {1, s, s, 1}, .low = {0, 1, 0, 0}};
      const Value y = window_max(x, attrs);
      g.output("maximum", y);
      g.output("maximum's gradient", window_max_grad(window_argmax(x, attrs), y, x.shape(), attrs));
      g.output("pick", window_max_pick(window_argmax(x, attrs), x, attrs));
      g.output("sum", window_sum(x, attrs));
      g.output("sum's gradient", window_sum_grad(y, x.shape(), attrs));
    }
    expect_compiled_equals_interpreted(g);
  }
}

TEST(Strides, SinglePixels) {
  for (std::int64_t s : long_strides) {
    Graph g("convolutions");
    const Value x = g.input("x", {DType::f32, {2, 8, 9, 3}}), k = g.input("k", {DType::f32, {2, 4, 3, 5}});
    const ConvAttrs attrs{.strides = {s, s}, .low = {1, 0}};
    const Value y = conv(x, k, attrs);
    g.output("y", y);
    g.output("dx", conv_input_grad(y, k, x.shape(), attrs));
    g.output("dk", conv_kernel_grad(x, y, k.shape(), attrs));
    expect_compiled_equals_interpreted(g);
  }
}

TEST(Strides, SinglePlaces) {
  for (std::int64_t s : long_strides) {
    Graph g("places");
    const Value x = g.input("x", {DType::f32, {8, 9}}), row = g.input("row", {DType::f32, {1, 9}});
    g.output("slice", slice(x * 2.0, {1, 2}, {8, 9}, {s, s}));
    g.output("pad", pad(row * 2.0, scalar(row, 3), {1, 1}, {2, 1}, {s, 0}));
    g.output("pad in lanes", pad(transpose(row, {1, 0}), scalar(row, 3), {1, 1}, {2, 70}, {0, s}));
    expect_compiled_equals_interpreted(g);
  }
}

// Small numbers by a divisor that no i32 can hold: the lanes must be i64 for it.
TEST(Strides, QuotientsByLongDivisors) {
  for (const Target& target : targets())
    for (std::int64_t divisor : {(std::int64_t{1} << 32) - 1, std::int64_t{1} << 32, std::int64_t{1} << 40}) {
      const std::int64_t n = 21;
      const Var v = make_var("v", n);
      Kernel k{.name = "quotients"};
      k.buffers = {{DType::i64, n, true, false}, {DType::i64, n, true, false}};
      const Index x = Index(10) - v;
      k.body = {vector_loop(
          v, target.lanes(DType::i64),
          {store(0, v, index_expr(floor_div(x, divisor))), store(1, v, index_expr(mod(x, divisor)))})};
      std::vector<std::int64_t> quotients(n), remainders(n);
      RunnableKernel(k, target)({quotients.data(), remainders.data()});
      for (std::int64_t i = 0; i < n; i++) {
        EXPECT_EQ(quotients[static_cast<std::size_t>(i)], i > 10 ? -1 : 0) << i << " by " << divisor;
        EXPECT_EQ(remainders[static_cast<std::size_t>(i)], i > 10 ? 10 - i + divisor : 10 - i) << i;
      }
    }
}

}  // namespace
}  // namespace kiln::codegen
