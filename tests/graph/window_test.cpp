#include "evaluate.h"

namespace kiln::graph::testing {
namespace {

/// 2 x 2 windows over the two axes of (1, rows, columns, 1).
WindowAttrs square(std::int64_t size, std::int64_t stride) {
  return {{1, size, size, 1}, {1, stride, stride, 1}, {}, {}};
}

TEST(WindowMax, ByHand) {
  Expression e;
  const Value x = e.input(tensor({1, 2, 4, 1}, {1, 5, 2, 8, 3, 4, 9, 7}));
  expect_tensor(e.evaluate(window_max(x, square(2, 2))), {1, 1, 2, 1}, {5, 9});
  expect_tensor(e.evaluate(window_max(x, square(2, 1))), {1, 1, 3, 1}, {5, 9, 9});
}

// Ties: one element, the first, gets everything (tensorflow#4886).
TEST(WindowMax, GradientGoesToTheFirstMaximum) {
  Expression e;
  const Value x = e.input(tensor({1, 2, 2, 1}, {7, 4, 7, 1})), one = e.input(tensor({1, 1, 1, 1}, {1}));
  expect_tensor(e.evaluate(window_max_grad(window_argmax(x, square(2, 2)), one, x.shape(), square(2, 2))),
                {1, 2, 2, 1}, {1, 0, 0, 0});
}

TEST(WindowMax, OverlappingTies) {
  Expression e;
  const Value x = e.input(Tensor::full({1, 4, 4, 1}, 3, DType::f64));
  const Value dy = e.input(Tensor::full({1, 3, 3, 1}, 1, DType::f64));
  expect_tensor(e.evaluate(window_max_grad(window_argmax(x, square(2, 1)), dy, x.shape(), square(2, 1))),
                {1, 4, 4, 1}, {1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0});
}

TEST(WindowMax, OverlappingWindowsAddAtACommonMaximum) {
  Expression e;
  const Value x = e.input(tensor({5}, {1, 2, 9, 3, 4})), dy = e.input(tensor({3}, {1, 10, 100}));
  const WindowAttrs attrs{{3}, {1}, {}, {}};
  expect_tensor(e.evaluate(window_max_grad(window_argmax(x, attrs), dy, x.shape(), attrs)), {5},
                {0, 0, 111, 0, 0});
}

TEST(WindowMax, NaNWins) {
  Expression e;
  const Value x = e.input(tensor({7}, {1, nan, 3, nan, 5, 6, infinity})),
              dy = e.input(tensor({3}, {1, 10, 100}));
  const WindowAttrs attrs{{3}, {2}, {}, {}};
  expect_tensor(e.evaluate(window_max(x, attrs)), {3}, {nan, nan, infinity});
  expect_tensor(e.evaluate(window_max_grad(window_argmax(x, attrs), dy, x.shape(), attrs)), {7},
                {0, 1, 0, 10, 0, 0, 100});
}

TEST(WindowMax, PaddingNeverWins) {
  Expression e;
  const Value x = e.input(tensor({3}, {-5, -7, -6}));
  const WindowAttrs attrs{{2}, {1}, {1}, {1}};
  expect_tensor(e.evaluate(window_max(x, attrs)), {4}, {-5, -5, -6, -6});
}

TEST(WindowMax, MinusInfinityBeatsPadding) {
  Expression e;
  const Value x = e.input(tensor({2}, {-infinity, -infinity})), dy = e.input(tensor({2}, {1, 10}));
  const WindowAttrs attrs{{2}, {2}, {1}, {1}};
  expect_tensor(e.evaluate(window_max(x, attrs)), {2}, {-infinity, -infinity});
  expect_tensor(e.evaluate(window_max_grad(window_argmax(x, attrs), dy, x.shape(), attrs)), {2}, {1, 10});
}

TEST(WindowMax, WindowOfPaddingOnly) {
  const WindowAttrs attrs{{2}, {2}, {2}, {0}};
  Expression e;
  const Value x = e.input(tensor({2}, {3, 4})), dy = e.input(tensor({2}, {1, 10}));
  expect_tensor(e.evaluate(window_max(x, attrs)), {2}, {-infinity, 4});
  expect_tensor(e.evaluate(window_max_grad(window_argmax(x, attrs), dy, x.shape(), attrs)), {2}, {0, 10});
  expect_tensor(e.evaluate(window_max_pick(window_argmax(x, attrs), x, attrs)), {2}, {0, 4});
  const Value n = e.input(tensor({2}, {3, 4}, DType::i32));
  expect_tensor(e.evaluate(window_max(n, attrs)), {2}, {-2147483648.0, 4});
}

TEST(WindowMax, PlacesCountAllElementsOfTheWindow) {
  Expression e;
  const Value x = e.input(tensor({1, 2, 4, 1}, {1, 5, 2, 8, 9, 4, 8, 8}));
  expect_tensor(e.evaluate(window_argmax(x, square(2, 2))), {1, 1, 2, 1}, {2, 1});
  // Padding is counted, and the first is named of several.
  const WindowAttrs same{{1, 3, 3, 1}, {}, {0, 1, 1, 0}, {0, 1, 1, 0}};
  expect_tensor(e.evaluate(window_argmax(x, same)), {1, 2, 4, 1}, {7, 6, 5, 4, 4, 3, 2, 1});
  const Value low = e.input(tensor({2}, {-infinity, -infinity}));
  expect_tensor(e.evaluate(window_argmax(low, {{2}, {1}, {1}, {1}})), {3}, {1, 0, 0});
  // All padding: one more than the last element's number.
  expect_tensor(e.evaluate(window_argmax(low, {{2}, {2}, {2}, {2}})), {3}, {2, 0, 2});
}

TEST(WindowMax, PlacesHaveTheSmallestTypeThatCountsThem) {
  for (const auto& [size, type] : {std::pair(255, DType::u8), std::pair(256, DType::i32)}) {
    Tensor x({512}, DType::f32);
    for (std::int64_t i = 0; i < 512; i++) x.data<float>()[i] = static_cast<float>(i % size);
    Expression e;
    const Value v = e.input(x);
    const WindowAttrs attrs{{size}, {size}, {size}, {}};
    const Tensor places = e.evaluate(window_argmax(v, attrs));
    EXPECT_EQ(places.dtype(), type);
    expect_tensor(places, {3}, {size * 1.0, size - 1.0, size - 1.0});
    const Value dy = e.input(tensor({3}, {1, 10, 100}));
    const Tensor dx = e.evaluate(window_max_grad(window_argmax(v, attrs), dy, {512}, attrs));
    for (std::int64_t i = 0; i < 512; i++)
      EXPECT_EQ(static_cast<double>(dx(i)), i == size - 1 ? 10 : i == 2 * size - 1 ? 100 : 0) << i;
  }
}

// Any numbers may come as places: what names padding or no element at all names nothing.
TEST(WindowMax, PlacesThatNameNothing) {
  Expression e;
  const WindowAttrs attrs{{3}, {2}, {1}, {1}};
  const Value place = e.input(tensor({3}, {0, 1, 3}, DType::u8)), dy = e.input(tensor({3}, {1, 10, 100}));
  expect_tensor(e.evaluate(window_max_grad(place, dy, {5}, attrs)), {5}, {0, 0, 10, 0, 0});
  const Value v = e.input(tensor({5}, {1, 2, 3, 4, 5}));
  expect_tensor(e.evaluate(window_max_pick(place, v, attrs)), {3}, {0, 3, 0});
}

TEST(WindowMax, PickTakesTheWinnersPartner) {
  Expression e;
  const Value x = e.input(tensor({4}, {2, 2, 1, 5})), v = e.input(tensor({4}, {10, 20, 30, 40}));
  expect_tensor(e.evaluate(window_max_pick(window_argmax(x, {{2}, {1}, {}, {}}), v, {{2}, {1}, {}, {}})), {3},
                {10, 20, 40});
}

TEST(WindowMax, UnsignedBytes) {
  Expression e;
  const Value x = e.input(tensor({4}, {200, 100, 0, 255}, DType::u8));
  const Tensor y = e.evaluate(window_max(x, {{2}, {2}, {}, {}}));
  EXPECT_EQ(y.dtype(), DType::u8);
  expect_tensor(y, {2}, {200, 255});
}

TEST(WindowSum, ByHand) {
  Expression e;
  const Value x = e.input(tensor({5}, {1, 10, 100, 1000, 10000}));
  expect_tensor(e.evaluate(window_sum(x, {{2}, {}, {}, {}})), {4}, {11, 110, 1100, 11000});
  expect_tensor(e.evaluate(window_sum(x, {{2}, {3}, {}, {}})), {2}, {11, 11000});  // stride > window
  expect_tensor(e.evaluate(window_sum(x, {{3}, {2}, {1}, {1}})), {3}, {11, 1110, 11000});
  expect_tensor(e.evaluate(window_sum(x, {{3}, {2}, {0}, {2}})), {3}, {111, 11100, 10000});  // low != high
}

// What average pooling with padding divides by.
TEST(WindowSum, OfOnesCountsWithoutPadding) {
  Expression e;
  const Value ones = e.input(Tensor::full({1, 3, 3, 1}, 1, DType::f64));
  const WindowAttrs attrs{{1, 2, 2, 1}, {1, 2, 2, 1}, {0, 0, 0, 0}, {0, 1, 1, 0}};
  expect_tensor(e.evaluate(window_sum(ones, attrs)), {1, 2, 2, 1}, {4, 2, 2, 1});
}

TEST(WindowSum, GradientAddsTheWindowsThatCover) {
  Expression e;
  const Value dy = e.input(tensor({3}, {1, 10, 100}));
  expect_tensor(e.evaluate(window_sum_grad(dy, {6}, {{3}, {2}, {1}, {0}})), {6}, {1, 11, 10, 110, 100, 100});
}

TEST(WindowSum, IntegersWrap) {
  Expression e;
  const Value x = e.input(tensor({2}, {2147483647, 1}, DType::i32));
  expect_tensor(e.evaluate(window_sum(x, {{2}, {}, {}, {}})), {1}, {-2147483648.0});
}

// Rank 1 to 4, random windows, strides, paddings, with ties and NaN, against loops over an explicit padding.
TEST(Window, EqualsTheFormula) {
  for_seeds(100, [](Draw& draw) {
    const int rank = static_cast<int>(draw(1, 4));
    WindowAttrs a;
    Shape shape;
    for (int axis = 0; axis < rank; axis++) {
      a.window.push_back(draw(1, 3));
      a.strides.push_back(draw(1, 3));
      a.low.push_back(draw(0, 2));
      a.high.push_back(draw(0, 2));
      shape.push_back(std::max<std::int64_t>(1, a.window.back() - a.low.back() - a.high.back()) + draw(0, 3));
    }
    Tensor x(shape, DType::f64);
    for (std::int64_t i = 0; i < x.size(); i++) {
      const std::int64_t v = draw(0, 20);
      x.data<double>()[i] = v == 20 ? nan : static_cast<double>(v / 4);
    }
    // Everything as rank 4, axis by axis, with unit axes in front.
    const auto lead = static_cast<std::size_t>(4 - rank);
    const auto four = [&](const Ints& v, std::int64_t fill) {
      Ints r(lead, fill);
      r.insert(r.end(), v.begin(), v.end());
      return r;
    };
    const Ints n = four(shape.sizes(), 1), w = four(a.window, 1), s = four(a.strides, 1),
               low = four(a.low, 0), high = four(a.high, 0);
    const Tensor full = x.reshape(Shape(n));
    Ints out(4);
    for (std::size_t i = 0; i < 4; i++) out[i] = (n[i] + low[i] + high[i] - w[i]) / s[i] + 1;
    std::vector<double> maxima, sums;
    for (std::int64_t p = 0; p < out[0] * out[1] * out[2] * out[3]; p++) {
      const Ints o = {p / (out[1] * out[2] * out[3]), p / (out[2] * out[3]) % out[1], p / out[3] % out[2],
                      p % out[3]};
      double maximum = -infinity, sum = 0;
      for (std::int64_t q = 0; q < w[0] * w[1] * w[2] * w[3]; q++) {
        const Ints k = {q / (w[1] * w[2] * w[3]), q / (w[2] * w[3]) % w[1], q / w[3] % w[2], q % w[3]};
        Ints at(4);
        bool inside = true;
        for (std::size_t i = 0; i < 4; i++) {
          at[i] = o[i] * s[i] + k[i] - low[i];
          inside = inside && at[i] >= 0 && at[i] < n[i];
        }
        const double v = inside ? full(at[0], at[1], at[2], at[3]) : 0;
        sum += v;
        if (inside && !std::isnan(maximum)) maximum = std::isnan(v) ? nan : std::max(maximum, v);
      }
      maxima.push_back(maximum);
      sums.push_back(sum);
    }
    Expression e;
    const Value v = e.input(x), y = window_max(v, a);
    Shape expected;
    for (std::size_t i = lead; i < 4; i++) expected.push_back(out[i]);
    expect_tensor(e.evaluate(y), expected, maxima);
    expect_tensor(e.evaluate(window_sum(v, a)), expected, sums);
    // Picking from x itself gives the maxima again, but for windows of padding only.
    const auto picked = e.evaluate(window_max_pick(window_argmax(v, a), v, a)).to_vector<double>();
    for (std::size_t i = 0; i < picked.size(); i++)
      EXPECT_TRUE(picked[i] == maxima[i] || (std::isnan(picked[i]) && std::isnan(maxima[i])) ||
                  (picked[i] == 0 && maxima[i] == -infinity));
  });
}

struct WindowErrors : ::testing::Test {
  Graph g;
  Value x = g.input("x", {DType::f32, {1, 2, 2, 1}});
};

TEST_F(WindowErrors, WindowLargerThanInput) {
  LabelScope scope(g, "max_pooling2d");
  expect_error<ShapeError>(
      [&] { window_max(x, square(3, 3)); },
      {"max_pooling2d (window_max)", "window of 1 x 3 x 3 x 1", "input of 1 x 2 x 2 x 1"});
}
TEST_F(WindowErrors, OneEntryForEachAxis) {
  expect_error<ShapeError>([&] { window_max(x, {{2, 2}, {}, {}, {}}); }, {"window", "4 axes", "[2, 2]"});
  expect_error<ShapeError>([&] { window_sum(x, {{1, 2, 2, 1}, {2, 2}, {}, {}}); }, {"strides", "[2, 2]"});
}
TEST_F(WindowErrors, Ranges) {
  expect_error<ShapeError>([&] { window_max(x, {{1, 0, 2, 1}, {}, {}, {}}); }, {"window", "at least 1"});
  expect_error<ShapeError>([&] { window_max(x, square(2, 0)); }, {"strides", "at least 1"});
  expect_error<ShapeError>(
      [&] {
        window_max(x, {{1, 2, 2, 1}, {}, {0, -1, 0, 0}, {}});
      },
      {"low", "at least 0"});
}
TEST_F(WindowErrors, DyDoesntFit) {
  const Value place = window_argmax(x, square(2, 2));
  expect_error<ShapeError>([&] { window_max_grad(place, x, x.shape(), square(2, 2)); },
                           {"dy", "(1, 1, 1, 1)", "(1, 2, 2, 1)"});
  expect_error<ShapeError>([&] { window_sum_grad(x, {1, 8, 8, 1}, square(2, 2)); }, {"dy", "(1, 4, 4, 1)"});
}
TEST_F(WindowErrors, PlacesDontFit) {
  const Value v = g.input("v", {DType::f32, {1, 4, 4, 1}}), dy = g.input("dy", {DType::f32, {1, 1, 1, 1}});
  const Value place = window_argmax(x, square(2, 2));
  expect_error<ShapeError>([&] { window_max_pick(place, v, square(2, 2)); },
                           {"place", "(1, 2, 2, 1)", "(1, 1, 1, 1)"});
  expect_error<ShapeError>([&] { window_max_grad(place, dy, {1, 4, 4, 1}, square(2, 2)); },
                           {"place", "(1, 2, 2, 1)", "(1, 1, 1, 1)"});
  expect_error<TypeError>(
      [&] { window_max_grad(convert(place, DType::i32), dy, {1, 2, 2, 1}, square(2, 2)); },
      {"place", "uint8", "int32"});
}
TEST_F(WindowErrors, Types) {
  const Value b = g.input("b", {DType::bool_, {4}}), place = window_argmax(x, square(2, 2));
  const Value bits = g.input("bits", {DType::bool_, {1, 1, 1, 1}});
  expect_error<TypeError>([&] { window_max(b, {{2}, {}, {}, {}}); }, {"bool", "convert"});
  expect_error<TypeError>([&] { window_argmax(b, {{2}, {}, {}, {}}); }, {"bool", "convert"});
  expect_error<TypeError>([&] { window_max_grad(place, bits, x.shape(), square(2, 2)); }, {"bool"});
}

}  // namespace
}  // namespace kiln::graph::testing
