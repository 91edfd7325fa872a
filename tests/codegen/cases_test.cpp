// Faults that other compilers had (the numbers are those of the cases_*_test.cpp in tests/api), each as a
// whole kind: compiled code, fused and unfused, for every vector width and number of threads, against the
// interpreter, and against values by hand.
#include <gtest/gtest.h>

#include <limits>

#include "kiln/graph/gradient.h"
#include "kiln/graph/ops.h"
#include "tests/codegen/compile_support.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

// ---- case 1: values written over what is still to be read -------------------------------------------------

// A state's new value stands where its old one is read: all that reads other elements than it writes.
TEST(CaseInPlace, StatesThatAreMovedOverThemselves) {
  using Move = Value (*)(Value);
  const Move moves[] = {
      [](Value v) {  // one row on
        const Value parts[] = {slice(v, {0, 0}, {1, 20}), slice(v, {0, 0}, {v.shape()[0] - 1, 20})};
        return concatenate(parts, 0);
      },
      [](Value v) {  // one row back
        const std::int64_t n = v.shape()[0];
        const Value parts[] = {slice(v, {1, 0}, {n, 20}), slice(v, {n - 1, 0}, {n, 20})};
        return concatenate(parts, 0);
      },
      [](Value v) {  // one column on, and round
        const std::int64_t n = v.shape()[0];
        const Value parts[] = {slice(v, {0, 19}, {n, 20}), slice(v, {0, 0}, {n, 19})};
        return concatenate(parts, 1);
      },
      [](Value v) { return reverse(v, {0}); },
      [](Value v) { return reverse(v, {1}); },
      [](Value v) { return reshape(transpose(v, {1, 0}), v.shape()); },
      [](Value v) { return cumsum(v, 0); },
      [](Value v) { return cumsum(v, 1, true, true); },
      [](Value v) { return v - reduce_mean(v, {1}, true); },
      [](Value v) { return v - reduce_mean(v, {0}, true); },
      [](Value v) { return graph::sort(v, 1)[0]; },
      [](Value v) { return matmul(v, broadcast_to(slice(v, {0, 0}, {1, 20}), {20, 20})); },
      [](Value v) { return window_sum(v, {{3, 1}, {1, 1}, {1, 0}, {1, 0}}); },
      [](Value v) { return window_max(v, {{1, 3}, {1, 1}, {0, 2}, {0, 0}}); },
      [](Value v) { return pad(slice(v, {1, 0}, v.shape().sizes()), scalar(v, 3), {0, 0}, {1, 0}); },
  };
  for (std::int64_t rows : {6, 33}) {
    Graph g("in place");
    for (const Move& move : moves) {
      const Value plain = g.state("w", {DType::f32, {rows, 20}});
      g.update(plain, move(plain));
      const Value twice = g.state("v", {DType::f32, {rows, 20}});
      g.update(twice, move(twice * 2.0) + twice);
      const Value x = g.input("x", {DType::f32, {rows, 20}});
      g.output("arena", cumsum(move(cumsum(x, 0)), 0));  // between two arrays of the arena
    }
    expect_compiled_equals_interpreted(g);
  }
}

// ---- case 2: rows that meet their own row's reduction -----------------------------------------------------

TEST(CaseRows, RowsAndColumnsMeetTheirOwnReductions) {
  const std::int64_t sizes[] = {1, 3, 7, 8, 9, 15, 16, 17, 19, 33};
  for (std::int64_t rows : sizes) {
    Graph g("rows");
    std::vector<Tensor> inputs;
    for (std::int64_t columns : {1, 3, 7, 8, 9, 15, 16, 17, 19, 33, 37}) {
      Tensor x = Tensor::zeros({rows, columns});
      for (std::int64_t i = 0; i < x.size(); i++)
        x.data<float>()[i] = static_cast<float>(100 * (i / columns) + i % columns);
      const Value y = input(g, x) * 2.0;
      inputs.push_back(x);
      g.output("mean", y - reduce_mean(y, {1}, true));
      g.output("max", y - reduce_max(y, {1}, true));
      g.output("column mean", y - reduce_mean(y, {0}, true));
    }
    const std::vector<Tensor> z = run_compiled(g, inputs);
    for (std::size_t k = 0; k < inputs.size(); k++) {
      const std::int64_t columns = inputs[k].dim(1);
      const auto last_row = static_cast<double>(rows - 1), last_column = static_cast<double>(columns - 1);
      for (std::int64_t i = 0; i < rows; i++)
        for (std::int64_t j = 0; j < columns; j++) {
          const auto r = static_cast<double>(i), c = static_cast<double>(j);
          ASSERT_NEAR(z[3 * k](i, j), 2 * (c - last_column / 2), 1e-3) << rows << " x " << columns;
          ASSERT_EQ(z[3 * k + 1](i, j), 2 * (c - last_column)) << rows << " x " << columns;
          ASSERT_NEAR(z[3 * k + 2](i, j), 200 * (r - last_row / 2), 1e-3) << rows << " x " << columns;
        }
    }
  }
}

