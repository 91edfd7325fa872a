// Every kind of kernel against the interpreter, at sizes around vectors and tiles.
#include <gtest/gtest.h>

#include <cstring>

#include "kiln/codegen/compile.h"
#include "kiln/graph/ops.h"
#include "kiln/runtime/executable.h"
#include "tests/codegen/compile_support.h"
#include "tests/support/random_tensor.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

constexpr std::int64_t sizes[] = {1, 3, 15, 16, 17, 31, 100};
constexpr DType floats[] = {DType::f32, DType::f64};
constexpr DType numbers[] = {DType::f32, DType::f64, DType::i32, DType::i64, DType::u8};

TEST(CompiledOps, Elementwise) {
  for (DType dtype : numbers) {
    Graph g("elementwise");
    for (std::int64_t n : sizes) {
      const Value x = g.input("x", {dtype, {n}}), y = g.input("y", {dtype, {3, n}});
      for (auto op : {add, sub, mul, div, maximum, minimum}) g.output("binary", op(x, y));
      g.output("select", select(compare(x, y, "lt"), y, broadcast_to(x, y.shape())));
      for (DType to : {DType::f32, DType::f64, DType::i32, DType::i64, DType::u8, DType::bool_})
        g.output("convert", convert(y, to));
    }
    expect_compiled_equals_interpreted(g);
  }
}

TEST(CompiledOps, LongMapsAreCutIntoTiles) {
  for (std::int64_t n : {40000, 100003}) {
    Graph g("long");
    const Value x = g.input("x", {DType::f32, {n}});
    g.output("flat", x * 2.0 + 1.0);
    const Value y = g.input("y", {DType::f32, {n, 3}});
    g.output("rows", y + g.input("b", {DType::f32, {3}}));
    const Value z = g.input("z", {DType::f32, {7, n / 7}});
    g.output("columns", transpose(z, {1, 0}) * 2.0);
    expect_compiled_equals_interpreted(g);
  }
}

TEST(CompiledOps, Movement) {
  for (std::int64_t n : sizes) {
    Graph g("movement");
    const Value x = g.input("x", {DType::f32, {3, n, 5}});
    g.output("transpose", transpose(x, {2, 0, 1}) * 2.0);
    g.output("reshape", transpose(reshape(x, {5, n, 3}), {1, 2, 0}));
    g.output("flat", reshape(transpose(x, {1, 0, 2}), {n * 15}));
    g.output("slice", slice(x, {1, 0, 1}, {3, n, 5}, {1, 2, 3}));
    g.output("pad", pad(x, scalar(x, 7), {1, 2, 0}, {0, 1, 3}, {0, 1, 2}));
    const Value parts[] = {x, x * 2.0, reverse(x, {1, 2})};
    for (int axis : {0, 1, 2}) g.output("concatenate", concatenate(parts, axis));
    g.output("iota", x * iota(g, x.type(), 1) + iota(g, x.type(), 2));
    expect_compiled_equals_interpreted(g);
  }
}

TEST(CompiledOps, Reductions) {
  for (DType dtype : numbers) {
    Graph g("reductions");
    for (std::int64_t n : {1, 3, 16, 17, 70}) {
      const Value x = g.input("x", {dtype, {3, n, 4}});
      for (const Ints& axes :
           {Ints{0}, Ints{1}, Ints{2}, Ints{1, 2}, Ints{0, 2}, Ints{0, 1, 2}, Ints{0, 1}}) {
        for (auto op : {reduce_sum, reduce_max, reduce_min}) g.output("reduce", op(x, axes, false));
      }
      g.output("prod", reduce_prod(x, {0}, false));
      const Value y = g.input("y", {dtype, {5, n}});
      for (auto op : {reduce_sum, reduce_max, reduce_min, reduce_prod}) g.output("rows", op(y, {1}, false));
      for (int axis : {0, 1, 2}) g.output("argmax", argmax(x, axis));
      g.output("argmax", argmax(y, 1));
    }
    expect_compiled_equals_interpreted(g);
  }
}

