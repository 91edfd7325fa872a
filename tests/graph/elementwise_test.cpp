// Corner cases of the ops of unary.cpp, binary.cpp and select.cpp. Ordinary values are covered by the
// gradient checks and by the comparison with compiled code.
#include <gtest/gtest.h>

#include <limits>

#include "tests/graph/evaluate.h"

namespace kiln::graph::testing {
namespace {

constexpr double tiny = 4.9e-324;

Tensor apply(Value (*op)(Value), const std::vector<double>& x, DType dtype = DType::f64) {
  Expression e;
  return e.evaluate(op(e.input(tensor({static_cast<std::int64_t>(x.size())}, x, dtype))));
}
Tensor apply(Value (*op)(Value, Value), const std::vector<double>& a, const std::vector<double>& b,
             DType dtype = DType::f64) {
  const Shape shape = {static_cast<std::int64_t>(a.size())};
  Expression e;
  return e.evaluate(op(e.input(tensor(shape, a, dtype)), e.input(tensor(shape, b, dtype))));
}
void expect_values(const Tensor& got, const std::vector<double>& expected, double tolerance = 0) {
  expect_tensor(got, {static_cast<std::int64_t>(expected.size())}, expected, tolerance);
  for (std::size_t i = 0; i < expected.size(); i++)  // -0 is not 0
    if (expected[i] == 0 && is_float(got.dtype())) {
      EXPECT_EQ(std::signbit(got(i)), std::signbit(expected[i])) << "element " << i;
    }
}

TEST(Unary, SpecialNumbers) {
  expect_values(apply(neg, {0.0, -0.0, infinity, nan}), {-0.0, 0.0, -infinity, nan});
  expect_values(apply(abs, {0.0, -0.0, -infinity, nan, -2}), {0.0, 0.0, infinity, nan, 2});
  expect_values(apply(sign, {0.0, -0.0, -infinity, nan, tiny}), {0.0, -0.0, -1, nan, 1});
  expect_values(apply(exp, {0, -infinity, infinity, nan, 1000}), {1, 0.0, infinity, nan, infinity});
  expect_values(apply(expm1, {-0.0, -infinity, infinity, nan, 1e-20}), {-0.0, -1, infinity, nan, 1e-20});
  expect_values(apply(log, {0.0, -0.0, infinity, -1, nan, 1}),
                {-infinity, -infinity, infinity, nan, nan, 0.0});
  expect_values(apply(log1p, {-0.0, -1, infinity, -2, nan, 1e-20}),
                {-0.0, -infinity, infinity, nan, nan, 1e-20});
  expect_values(apply(sqrt, {-0.0, infinity, -1, nan, 4}), {-0.0, infinity, nan, nan, 2});
  expect_values(apply(rsqrt, {0.0, -0.0, infinity, -1, nan, 4}), {infinity, -infinity, 0.0, nan, nan, 0.5});
  expect_values(apply(tanh, {-0.0, infinity, -infinity, nan}), {-0.0, 1, -1, nan});
  expect_values(apply(sigmoid, {0, infinity, -infinity, nan}), {0.5, 1, 0.0, nan});
  expect_values(apply(erf, {-0.0, infinity, -infinity, nan}), {-0.0, 1, -1, nan});
  expect_values(apply(sin, {-0.0, infinity, nan}), {-0.0, nan, nan});
  expect_values(apply(cos, {-0.0, infinity, nan}), {1, nan, nan});
  expect_values(apply(floor, {-0.0, -0.5, 2.5, infinity, nan, 1e300}), {-0.0, -1, 2, infinity, nan, 1e300});
  expect_values(apply(ceil, {-0.0, -0.5, 2.5, infinity, nan}), {-0.0, -0.0, 3, infinity, nan});
  expect_values(apply(round, {0.5, 1.5, 2.5, -0.5, -1.5, nan}), {0.0, 2, 2, -0.0, -2, nan});
  expect_values(apply(is_finite, {0, infinity, -infinity, nan, 1e308}), {1, 0, 0, 0, 1});
}

// 1 / (1 + exp(-x)) in f32 would be 0 from -89 on.
TEST(Unary, SigmoidIsAccurateFarOut) {
  expect_values(apply(sigmoid, {-20, 20, 88, -88, -100}, DType::f32),
                {2.0611537e-9f, 1, 1, 6.0546e-39, 3.78e-44}, 1e-6);
  EXPECT_GT(apply(sigmoid, {-100}, DType::f32)(0), 0);
}

TEST(Unary, IntegersWrap) {
  const double least = std::numeric_limits<std::int32_t>::min();
  expect_values(apply(neg, {5, least, 0}, DType::i32), {-5, least, 0});
  expect_values(apply(abs, {-5, least, 7}, DType::i32), {5, least, 7});
  expect_values(apply(neg, {0, 1, 255}, DType::u8), {0, 255, 1});
  expect_values(apply(sign, {-5, 0, 7}, DType::i64), {-1, 0, 1});
  expect_values(apply(logical_not, {0, 1}, DType::bool_), {1, 0});
}

TEST(Unary, TypesAreChecked) {
  Expression e;
  const Value i = e.input(tensor({2}, {1, 2}, DType::i32)), x = e.input(tensor({2}, {1, 2}));
  const Value b = e.input(tensor({2}, {0, 1}, DType::bool_));
  LabelScope label(e.graph, "my_layer");
  expect_error<TypeError>([&] { exp(i); }, {"my_layer (exp)", "int32", "float32 or float64"});
  expect_error<TypeError>([&] { neg(b); }, {"my_layer (neg)", "bool"});
  expect_error<TypeError>([&] { logical_not(x); }, {"logical_not", "float64", "bool"});
}

Tensor converted(const Tensor& x, DType to) {
  Expression e;
  return e.evaluate(convert(e.input(x), to));
}

TEST(Convert, FloatToIntegerTruncatesAndSaturates) {
  const Tensor x = tensor({8}, {1.9, -1.9, nan, infinity, -infinity, 1e10, -1e10, 300});
  const double max = std::numeric_limits<std::int32_t>::max(), min = std::numeric_limits<std::int32_t>::min();
  expect_values(converted(x, DType::i32), {1, -1, 0, max, min, max, min, 300});
  expect_values(converted(x.astype(DType::f32), DType::i32), {1, -1, 0, max, min, max, min, 300});
  expect_values(converted(x, DType::u8), {1, 0, 0, 255, 0, 255, 0, 255});
  const Tensor big = converted(tensor({2}, {1e19, -1e19}), DType::i64);
  EXPECT_EQ(big.to_vector<std::int64_t>(),
            (std::vector<std::int64_t>{std::numeric_limits<std::int64_t>::max(),
                                       std::numeric_limits<std::int64_t>::min()}));
  // The largest f32 below 2^31 still fits.
  EXPECT_EQ(converted(Tensor({2147483520.f}), DType::i32)(0), 2147483520.0);
}

TEST(Convert, ToBoolMeansNotZero) {
  expect_values(converted(tensor({5}, {0.0, -0.0, tiny, nan, -3}), DType::bool_), {0, 0, 1, 1, 1});
  expect_values(converted(tensor({3}, {0, 256, -1}, DType::i32), DType::bool_), {0, 1, 1});
}

TEST(Convert, BetweenIntegersWraps) {
  expect_values(converted(tensor({3}, {256, -1, 511}, DType::i32), DType::u8), {0, 255, 255});
  EXPECT_EQ(converted(Tensor({std::int64_t{1} << 40 | 7}), DType::i32)(0), 7);
}

TEST(Binary, ExtremaPropagateNaNAndOrderZeros) {
  const std::vector<double> a = {nan, 1, nan, 0.0, -0.0, -infinity}, b = {1, nan, nan, -0.0, 0.0, infinity};
  for (DType t : {DType::f32, DType::f64}) {
    expect_values(apply(maximum, a, b, t), {nan, nan, nan, 0.0, 0.0, infinity});
    expect_values(apply(minimum, a, b, t), {nan, nan, nan, -0.0, -0.0, -infinity});
  }
}

TEST(Binary, IntegerDivisionIsTotal) {
  const double least = std::numeric_limits<std::int32_t>::min();
  const std::vector<double> a = {7, -7, 7, 0, least, least}, b = {2, 2, 0, 0, -1, 0};
  expect_values(apply(div, a, b, DType::i32), {3, -3, 0, 0, least, 0});
  expect_values(apply(rem, a, b, DType::i32), {1, -1, 0, 0, 0, 0});
  expect_values(apply(div, {200, 7}, {7, 0}, DType::u8), {28, 0});
  Expression e;
  const auto limit = std::numeric_limits<std::int64_t>::min();
  const Value x = e.input(Tensor({limit})), y = e.input(Tensor({std::int64_t{-1}}));
  EXPECT_EQ(e.evaluate(div(x, y)).to_vector<std::int64_t>()[0], limit);
  EXPECT_EQ(e.evaluate(rem(x, y)).to_vector<std::int64_t>()[0], 0);
}

TEST(Binary, FloatDivision) {
  expect_values(apply(div, {1, -1, 0, infinity, 1}, {0.0, 0.0, 0.0, infinity, infinity}),
                {infinity, -infinity, nan, nan, 0.0});
  expect_values(apply(rem, {5.5, -5.5, 1, infinity, -0.0}, {2, 2, 0, 2, 3}), {1.5, -1.5, nan, nan, -0.0});
}

TEST(Binary, IntegersWrap) {
  const double least = std::numeric_limits<std::int32_t>::min(),
               most = std::numeric_limits<std::int32_t>::max();
  expect_values(apply(add, {most, least}, {1, -1}, DType::i32), {least, most});
  expect_values(apply(mul, {65536, most}, {65536, most}, DType::i32), {0, 1});
  expect_values(apply(sub, {3, 250}, {5, 249}, DType::u8), {254, 1});
  expect_values(apply(mul, {255, 16}, {255, 16}, DType::u8), {1, 0});
}

TEST(Binary, Pow) {
  expect_values(apply(pow, {0, 0, -2, -8, nan, 1, 2, infinity}, {0, -1, 3, 1.0 / 3, 0, nan, infinity, -1}),
                {1, infinity, -8, nan, 1, 1, infinity, 0.0});
}

TEST(Binary, ShiftsOfTheWidthOrMoreGiveZero) {
  expect_values(apply(shift_left, {1, 1, 1, 1, 3}, {0, 31, 32, -1, 1}, DType::i32),
                {1, std::numeric_limits<std::int32_t>::min(), 0, 0, 6});
  expect_values(apply(shift_right, {-1, -1, -1, -1, 8}, {0, 31, 32, -1, 2}, DType::i32), {-1, 1, 0, 0, 2});
  expect_values(apply(shift_left, {255, 255, 255}, {1, 8, 7}, DType::u8), {254, 0, 128});
  expect_values(apply(shift_right, {255, 255, 255}, {1, 8, 7}, DType::u8), {127, 0, 1});
  expect_values(apply(shift_right, {-1, -1}, {63, 64}, DType::i64), {1, 0});
}

TEST(Binary, BitsOfIntegersAndBools) {
  expect_values(apply(bit_and, {12, -1}, {10, 7}, DType::i32), {8, 7});
  expect_values(apply(bit_or, {12, 1}, {10, 6}, DType::u8), {14, 7});
  expect_values(apply(bit_xor, {0, 1, 1}, {1, 1, 0}, DType::bool_), {1, 0, 1});
}

TEST(Binary, BroadcastsAsNumpyDoes) {
  Expression e;
  const Value a = e.input(tensor({2, 1}, {10, 20})), b = e.input(tensor({3}, {1, 2, 3}));
  expect_tensor(e.evaluate(a + b), {2, 3}, {11, 12, 13, 21, 22, 23});
  const Value c = e.input(tensor({1, 1, 5}, {1, 2, 3, 4, 5})), d = e.input(tensor({5}, {0, 0, 0, 0, 1}));
  expect_tensor(e.evaluate(c + d), {1, 1, 5}, {1, 2, 3, 4, 6});
  const Value empty = e.input(Tensor(Shape{0, 3}, DType::f64));
  expect_tensor(e.evaluate(empty * b), {0, 3}, {});
  const Value one = e.input(tensor({1}, {1}));
  EXPECT_EQ((one + e.input(Tensor(Shape{0}, DType::f64))).shape(), Shape{0});
}

TEST(Binary, ErrorsNameLayerShapesAndTypes) {
  Expression e;
  const Value a = e.input(tensor({2, 3}, std::vector<double>(6))), b = e.input(tensor({2}, {1, 2}));
  const Value i = e.input(tensor({2}, {1, 2}, DType::i32)),
              flags = e.input(tensor({2}, {1, 0}, DType::bool_));
  LabelScope label(e.graph, "add_1");
  expect_error<ShapeError>([&] { a + b; }, {"add_1 (add)", "(2, 3)", "(2,)", "3 and 2"});
  expect_error<TypeError>([&] { b* i; }, {"add_1 (mul)", "float64", "int32", "convert"});
  expect_error<TypeError>([&] { flags + flags; }, {"add_1 (add)", "bool"});
  expect_error<TypeError>([&] { bit_and(b, b); }, {"bit_and", "float64"});
  expect_error<TypeError>([&] { pow(i, i); }, {"pow", "int32"});
  expect_error<TypeError>([&] { i * 0.5; }, {"add_1", "0.5", "int32"});
  expect_error<ShapeError>([&] { e.graph.emit(Op::add, {a, b}); }, {"add_1 (add)", "(2, 3)", "(2,)"});
}

TEST(Compare, IsFalseWithNaNButForNotEqual) {
  const std::vector<double> a = {1, 2, nan, nan, 0.0}, b = {2, 2, 1, nan, -0.0};
  const auto compared = [&](const char* direction) {
    Expression e;
    return e.evaluate(compare(e.input(tensor({5}, a)), e.input(tensor({5}, b)), direction));
  };
  expect_values(compared("eq"), {0, 1, 0, 0, 1});
  expect_values(compared("ne"), {1, 0, 1, 1, 0});
  expect_values(compared("lt"), {1, 0, 0, 0, 0});
  expect_values(compared("le"), {1, 1, 0, 0, 1});
  expect_values(compared("gt"), {0, 0, 0, 0, 0});
  expect_values(compared("ge"), {0, 1, 0, 0, 1});
}

TEST(Compare, UnknownDirection) {
  Expression e;
  const Value x = e.input(tensor({1}, {1}));
  expect_error<ValueError>([&] { compare(x, x, "<"); }, {"\"<\"", "lt"});
}

TEST(Select, TakesElementsUnchangedAndBroadcasts) {
  Expression e;
  const Value pred = e.input(tensor({2, 1}, {1, 0}, DType::bool_));
  const Value a = e.input(tensor({2}, {-0.0, nan})), b = e.input(tensor({}, {7}));
  const Tensor y = e.evaluate(select(pred, a, b));
  expect_tensor(y, {2, 2}, {0, nan, 7, 7});
  EXPECT_TRUE(std::signbit(y(0, 0)));
  expect_error<TypeError>([&] { select(a, a, a); }, {"select", "bool"});
  expect_error<TypeError>([&] { select(pred, a, convert(a, DType::f32)); }, {"select", "float64", "float32"});
}

TEST(Leaves, ConstantKeepsItsElements) {
  Graph g;
  Tensor t({1.f, 2.f});
  const Value c = constant(g, t);
  t(0) = 5;
  g.output("c", c);
  expect_tensor(interpret(g, {}, {}).outputs[0], {2}, {1, 2});
}

TEST(Leaves, IotaCountsAlongItsAxis) {
  Expression e;
  expect_tensor(e.evaluate(iota(e.graph, {DType::i32, {2, 3}}, -1)), {2, 3}, {0, 1, 2, 0, 1, 2});
  expect_tensor(e.evaluate(iota(e.graph, {DType::f32, {2, 3}}, 0)), {2, 3}, {0, 0, 0, 1, 1, 1});
  EXPECT_THROW(iota(e.graph, {DType::f32, {2, 3}}, 2), ShapeError);
  EXPECT_THROW(iota(e.graph, {DType::bool_, {2}}, 0), TypeError);
}

}  // namespace
}  // namespace kiln::graph::testing