// ---- case 5: functions have one value, whatever the length ------------------------------------------------

TEST(CaseFunctions, TailsHaveTheBitsOfBodies) {
  const std::vector<float> at = {-1e4f, -104, -89,  -88,    -20,    0,    20,     88,   89,    1e4f,
                                 nan,   inf,  -inf, 88.72f, 88.73f, -0.f, 1e-40f, 0.5f, -0.75f};
  const std::pair<const char*, Value (*)(Value)> functions[] = {
      {"exp", exp},     {"expm1", expm1}, {"log", log},         {"log1p", log1p}, {"sqrt", sqrt},
      {"rsqrt", rsqrt}, {"tanh", tanh},   {"sigmoid", sigmoid}, {"erf", erf},     {"sin", sin},
      {"cos", cos},     {"floor", floor}, {"ceil", ceil},       {"round", round}};
  // The value of each element by itself, in an array of one.
  Graph single("single");
  std::vector<Tensor> ones;
  for (float v : at) {
    ones.push_back(Tensor(std::vector<float>{v}));
    const Value x = input(single, ones.back());
    for (const auto& [name, f] : functions) single.output(name, f(x));
  }
  std::vector<std::vector<float>> values;
  for (const Tensor& t : run_compiled(single, ones)) values.push_back(t.to_vector<float>());
  Graph g("lengths");
  std::vector<Tensor> inputs;
  for (std::size_t length : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 31, 33, 100}) {
    std::vector<float> x;
    for (std::size_t i = 0; i < length; i++) x.push_back(at[(i + 3 * length) % at.size()]);
    inputs.push_back(Tensor(x));
    const Value v = input(g, inputs.back());
    for (const auto& [name, f] : functions) g.output(name, f(v));
  }
  const std::vector<Tensor> y = run_compiled(g, inputs);
  constexpr std::size_t count = std::size(functions);
  for (std::size_t k = 0; k < y.size(); k++) {
    const std::size_t length = static_cast<std::size_t>(inputs[k / count].size());
    std::vector<float> expected;
    for (std::size_t i = 0; i < length; i++)
      expected.push_back(values[(i + 3 * length) % at.size() * count + k % count][0]);
    expect_floats(y[k], expected, functions[k % count].first + std::string(" of ") + std::to_string(length));
  }
}

// ---- case 33: sizes of one --------------------------------------------------------------------------------

TEST(CaseBroadcast, ByHand) {
  Graph g("broadcast");
  const Tensor a(std::vector<float>{0, 1, 2, 3, 4, 5}, {2, 1, 3}),
      b(std::vector<float>{1, 2, 3, 4}, {1, 4, 1});
  const Tensor c = Tensor::full({1, 1, 5}, 2), d = Tensor::full({5}, 3), e({{2.f}}), f({{1.f}, {2.f}, {3.f}});
  const Value left = input(g, a), right = input(g, b);
  g.output("product", left * right);
  const Value total = reduce_sum(left * right);
  g.output("sum", total);
  const Value wrt[] = {left, right};
  for (const Value& v : gradient(total, wrt)) g.output("gradient", v);
  const Value long_one = input(g, c), bias = input(g, d);
  g.output("sum", long_one + bias);
  const Value both[] = {long_one, bias};
  for (const Value& v : gradient(reduce_sum(long_one + bias), both)) g.output("gradient", v);
  const Value single = input(g, e), column = input(g, f);
  g.output("column", single + column);
  for (bool fuse : {true, false}) {
    const std::vector<Tensor> y = run_compiled(g, {a, b, c, d, e, f}, fuse);
    EXPECT_EQ(y[0].shape(), (Shape{2, 4, 3}));
    EXPECT_EQ(y[0](1, 3, 2), 20);
    EXPECT_EQ(y[1].item(), 150);
    EXPECT_EQ(y[2].shape(), a.shape());
    expect_floats(y[2], std::vector<float>(6, 10), "dA");
    EXPECT_EQ(y[3].shape(), b.shape());
    expect_floats(y[3], std::vector<float>(4, 15), "dB");
    EXPECT_EQ(y[4].shape(), (Shape{1, 1, 5}));
    expect_floats(y[4], std::vector<float>(5, 5), "(1,1,5)+(5)");
    EXPECT_EQ(y[5].shape(), (Shape{1, 1, 5}));
    EXPECT_EQ(y[6].shape(), (Shape{5}));
    expect_floats(y[6], std::vector<float>(5, 1), "bias");
    EXPECT_EQ(y[7].shape(), (Shape{3, 1}));
    expect_floats(y[7], {3, 4, 5}, "(1,1)+(3,1)");
  }
}

