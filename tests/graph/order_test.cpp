#include "evaluate.h"

namespace kiln::graph::testing {
namespace {

TEST(Cumsum, ByHand) {
  Expression e;
  const Value x = e.input(tensor({4}, {1, 10, 100, 1000}));
  expect_tensor(e.evaluate(cumsum(x, 0)), {4}, {1, 11, 111, 1111});
  expect_tensor(e.evaluate(cumsum(x, 0, true)), {4}, {0, 1, 11, 111});
  expect_tensor(e.evaluate(cumsum(x, 0, false, true)), {4}, {1111, 1110, 1100, 1000});
  expect_tensor(e.evaluate(cumsum(x, 0, true, true)), {4}, {1110, 1100, 1000, 0});
}

TEST(Cumsum, AlongEitherAxis) {
  Expression e;
  const Value x = e.input(tensor({2, 3}, {1, 2, 3, 4, 5, 6}, DType::i32));
  expect_tensor(e.evaluate(cumsum(x, 0)), {2, 3}, {1, 2, 3, 5, 7, 9});
  expect_tensor(e.evaluate(cumsum(x, -1)), {2, 3}, {1, 3, 6, 4, 9, 15});
}

TEST(Cumsum, NaNStaysAndIntegersWrap) {
  Expression e;
  expect_tensor(e.evaluate(cumsum(e.input(tensor({3}, {1, nan, 2})), 0)), {3}, {1, nan, nan});
  const Value n = e.input(tensor({2}, {2147483647, 1}, DType::i32));
  expect_tensor(e.evaluate(cumsum(n, 0)), {2}, {2147483647, -2147483648.0});
}

TEST(Sort, IsStableWithNaNLast) {
  Expression e;
  const Value x = e.input(tensor({7}, {2, nan, 1, 2, -infinity, nan, 1}));
  const auto up = sort(x, 0), down = sort(x, 0, true);
  expect_tensor(e.evaluate(up[0]), {7}, {-infinity, 1, 1, 2, 2, nan, nan});
  expect_tensor(e.evaluate(up[1]), {7}, {4, 2, 6, 0, 3, 1, 5});
  expect_tensor(e.evaluate(down[0]), {7}, {2, 2, 1, 1, -infinity, nan, nan});
  expect_tensor(e.evaluate(down[1]), {7}, {0, 3, 2, 6, 4, 1, 5});
  EXPECT_EQ(up[1].dtype(), DType::i32);
}

TEST(Sort, ZerosOfEitherSignAreEqual) {
  Expression e;
  const Tensor y = e.evaluate(sort(e.input(tensor({3}, {0.0, -0.0, 0.0})), 0)[0]);
  EXPECT_FALSE(std::signbit(y(0)));
  EXPECT_TRUE(std::signbit(y(1)));
}

TEST(Sort, AlongTheFirstAxis) {
  Expression e;
  const auto y = sort(e.input(tensor({3, 2}, {3, 1, 2, 2, 1, 3}, DType::i64)), 0);
  expect_tensor(e.evaluate(y[0]), {3, 2}, {1, 1, 2, 2, 3, 3});
  expect_tensor(e.evaluate(y[1]), {3, 2}, {2, 0, 1, 1, 0, 2});
}

TEST(TopK, LargestFirstTiesByIndexNaNFirst) {
  Expression e;
  const auto y = top_k(e.input(tensor({2, 5}, {1, 5, 5, 3, 5, 2, nan, infinity, 2, nan})), 3);
  expect_tensor(e.evaluate(y[0]), {2, 3}, {5, 5, 5, nan, nan, infinity});
  expect_tensor(e.evaluate(y[1]), {2, 3}, {1, 2, 4, 1, 4, 2});
}

TEST(TopK, NoneAndAll) {
  Expression e;
  const Value x = e.input(tensor({3}, {7, 9, 8}, DType::u8));
  expect_tensor(e.evaluate(top_k(x, 0)[0]), {0}, {});
  expect_tensor(e.evaluate(top_k(x, 3)[0]), {3}, {9, 8, 7});
}

TEST(OrderErrors, AxisOutOfRange) {
  Graph g;
  const Value x = g.input("x", {DType::f32, {2, 3}}), s = g.input("s", {DType::f32, {}});
  expect_error<ShapeError>([&] { cumsum(x, 2); }, {"cumsum", "axis 2", "rank 2"});
  expect_error<ShapeError>([&] { sort(x, -3); }, {"sort", "axis -1", "rank 2"});
  expect_error<ShapeError>([&] { sort(s, 0); }, {"axis 0", "rank 0"});
}
TEST(OrderErrors, KTooLarge) {
  Graph g;
  LabelScope scope(g, "top_k_accuracy");
  const Value x = g.input("x", {DType::f32, {2, 3}}), s = g.input("s", {DType::f32, {}});
  expect_error<ShapeError>([&] { top_k(x, 4); }, {"top_k_accuracy (top_k)", "size 3", "got 4", "(2, 3)"});
  expect_error<ShapeError>([&] { top_k(x, -1); }, {"got -1"});
  expect_error<ShapeError>([&] { top_k(s, 1); }, {"rank 1", "scalar"});
}
TEST(OrderErrors, CumsumOfBool) {
  Graph g;
  const Value x = g.input("x", {DType::bool_, {3}});
  expect_error<TypeError>([&] { cumsum(x, 0); }, {"bool", "convert"});
}

}  // namespace
}  // namespace kiln::graph::testing
