// Shapes and constants at the edge of what a graph may hold: nothing, one element, NaN.
#include <gtest/gtest.h>

#include <cmath>

#include "kiln/codegen/compile.h"
#include "kiln/graph/ops.h"
#include "tests/codegen/compile_support.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

TEST(Unusual, ExtremaWithAConstantNaN) {
  for (DType dtype : {DType::f32, DType::f64}) {
    Graph g("extrema");
    const Value x = g.input("x", {dtype, {19}});
    const Value nan = constant(g, Tensor::full({}, std::nan(""), dtype));
    for (auto op : {maximum, minimum}) {
      g.output("second", op(x, nan));
      g.output("first", op(nan, x));
    }
    expect_compiled_equals_interpreted(g);
  }
}

TEST(Unusual, ReductionsOfNothing) {
  for (DType dtype : {DType::f32, DType::i32, DType::u8})
    for (const Shape& shape :
         {Shape{3, 0}, Shape{0, 3}, Shape{0, 0}, Shape{2, 3, 0, 4}, Shape{2, 0, 3, 4}, Shape{4, 0, 0, 2}}) {
      Graph g("reductions");
      const Value x = g.input("x", {dtype, shape});
      for (auto op : {reduce_sum, reduce_max, reduce_min, reduce_prod}) {
        g.output("all", op(x, {}, false));
        for (std::int64_t a = 0; a < shape.rank(); a++) {
          g.output("one axis", op(x, {a}, false));
          for (std::int64_t b = a + 1; b < shape.rank(); b++) g.output("two axes", op(x, {a, b}, false));
        }
      }
      expect_compiled_equals_interpreted(g);
    }
}

TEST(Unusual, PartsWithoutElements) {
  Graph g("parts");
  const Value x = g.input("x", {DType::f32, {0, 3}}), y = g.input("y", {DType::f32, {0, 3}});
  const Value z = g.input("z", {DType::f32, {2, 3}});
  const Value parts[] = {x, y};
  const Value none = concatenate(parts, 0);
  const Value more[] = {none, z, y};
  g.output("concatenate", concatenate(more, 0) * 2.0);
  g.output("sum", reduce_sum(none));
  g.output("maximum", reduce_max(none * 2.0, {0}));
  const Value seven = scalar(x, 7);
  g.output("pad", pad(none, seven, {1, 0}, {1, 0}));
  g.output("pad between", pad(x, seven, {1, 0}, {1, 0}, {2, 1}));
  g.output("pad reshape", pad(reshape(x * 2.0, {3, 0}), seven, {1, 1}, {1, 0}, {2, 1}));
  g.output("pad reverse", pad(reverse(x, {0}), seven, {1, 1}, {1, 0}, {2, 1}));
  g.output("pad slice", pad(slice(z, {1, 0}, {1, 3}), seven, {1, 1}, {1, 0}, {2, 1}));
  const Value one = g.input("one", {DType::f32, {1}});
  g.output("pad broadcast", pad(broadcast_to(one, {2, 0}), seven, {1, 1}, {1, 0}, {2, 1}));
  expect_compiled_equals_interpreted(g);
}

// Without fusion there are arrays of no elements in the arena: their places fall on others'.
TEST(Unusual, ProductsOfNothing) {
  Graph g("products");
  for (std::int64_t m : {0, 1, 3})
    for (std::int64_t k : {0, 1, 3})
      for (std::int64_t n : {0, 1, 3}) {
        const Value a = g.input("a", {DType::f32, {m, k}}), b = g.input("b", {DType::f32, {k, n}});
        g.output("dot", tanh(matmul(a, b)) + 1.0);
        g.output("transposed", dot(g.input("c", {DType::f32, {k, m}}), b, {}, {}, {0}, {0}));
        for (std::int64_t batch : {0, 2})
          g.output("batched", matmul(g.input("d", {DType::f32, {batch, m, k}}),
                                     g.input("e", {DType::f32, {batch, k, n}})));
      }
  expect_compiled_equals_interpreted(g);
}

/// A convolution and, for its result, its two gradients.
void output_convolutions(Graph& g, Value x, Value k, const ConvAttrs& attrs) {
  const Value y = conv(x, k, attrs);
  g.output("y", y + 1.0);
  g.output("dx", conv_input_grad(y, k, x.shape(), attrs));
  g.output("dk", conv_kernel_grad(x, y, k.shape(), attrs));
}

TEST(Unusual, ConvolutionsOfNothing) {
  for (std::int64_t groups : {1, 2})
    for (std::int64_t channels : {0, 2})
      for (std::int64_t taps : {1, 2}) {
        Graph g("convolutions");
        for (std::int64_t batch : {0, 2})
          for (std::int64_t filters : {0, 2}) {
            const Value x = g.input("x", {DType::f32, {batch, 5, 4, channels}});
            const Value k = g.input("k", {DType::f32, {taps, taps, channels / groups, filters}});
            const ConvAttrs ways[] = {{.groups = groups},
                                      {.strides = {2, 1}, .low = {1, 1}, .groups = groups}};
            for (const ConvAttrs& attrs : ways) output_convolutions(g, x, k, attrs);
          }
        expect_compiled_equals_interpreted(g);
      }
}