TEST(CompiledOps, LongReductions) {
  for (DType dtype : floats) {
    Graph g("long reductions");
    const Value x = g.input("x", {dtype, {3, 30011}});
    g.output("rows", reduce_sum(x * x, {1}));
    g.output("all", reduce_sum(x * x));
    g.output("argmax", argmax(x, 1));
    const Value y = g.input("y", {dtype, {20011, 6}});
    g.output("columns", reduce_sum(y * y, {0}));
    g.output("mean", reduce_mean(y * y, {0}));
    const Value z = g.input("z", {dtype, {4, 61, 53, 6}});
    g.output("channels", reduce_sum(z * z, {0, 1, 2}));
    g.output("pixels", reduce_sum(z, {1, 2}));
    g.output("softmax",
             exp(x - reduce_max(x, {1}, true)) / reduce_sum(exp(x - reduce_max(x, {1}, true)), {1}, true));
    expect_compiled_equals_interpreted(g);
  }
}

TEST(CompiledOps, Dot) {
  for (DType dtype : floats) {
    for (std::int64_t n : {1, 6, 16, 17, 100}) {
      Graph g("dot");
      for (std::int64_t m : {1, 5, 19}) {
        const std::int64_t k = m == 5 ? 1 : 3 * m + 7;
        const Value a = g.input("a", {dtype, {m, k}}), b = g.input("b", {dtype, {k, n}});
        const Value y = dot(a, b, {}, {}, {1}, {0});
        g.output("bias", tanh(y + g.input("bias", {dtype, {n}})));
        g.output("left transposed", dot(a, g.input("c", {dtype, {m, n}}), {}, {}, {0}, {0}));
        g.output("right transposed", dot(a, g.input("d", {dtype, {n, k}}), {}, {}, {1}, {1}));
      }
      g.output("batched", matmul(g.input("e", {dtype, {3, 4, 9}}), g.input("f", {dtype, {3, 9, n}})));
      g.output("long",
               dot(g.input("h", {dtype, {3, 2500}}), g.input("i", {dtype, {2500, n}}), {}, {}, {1}, {0}));
      expect_compiled_equals_interpreted(g);
    }
  }
}

// Their right operands are gone through in parts.
TEST(CompiledOps, ProductsLargerThanTheCache) {
  Graph g("large");
  const Value x = g.input("x", {DType::f32, {43, 6000}}), w = g.input("w", {DType::f32, {6000, 70}});
  g.output("dot", tanh(dot(x, w, {}, {}, {1}, {0}) * 0.01 + g.input("b", {DType::f32, {70}})));
  const Value image = g.input("image", {DType::f32, {3, 4, 9, 128}});
  const Value kernel = g.input("kernel", {DType::f32, {3, 3, 128, 70}});
  g.output("conv",
           conv(image, kernel, {{1, 1}, {0, 0}, {0, 0}, {1, 1}, 1}) + g.input("c", {DType::f32, {70}}));
  expect_compiled_equals_interpreted(g);
}

// A weight is read when the sum that updates it is complete: the sum can't wait in its place.
TEST(CompiledOps, UpdatesByLongSums) {
  Graph g("update");
  const Value x = g.input("x", {DType::f32, {2048, 81}}), dy = g.input("dy", {DType::f32, {2048, 520}});
  const Value w = g.state("w", {DType::f32, {81, 520}});
  g.update(w, w - matmul(transpose(x, {1, 0}), dy) * 0.1);
  const Value narrow = g.input("narrow", {DType::f32, {2048, 512}}),
              b = g.state("b", {DType::f32, {81, 512}});
  g.update(b, b - matmul(transpose(x, {1, 0}), narrow) * 0.1);
  expect_compiled_equals_interpreted(g);
}

// Of few rows, whose right operand is streamed: 1056 = 96 * 11 steps, columns beyond whole panels and tiles.
TEST(CompiledOps, ProductsOfFewRowsByALargeMatrix) {
  for (const std::int64_t rows : {1, 3, 8, 17, 31, 70}) {
    Graph g("few_rows");
    const Value x = g.input("x", {DType::f32, {rows, 1056}}), w = g.input("w", {DType::f32, {1056, 1101}});
    g.output("y", tanh(matmul(x, w) * 0.01 + g.input("b", {DType::f32, {1101}})));
    expect_compiled_equals_interpreted(g);
  }
}

// Columns in panels: the same bits as in rows, of few and many rows, in one pass over the steps and in
// several.
TEST(CompiledOps, ProductsByPanels) {
  for (const DType dtype : floats)
    for (const std::int64_t rows : {1, 6, 43, 300})
      for (const std::int64_t steps : {0, 1, 75, 8448}) {
        Graph g("panels");
        const Value x = g.input("x", {dtype, {rows, steps}}), w = g.input("w", {dtype, {steps, 192}});
        const Value panels = transpose(reshape(w, {steps, 3, panel_columns}), {1, 0, 2});
        const Value b = g.input("b", {dtype, {192}});
        g.output("y", tanh(dot_panels(x, panels) * 0.01 + b));
        if (steps * rows < 10000) expect_compiled_equals_interpreted(g);
        g.output("in rows", tanh(matmul(x, w) * 0.01 + b));
        const std::vector<Tensor> both = run_compiled(g, random_arguments(g, 1).inputs);
        EXPECT_EQ(std::memcmp(both[0].raw(), both[1].raw(), both[0].nbytes()), 0)
            << rows << " rows, " << steps;
      }
}

