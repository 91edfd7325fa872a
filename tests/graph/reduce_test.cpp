#include <gtest/gtest.h>

#include "tests/graph/evaluate.h"

namespace kiln::graph::testing {
namespace {

TEST(Reduce, OverAnyAxes) {
  Expression e;
  const Value x = e.input(tensor({2, 2, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
  expect_tensor(e.evaluate(reduce_sum(x, {1})), {2, 3}, {5, 7, 9, 17, 19, 21});
  expect_tensor(e.evaluate(reduce_sum(x, {-1, 0})), {2}, {30, 48});
  expect_tensor(e.evaluate(reduce_sum(x)), {}, {78});
  expect_tensor(e.evaluate(reduce_sum(x, {0, 2}, true)), {1, 2, 1}, {30, 48});
  expect_tensor(e.evaluate(reduce_max(x, {2})), {2, 2}, {3, 6, 9, 12});
  expect_tensor(e.evaluate(reduce_min(x, {0})), {2, 3}, {1, 2, 3, 4, 5, 6});
  expect_tensor(e.evaluate(reduce_prod(x, {0, 1})), {3}, {280, 880, 1944});
  expect_tensor(e.evaluate(reduce_mean(x, {1})), {2, 3}, {2.5, 3.5, 4.5, 8.5, 9.5, 10.5});
  expect_error<ShapeError>([&] { reduce_sum(x, {3}); }, {"reduce_sum", "3"});
  expect_error<ShapeError>([&] { reduce_sum(x, {0, -3}); }, {"reduce_sum", "twice"});
  expect_error<TypeError>([&] { reduce_sum(is_finite(x)); }, {"reduce_sum", "bool"});
}

TEST(Reduce, NaNWinsWhereverItStands) {
  for (std::size_t n = 1; n <= 9; n++)
    for (std::size_t at = 0; at < n; at++) {
      std::vector<double> v(n, 1);
      v[at] = nan;
      Expression e;
      const Value x = e.input(tensor({static_cast<std::int64_t>(n)}, v));
      for (auto op : {reduce_sum, reduce_max, reduce_min, reduce_prod})
        expect_tensor(e.evaluate(op(x, {}, false)), {}, {nan});
      expect_tensor(e.evaluate(argmax(x, 0)), {}, {static_cast<double>(at)});
    }
}

TEST(Reduce, InfinitiesAreOrdinaryExtrema) {
  Expression e;
  expect_tensor(e.evaluate(reduce_max(e.input(tensor({2}, {-infinity, -infinity})))), {}, {-infinity});
  expect_tensor(e.evaluate(reduce_min(e.input(tensor({2}, {infinity, infinity})))), {}, {infinity});
  expect_tensor(e.evaluate(reduce_sum(e.input(tensor({2}, {infinity, -infinity})))), {}, {nan});
}

TEST(Reduce, OfNothingIsTheNeutralElement) {
  const auto reduced = [](Value (*op)(Value, Ints, bool), DType t) {
    Expression e;
    return e.evaluate(op(e.input(Tensor(Shape{2, 0}, t)), {1}, false));
  };
  expect_tensor(reduced(reduce_sum, DType::f64), {2}, {0, 0});
  expect_tensor(reduced(reduce_prod, DType::f64), {2}, {1, 1});
  expect_tensor(reduced(reduce_max, DType::f32), {2}, {-infinity, -infinity});
  expect_tensor(reduced(reduce_min, DType::f32), {2}, {infinity, infinity});
  const double least = std::numeric_limits<std::int32_t>::min(),
               most = std::numeric_limits<std::int32_t>::max();
  expect_tensor(reduced(reduce_max, DType::i32), {2}, {least, least});
  expect_tensor(reduced(reduce_min, DType::i32), {2}, {most, most});
  expect_tensor(reduced(reduce_max, DType::u8), {2}, {0, 0});
  expect_tensor(reduced(reduce_mean, DType::f64), {2}, {nan, nan});
}

TEST(Reduce, OverNoElementsOfResult) {
  Expression e;
  expect_tensor(e.evaluate(reduce_sum(e.input(Tensor(Shape{0, 3}, DType::f64)), {1})), {0}, {});
  expect_tensor(e.evaluate(reduce_sum(e.input(tensor({}, {5})))), {}, {5});  // rank 0: no axes to reduce
}

TEST(Reduce, IntegersWrap) {
  Expression e;
  expect_tensor(e.evaluate(reduce_sum(e.input(tensor({3}, {200, 100, 1}, DType::u8)))), {}, {45});
  expect_tensor(e.evaluate(reduce_prod(e.input(tensor({2}, {65536, 65537}, DType::i32)))), {}, {65536});
}

TEST(Reduce, FirstOfEqualMaximaIsTheArgmax) {
  Expression e;
  const Value x = e.input(tensor({2, 4}, {1, 7, 7, 0, -infinity, -infinity, -infinity, -infinity}));
  const Tensor y = e.evaluate(argmax(x, 1));
  EXPECT_EQ(y.dtype(), DType::i32);
  expect_tensor(y, {2}, {1, 0});
  expect_tensor(e.evaluate(argmax(x, 0)), {4}, {0, 0, 0, 0});
  expect_tensor(e.evaluate(argmax(e.input(tensor({3}, {nan, 1, nan})), 0)), {}, {0});
  expect_error<ShapeError>([&] { argmax(e.input(Tensor(Shape{2, 0}, DType::f64)), 1); }, {"argmax", "empty"});
  EXPECT_EQ(argmax(e.input(Tensor(Shape{0, 2}, DType::f64)), 1).shape(), Shape{0});
}

}  // namespace
}  // namespace kiln::graph::testing