TEST(Unusual, ConvolutionsOfPaddingOnly) {
  Graph g("convolutions");
  const Value x = g.input("x", {DType::f32, {2, 0, 3, 1}}), k = g.input("k", {DType::f32, {2, 2, 1, 3}});
  const ConvAttrs ways[] = {{.low = {2, 1}, .high = {1, 0}}, {.strides = {2, 2}, .low = {3, 0}}};
  for (const ConvAttrs& attrs : ways) output_convolutions(g, x, k, attrs);
  expect_compiled_equals_interpreted(g);
}

TEST(Unusual, OrderAndIndicesOfNothing) {
  Graph g("order");
  for (const Shape& shape : {Shape{0}, Shape{3, 0}, Shape{0, 3}}) {
    const Value x = g.input("x", {DType::f32, shape});
    for (int axis = 0; axis < shape.rank(); axis++) {
      g.output("cumsum", cumsum(x, axis));
      for (const Value& v : sort(x, axis)) g.output("sort", v);
      if (shape[static_cast<std::size_t>(axis)] > 0) g.output("argmax", argmax(x, axis));
      g.output("put_along", put_along(x, convert(x, DType::i32), axis, 4));
      const Value none = g.input("i", {DType::i32, {0}});
      g.output("gather", gather(x, none, axis));
      g.output("scatter_add", scatter_add(x, none, gather(x, none, axis), axis));
    }
    for (const Value& v : top_k(x, 0)) g.output("top_k", v);
  }
  expect_compiled_equals_interpreted(g);
}

TEST(Unusual, WindowsOverPaddingOnly) {
  Graph g("windows");
  const WindowAttrs shared{.window = {1, 2, 1}, .low = {0, 2, 0}, .high = {0, 2, 0}};
  const WindowAttrs apart{.window = {1, 2, 1}, .strides = {1, 2, 1}, .low = {0, 2, 0}, .high = {0, 2, 0}};
  const Value x = g.input("x", {DType::f32, {2, 0, 2}});
  for (const WindowAttrs& attrs : {shared, apart}) {
    const Value sum = window_sum(x, attrs);
    g.output("sum", sum);
    g.output("sum's gradient", window_sum_grad(sum, x.shape(), attrs));
    g.output("maximum", window_max(x, attrs));
    g.output("maximum's gradient", window_max_grad(window_argmax(x, attrs), sum, x.shape(), attrs));
    g.output("pick", window_max_pick(window_argmax(x, attrs), x, attrs));
  }
  expect_compiled_equals_interpreted(g);
}

// Every element's address is a quotient of a remainder of a quotient ...
TEST(Unusual, ManyReshapesThatScramble) {
  Graph g("scrambled");
  Value x = g.input("x", {DType::f32, {7, 11, 13}}), y = g.input("y", {DType::i32, {6, 4, 5}});
  for (int i = 0; i < 30; i++) x = reshape(transpose(x, {2, 0, 1}), {7, 11, 13});
  for (int i = 0; i < 30; i++) y = reshape(transpose(y, {1, 2, 0}), {6, 4, 5}) + 1.0;
  g.output("moved", x * 2.0);
  g.output("counted", y);
  g.output("summed", reduce_sum(x, {0, 2}));
  expect_compiled_equals_interpreted(g);
}

// Constants of one element are part of the code, but arrays where an op wants an array.
TEST(Unusual, ConstantsOfOneElement) {
  for (DType index : {DType::i32, DType::i64}) {
    Graph g("constants");
    const auto one = [&](double v, DType t, const Shape& s = {1}) {
      return constant(g, Tensor::full(s, v, t));
    };
    const Value x = g.input("x", {DType::f32, {3}}), u = g.input("u", {DType::f32, {1}});
    const Value i = g.input("i", {index, {1}}), many = g.input("many", {index, {4}});
    const Value two = one(2, DType::f32), first = one(0, index), second = one(1, index);
    g.output("scatter index", scatter_add(x, second, u, 0));
    g.output("scatter update", scatter_add(x, i, two, 0));
    g.output("scatter base", scatter_add(two, i, u, 0));
    g.output("put index", put_along(u, second, 0, 3));
    g.output("put update", put_along(two, i, 0, 3));
    g.output("slice", dynamic_slice(x, second, {2}));
    g.output("slice of one", dynamic_slice(two, i, {1}));
    g.output("update", dynamic_update_slice(x, g.input("part", {DType::f32, {2}}), second));
    g.output("update by one", dynamic_update_slice(x, two, first));
    g.output("gather", gather(x, second, 0));
    g.output("gather of one", gather(two, many, 0));
    g.output("take of one", take_along(two, many, 0));
    const Value pixel = g.input("pixel", {DType::f32, {1, 1, 1, 1}}),
                three = one(3, DType::f32, {1, 1, 1, 1});
    g.output("dot", matmul(g.input("rows", {DType::f32, {3, 1}}), one(2, DType::f32, {1, 1})));
    g.output("conv by one", conv(pixel, three, {}));
    g.output("conv of one", conv(three, pixel, {.low = {1, 1}, .high = {1, 1}}));
    const Value dy = g.input("dy", {DType::f32, {2}});
    const WindowAttrs windows{.window = {1}, .low = {1}};
    g.output("maximum's gradient", window_max_grad(window_argmax(two, windows), dy, two.shape(), windows));
    g.output("pick", window_max_pick(window_argmax(u, windows), two, windows));
    g.output("sum's gradient", window_sum_grad(dy, {1}, windows));
    check(one(1, DType::bool_), one(3, DType::i32), "never");
    expect_compiled_equals_interpreted(g);
  }
}

}  // namespace
}  // namespace kiln::codegen