TEST(CompiledOps, Convolutions) {
  struct Case {
    Shape x, kernel;
    ConvAttrs attrs;
  };
  const Case cases[] = {
      {{2, 9, 8, 1}, {5, 5, 1, 6}, {{1, 1}, {2, 2}, {2, 2}, {1, 1}, 1}},
      {{3, 7, 31, 3}, {3, 3, 3, 17}, {{1, 1}, {0, 0}, {0, 0}, {1, 1}, 1}},
      {{2, 8, 9, 4}, {3, 2, 4, 5}, {{2, 3}, {1, 0}, {0, 1}, {1, 1}, 1}},
      {{2, 9, 9, 4}, {2, 3, 4, 5}, {{1, 1}, {0, 1}, {1, 0}, {2, 3}, 1}},
      {{2, 6, 7, 6}, {2, 2, 2, 9}, {{1, 1}, {0, 0}, {0, 0}, {1, 1}, 3}},
      {{2, 6, 7, 17}, {3, 3, 1, 17}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 17}},
      {{2, 6, 7, 10}, {3, 3, 2, 5}, {{2, 1}, {1, 1}, {1, 1}, {1, 2}, 5}},
      {{2, 5, 7, 33}, {1, 1, 33, 20}, {{1, 1}, {0, 0}, {0, 0}, {1, 1}, 1}},
      {{2, 5, 7, 3}, {1, 1, 3, 4}, {{2, 2}, {0, 0}, {0, 0}, {1, 1}, 1}},
      {{2, 11, 3}, {4, 3, 6}, {{2}, {1}, {2}, {1}, 1}},
      {{1, 4, 5, 6, 2}, {2, 3, 2, 2, 3}, {{1, 1, 2}, {1, 0, 0}, {0, 1, 1}, {1, 1, 1}, 1}},
      {{1, 1, 1, 1}, {1, 1, 1, 1}, {{1, 1}, {0, 0}, {0, 0}, {1, 1}, 1}},
  };
  for (DType dtype : floats) {
    for (const Case& c : cases) {
      Graph g("conv");
      const Value x = g.input("x", {dtype, c.x}), kernel = g.input("kernel", {dtype, c.kernel});
      const Value y = conv(x, kernel, c.attrs);
      g.output("conv", sigmoid(y + g.input("bias", {dtype, {c.kernel.back()}})));
      const Value dy = g.input("dy", y.type());
      g.output("conv_input_grad", conv_input_grad(dy, kernel, c.x, c.attrs));
      g.output("conv_kernel_grad", conv_kernel_grad(x, dy, c.kernel, c.attrs));
      expect_compiled_equals_interpreted(g);
    }
  }
}

TEST(CompiledOps, Windows) {
  const WindowAttrs cases[] = {
      {{1, 2, 2, 1}, {1, 2, 2, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}},
      {{1, 3, 3, 1}, {1, 2, 2, 1}, {0, 1, 0, 0}, {0, 1, 1, 0}},
      {{1, 2, 3, 1}, {1, 1, 1, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}},
      {{1, 2, 2, 1}, {1, 3, 4, 1}, {0, 1, 1, 0}, {0, 0, 1, 0}},
      {{1, 5, 6, 1}, {1, 5, 6, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}},
      {{1, 5, 4, 1}, {1, 2, 1, 1}, {0, 2, 1, 0}, {0, 2, 2, 0}},
      {{1, 3, 3, 1}, {1, 1, 1, 1}, {0, 1, 1, 0}, {0, 1, 1, 0}},
      {{1, 3, 2, 1}, {1, 2, 2, 1}, {0, 4, 2, 0}, {0, 3, 5, 0}},
      {{2, 2, 1, 2}, {1, 2, 1, 1}, {1, 0, 0, 0}, {0, 1, 0, 1}},
  };
  for (DType dtype : {DType::f32, DType::i64}) {
    for (const WindowAttrs& attrs : cases) {
      Graph g("window");
      for (std::int64_t channels : {1, 6, 17}) {
        const Shape shape{2, 7, 8, channels};
        // Few different values, so that windows have ties.
        const Value x = convert(convert(g.input("x", {dtype, shape}) * 3.0, DType::i32), dtype);
        const Value v = g.input("v", {dtype, shape});
        const Value y = window_max(x, attrs), dy = g.input("dy", y.type());
        g.output("window_max", y);
        const Value place = window_argmax(x, attrs);
        g.output("window_argmax", place);
        g.output("window_sum", window_sum(v, attrs));
        g.output("window_sum_grad", window_sum_grad(dy, shape, attrs));
        g.output("window_max_grad", window_max_grad(place, dy, shape, attrs) * (v + convert(1.0 + x, dtype)));
        g.output("window_max_pick", window_max_pick(place, v, attrs));
      }
      expect_compiled_equals_interpreted(g);
    }
  }
}

