// Maxima of windows, where they lie, and what goes there on the way back: compiled code against the
// interpreter, beside the cases of compile_ops_test.cpp.
#include <gtest/gtest.h>

#include "kiln/graph/gradient.h"
#include "kiln/graph/interpreter.h"
#include "kiln/graph/ops.h"
#include "tests/codegen/assembly.h"
#include "tests/codegen/compile_support.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

WindowAttrs square(std::int64_t window, std::int64_t stride, std::int64_t low = 0, std::int64_t high = 0) {
  return {{1, window, window, 1}, {1, stride, stride, 1}, {0, low, low, 0}, {0, high, high, 0}};
}

/// Maxima, their places, and what is given to and taken from these, as outputs.
void output_maxima(Value x, const WindowAttrs& attrs) {
  Graph& g = x.graph();
  const Value place = window_argmax(x, attrs), y = window_max(x, attrs);
  g.output("place", place);
  g.output("y", y);
  g.output("dx", window_max_grad(place, y, x.shape(), attrs));
  g.output("pick", window_max_pick(place, x, attrs));
}

TEST(CompiledWindows, EveryType) {
  for (DType dtype : {DType::f32, DType::f64, DType::i32, DType::i64, DType::u8}) {
    Graph g("types");
    const Value x = g.input("x", {dtype, {2, 7, 8, 5}});
    for (const WindowAttrs& attrs : {square(2, 2, 0, 1), square(3, 2, 1, 1), square(3, 1, 1, 1)}) {
      output_maxima(x, attrs);
    }
    expect_compiled_equals_interpreted(g);
  }
}

// Windows along all axes, the last too: lanes then lie in different windows.
TEST(CompiledWindows, EveryAxis) {
  Graph g("axes");
  const Value x = g.input("x", {DType::f32, {5, 9, 40}});
  for (const Ints& strides : {Ints{1, 1, 1}, Ints{2, 1, 3}, Ints{3, 2, 2}, Ints{2, 4, 5}}) {
    const WindowAttrs attrs{{2, 2, 3}, strides, {1, 0, 2}, {0, 1, 1}};
    output_maxima(x, attrs);
  }
  expect_compiled_equals_interpreted(g);
}

// More elements than a byte counts, and more than are written out.
TEST(CompiledWindows, LargeWindows) {
  Graph g("large");
  const Value x = g.input("x", {DType::f32, {2, 40, 37, 3}});
  for (const WindowAttrs& attrs : {square(17, 17), square(16, 5, 2, 3), square(6, 1), square(20, 25, 9, 0)}) {
    output_maxima(x, attrs);
  }
  expect_compiled_equals_interpreted(g);
}

TEST(CompiledWindows, AnyNumbersAsPlaces) {
  for (std::int64_t window : {3, 5}) {
    Graph g("places");
    const WindowAttrs attrs = square(window, 2, 1, 2);
    const Shape image{2, 9, 8, 6};
    const Value x = g.input("x", {DType::f32, image}), dy = g.input("dy", window_max(x, attrs).type());
    const Value place = g.input("place", {DType::u8, dy.shape()});  // 0 to 19: more than 9, fewer than 25
    g.output("dx", window_max_grad(place, dy, image, attrs));
    g.output("pick", window_max_pick(place, x, attrs));
    expect_compiled_equals_interpreted(g);
  }
}

TEST(CompiledWindows, TiesNaNAndMinusInfinity) {
  for (std::int64_t low : {0, 1}) {
    Graph g("special");
    const WindowAttrs attrs{{1, 3}, {1, 2}, {0, low}, {0, 1}};
    const Value x = g.input("x", {DType::f32, {4, 8}}), dy = g.input("dy", window_max(x, attrs).type());
    const Value place = window_argmax(x, attrs);
    g.output("y", window_max(x, attrs));
    g.output("place", place);
    g.output("dx", window_max_grad(place, dy, x.shape(), attrs));
    const Tensor special(std::vector<float>{-inf, -inf, -inf, -inf, -inf, -inf, -inf, -inf,  //
                                            3,    3,    1,    3,    3,    3,    2,    2,     //
                                            nan,  1,    nan,  nan,  inf,  5,    inf,  nan,   //
                                            -inf, nan,  inf,  -5,   -5,   -6,   -inf, -inf},
                         {4, 8});
    Tensor ones = Tensor::full(dy.shape(), 1, DType::f32);
    const std::vector<Tensor> inputs = {special, ones};
    const auto expected = interpret(g, inputs, {}).outputs;
    for (const bool fused : {true, false}) {
      const std::vector<Tensor> got = run_compiled(g, inputs, fused);
      for (std::size_t i = 0; i < 3; i++)
        expect_floats(got[i].astype(DType::f32), expected[i].astype(DType::f32).to_vector<float>(),
                      g.outputs()[i].name);
    }
  }
}

// The whole of a pooling layer's training: one kernel finds maxima and places, one gives the gradient back.
TEST(CompiledWindows, PoolingBackAndForth) {
  for (const WindowAttrs& attrs : {square(2, 2), square(3, 2, 0, 1), square(3, 1, 1, 1)}) {
    for (std::int64_t channels : {1, 6, 16, 70}) {
      Graph g("pooling");
      const Value x = g.input("x", {DType::f32, {3, 10, 11, channels}});
      const Value y = tanh(window_max(x * 2.0, attrs));
      g.output("y", y);
      const Value dx = gradient(reduce_sum(y * y, {0, 1, 2, 3}), {&x, 1})[0];
      g.output("dx", dx + x);
      g.output("sums", reduce_sum(dx, {0, 1, 2}));
      expect_compiled_equals_interpreted(g, 1e-5);
    }
  }
}

// Vectors of channels are read and written as they lie: no lane is gathered or scattered, nothing is spilled.
TEST(CompiledWindows, InnerLoopsAreVectors) {
  for (const char* cpu : {"x86-64-v4", "x86-64-v3"}) {
    for (const WindowAttrs& attrs : {square(2, 2), square(3, 2, 0, 1), square(3, 1, 1, 1)}) {
      Graph g("assembly");
      const Value x = g.input("x", {DType::f32, {8, 28, 28, 64}});
      const Value y = window_max(x, attrs), place = window_argmax(x, attrs);
      g.output("y", y);
      g.output("place", place);
      g.output("dx", window_max_grad(place, g.input("dy", y.type()), x.shape(), attrs));
      const auto kernels = codegen::kernels_of(g, Target::of("x86_64-pc-linux-gnu", cpu));
      ASSERT_EQ(kernels.size(), 2u);
      for (const KernelAssembly& k : kernels) {
        EXPECT_EQ(count(k.assembly, R"(\tv?p?(gather|scatter|insr|extr[bwdq]))"), 0) << cpu << "\n"
                                                                                     << k.assembly;
        for (const Lines& loop : innermost_loops(k.assembly))
          EXPECT_EQ(spills(loop) + reloads(loop), 0) << cpu << "\n" << k.assembly;
      }
    }
  }
}

}  // namespace
}  // namespace kiln::codegen