TEST(CaseBroadcast, EveryBinaryOpAndItsGradients) {
  const std::pair<Shape, Shape> shapes[] = {
      {{2, 1, 3}, {1, 4, 1}}, {{5}, {1, 1, 5}},    {{1, 1}, {3, 1}},  {{2, 3}, {}},
      {{17, 1}, {1, 19}},     {{1, 17}, {33, 17}}, {{4, 16}, {4, 1}}, {{5, 1}, {3, 1, 1, 2}}};
  std::size_t turn = 0;  // each op sees half of the shapes, and each shape half of the ops in either order
  for (auto op : {add, sub, mul, div, maximum, minimum, graph::pow, rem}) {
    Graph g("broadcast");
    for (const auto& [left, right] : shapes) {
      if (turn++ % 2 != 0) continue;
      const Value a = g.input("a", {DType::f32, left}), b = g.input("b", {DType::f32, right});
      const Value wrt[] = {a, b};
      const Value z = turn % 4 == 1 ? op(abs(a) + 0.5, abs(b) + 0.5) : op(abs(b) + 0.5, abs(a) + 0.5);
      g.output("value", z);
      const auto gradients = gradient(reduce_sum(z * z), wrt);
      for (std::size_t i = 0; i < 2; i++) {
        EXPECT_EQ(gradients[i].shape(), wrt[i].shape());
        g.output("gradient", gradients[i]);
      }
    }
    turn++;
    expect_compiled_equals_interpreted(g);
  }
}

// ---- case 35: concatenation -------------------------------------------------------------------------------

// Parts that come out of other kernels, of one array twice and of one part, along each axis, and their
// gradients.
TEST(CaseConcatenation, EachPartAndItsGradientAtItsPlace) {
  Graph g("concatenate");
  for (int axis = 0; axis < 4; axis++) {
    std::vector<Value> plain, computed;
    for (std::int64_t size : {1, 2, 3, 5}) {
      Shape shape = {2, 3, 2, 4};
      shape[axis] = size;
      plain.push_back(g.input("part", {DType::f32, shape}));
      computed.push_back(maximum(plain.back() * 2.0, scalar(plain.back(), 0)));
    }
    const Value up = g.input("up", {DType::f32, concatenate(plain, axis).shape()});
    const auto both = [&](const char* name, const std::vector<Value>& parts, const std::vector<Value>& wrt) {
      const Value joined = concatenate(parts, axis);
      g.output(name, joined);
      const Value weights = slice(broadcast_to(up, up.shape()), {0, 0, 0, 0}, joined.shape().sizes());
      for (const Value& v : gradient(reduce_sum(joined * joined * weights), wrt)) g.output(name, v);
    };
    both("plain", plain, plain);
    both("computed", computed, plain);
    both("one", {plain[3]}, {plain[3]});
    both("one of another kernel", {cumsum(plain[2], axis)}, {plain[2]});
    both("twice", {plain[0], computed[1], plain[0]}, {plain[0], plain[1]});
    // One array in two concatenations: its gradients add.
    const Value first = concatenate(std::vector{plain[1], plain[2]}, axis);
    const Value second = concatenate(std::vector{plain[2], plain[1]}, axis);
    for (const Value& v : gradient(reduce_sum(first * second), std::vector{plain[1], plain[2]}))
      g.output("two", v);
  }
  expect_compiled_equals_interpreted(g);
}

TEST(CaseConcatenation, ByHand) {
  Graph g("concatenate");
  const Tensor a(std::vector<float>{1, 2, 3, 4}, {1, 2, 2, 1});
  const Tensor b(std::vector<float>{10, 20, 20, 40, 30, 60, 40, 80}, {1, 2, 2, 2});
  const Tensor p(std::vector<float>{5, 6}, {1, 1, 2, 1});
  std::vector<float> numbers;
  for (int i = 0; i < 12; i++) numbers.push_back(static_cast<float>(i));
  const Tensor up(numbers, {1, 2, 2, 3});
  const Value x = input(g, a), y = input(g, b), z = input(g, p), dy = input(g, up);
  const Value last = concatenate(std::vector{x, y}, -1), rows = concatenate(std::vector{z, x}, 1);
  g.output("last axis", last);
  for (const Value& v : gradient(last, std::vector{x, y}, dy)) g.output("gradient", v);
  g.output("axis 1", rows);
  const Value weights = reshape(slice(reshape(dy, {12}), {0}, {6}), rows.shape());
  for (const Value& v : gradient(rows, std::vector{z, x}, weights)) g.output("gradient", v);
  g.output("single", concatenate(std::vector{x}, -1));
  for (bool fuse : {true, false}) {
    const std::vector<Tensor> out = run_compiled(g, {a, b, p, up}, fuse);
    expect_floats(out[0], {1, 10, 20, 2, 20, 40, 3, 30, 60, 4, 40, 80}, "last axis");
    expect_floats(out[1], {0, 3, 6, 9}, "da");
    expect_floats(out[2], {1, 2, 4, 5, 7, 8, 10, 11}, "db");
    expect_floats(out[3], {5, 6, 1, 2, 3, 4}, "axis 1");
    expect_floats(out[4], {0, 1}, "dp");
    expect_floats(out[5], {2, 3, 4, 5}, "da");
    expect_floats(out[6], {1, 2, 3, 4}, "single");
  }
}

}  // namespace
}  // namespace kiln::codegen