TEST(CompiledOps, Indexing) {
  for (std::int64_t n : sizes) {
    Graph g("indexing");
    const Value table = g.input("table", {DType::f32, {19, n}}), rows = g.input("rows", {DType::i32, {9}});
    g.output("gather", gather(table, rows, 0) * 2.0);
    const Value columns = g.input("columns", {DType::i64, {2, 3}});
    g.output("gather columns", gather(table, columns, 1));
    g.output("scatter_add", scatter_add(table, rows, g.input("u", {DType::f32, {9, n}}), 0));
    g.output("scatter_add columns", scatter_add(table, rows, g.input("v", {DType::f32, {19, 9}}), 1));
    const Value places = g.input("places", {DType::i32, {5, n}});
    g.output("take_along", take_along(table, places, 0));
    g.output("put_along", put_along(convert(places, DType::f32), places, 0, 11));
    g.output("put_along columns", put_along(convert(places, DType::f32), places, 1, 13));
    const Value starts = g.input("starts", {DType::i64, {2}});
    g.output("dynamic_slice", dynamic_slice(table, starts, {7, (n + 1) / 2}));
    g.output("dynamic_update_slice",
             dynamic_update_slice(table, g.input("w", {DType::f32, {4, (n + 1) / 2}}), starts));
    expect_compiled_equals_interpreted(g);
  }
}

// What is read in order, but from a place that comes from memory.
TEST(CompiledOps, IndexingOfLargeArrays) {
  Graph g("large");
  const Value table = g.input("table", {DType::f32, {20000, 64}}), rows = g.input("rows", {DType::i32, {9}});
  g.output("gather", gather(table, rows, 0) * 2.0);
  g.output("take_along", take_along(table, g.input("places", {DType::i32, {5, 64}}), 0));
  g.output("dynamic_slice", dynamic_slice(table, g.input("starts", {DType::i64, {2}}), {30, 50}));
  expect_compiled_equals_interpreted(g);
}

TEST(CompiledOps, Order) {
  for (DType dtype : {DType::f32, DType::i32, DType::f64}) {
    for (std::int64_t n : {1, 15, 17, 150}) {
      Graph g("order");
      const Value x = g.input("x", {dtype, {3, n}});
      const Value coarse = is_float(dtype) ? round(x * 4.0) : x;  // ties
      for (int axis : {0, 1}) {
        for (bool flag : {false, true}) {
          g.output("cumsum", cumsum(x, axis, flag, !flag) + x);
          g.output("cumsum", cumsum(x, axis, flag, flag));
          const std::vector<Value> sorted = graph::sort(coarse, axis, flag);
          g.output("sorted", sorted[0]);
          g.output("order", sorted[1]);
        }
      }
      const std::vector<Value> top = top_k(coarse, (n + 1) / 2);
      g.output("top", top[0]);
      g.output("places", top[1]);
      expect_compiled_equals_interpreted(g);
    }
  }
}

TEST(CompiledOps, NotANumberIsOrderedAndCarried) {
  Graph g("nan");
  const Value x = g.input("x", {DType::f32, {4, 37}});
  const Value holes = log(x);  // NaN for about half
  g.output("argmax", argmax(holes, 1));
  g.output("argmax", argmax(holes, 0));
  g.output("max", reduce_max(holes, {1}));
  for (bool descending : {false, true}) {
    const std::vector<Value> sorted = graph::sort(holes, 1, descending);
    g.output("sorted", sorted[0]);
    g.output("order", sorted[1]);
  }
  const std::vector<Value> top = top_k(holes, 9);
  g.output("top", top[0]);
  g.output("places", top[1]);
  for (std::int64_t stride : {1, 3}) {
    const WindowAttrs attrs{{1, 3}, {1, stride}, {0, 1}, {0, 1}};
    g.output("window_max", window_max(holes, attrs));
    g.output("window_max_grad",
             window_max_grad(window_argmax(holes, attrs), abs(window_sum(x, attrs)), holes.shape(), attrs));
    g.output("window_max_pick", window_max_pick(window_argmax(holes, attrs), x, attrs));
  }
  expect_compiled_equals_interpreted(g);
}

TEST(CompiledOps, RandomWords) {
  Graph g("random");
  const Value key = g.state("key", {DType::i64, {2}});
  for (std::int64_t n : sizes) g.output("bits", random_bits(key, {3, n}, n - 20));
  g.output("uniform", random_uniform(key, {1000}, 5));
  g.output("uniform", random_uniform(key, {1000}, 6, DType::f64));
  expect_compiled_equals_interpreted(g);
}

TEST(CompiledOps, EmptyArrays) {
  Graph g("empty");
  const Value x = g.input("x", {DType::f32, {0, 5}});
  g.output("map", x * 2.0);
  g.output("sum", reduce_sum(x, {0}));
  g.output("max", reduce_max(x, {0}));
  g.output("dot", dot(g.input("a", {DType::f32, {3, 0}}), x, {}, {}, {1}, {0}));
  g.output("column",
           dot(g.input("b", {DType::f32, {3, 0}}), g.input("c", {DType::f32, {0, 1}}), {}, {}, {1}, {0}));
  const Value parts[] = {x, g.input("y", {DType::f32, {2, 5}}), x};
  g.output("concatenate", concatenate(parts, 0));
  expect_compiled_equals_interpreted(g);
}

/// What `predict` runs: convolutions, pooling, dense layers of several widths, normalisation, softmax.
std::vector<Tensor> predict(const Tensor& images) {
  const std::int64_t n = images.shape()[0];
  Graph g("predict");
  RandomNumbers random(7);
  std::vector<Tensor> weights;
  const auto weight = [&](Shape shape) {
    weights.push_back(random.tensor(shape, -0.5, 0.5, DType::f32));
    return g.state("w", {DType::f32, std::move(shape)});
  };
  const Value x = g.input("x", {DType::f32, images.shape()});
  Value y = conv(x, weight({3, 3, 1, 6}), {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1});
  y = window_max(sigmoid(y), {{1, 2, 2, 1}, {1, 2, 2, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}});
  y = conv(y, weight({1, 1, 6, 19}), {{1, 1}, {0, 0}, {0, 0}, {1, 1}, 1});
  g.output("pixels", reduce_mean(y, {1, 2}));
  y = reshape(y, {n, y.shape().elements() / n});
  y = tanh(dot(y, weight({y.shape()[1], 37}), {}, {}, {1}, {0}) + weight({37}));
  const Value d = y - reduce_mean(y, {1}, true);
  y = d * rsqrt(reduce_mean(d * d, {1}, true) + 1e-5);
  g.output("score", dot(y, weight({37, 1}), {}, {}, {1}, {0}));
  y = dot(y, weight({37, 10}), {}, {}, {1}, {0});
  const Value e = exp(y - reduce_max(y, {1}, true));
  g.output("softmax", e / reduce_sum(e, {1}, true));
  runtime::Executable executable(compile(g));
  std::vector<Tensor> outputs;
  for (const Output& o : g.outputs()) outputs.emplace_back(o.value.shape(), o.value.dtype());
  executable.run({&images, 1}, weights, outputs);
  return outputs;
}

TEST(CompiledOps, ARowDoesNotDependOnItsBatch) {
  const Tensor images = RandomNumbers(1).tensor({40, 9, 10, 1}, -1, 1, DType::f32);
  const std::vector<Tensor> all = predict(images);
  for (std::int64_t batch : {1, 2, 7, 16, 33}) {
    Tensor some({batch, 9, 10, 1}, DType::f32);
    std::memcpy(some.raw(), images.raw(), static_cast<std::size_t>(some.size()) * sizeof(float));
    const std::vector<Tensor> outputs = predict(some);
    for (std::size_t i = 0; i < outputs.size(); i++)
      EXPECT_EQ(std::memcmp(outputs[i].raw(), all[i].raw(),
                            static_cast<std::size_t>(outputs[i].size()) * sizeof(float)),
                0)
          << "output " << i << " of a batch of " << batch;
  }
}

}  // namespace
}  // namespace kiln::codegen
