#include "evaluate.h"

namespace kiln::graph::testing {
namespace {

Tensor i32(Shape shape, const std::vector<double>& v) {
  return tensor(std::move(shape), v, DType::i32);
}
Tensor i64(Shape shape, const std::vector<double>& v) {
  return tensor(std::move(shape), v, DType::i64);
}

TEST(Gather, RowsAndColumns) {
  Expression e;
  const Value x = e.input(tensor({3, 2}, {1, 2, 3, 4, 5, 6}));
  expect_tensor(e.evaluate(gather(x, e.input(i32({2}, {2, 0})), 0)), {2, 2}, {5, 6, 1, 2});
  expect_tensor(e.evaluate(gather(x, e.input(i64({3}, {1, 1, 0})), -1)), {3, 3}, {2, 2, 1, 4, 4, 3, 6, 6, 5});
}

TEST(Gather, IndexShapeTakesTheAxissPlace) {
  Expression e;
  const Value x = e.input(tensor({2, 3}, {1, 2, 3, 4, 5, 6}));
  expect_tensor(e.evaluate(gather(x, e.input(i32({2, 1}, {2, 0})), 1)), {2, 2, 1}, {3, 1, 6, 4});
  expect_tensor(e.evaluate(gather(x, e.input(i32({}, {1})), 0)), {3}, {4, 5, 6});
}

TEST(Gather, OutOfRangeIsClamped) {
  Expression e;
  const Value x = e.input(tensor({3}, {1, 2, 3}));
  expect_tensor(e.evaluate(gather(x, e.input(i32({4}, {-1, 3, 100, -2147483648.0})), 0)), {4}, {1, 3, 3, 1});
}

TEST(Gather, KeepsTheType) {
  Expression e;
  for (DType t : {DType::u8, DType::bool_, DType::i64, DType::f32}) {
    const Tensor y = e.evaluate(gather(e.input(tensor({2}, {1, 0}, t)), e.input(i32({2}, {1, 0})), 0));
    EXPECT_EQ(y.dtype(), t);
    expect_tensor(y, {2}, {0, 1});
  }
}

TEST(Gather, NoIndices) {
  Expression e;
  expect_tensor(e.evaluate(gather(e.input(Tensor::zeros({0, 2})), e.input(i32({0}, {})), 0)), {0, 2}, {});
}

TEST(ScatterAdd, AddsDuplicatesAndDropsOutOfRange) {
  Expression e;
  const Value base = e.input(tensor({3, 2}, {1, 2, 3, 4, 5, 6}));
  const Value indices = e.input(i32({4}, {2, 0, 2, 3}));
  const Value updates = e.input(tensor({4, 2}, {10, 20, 30, 40, 100, 200, 7000, 8000}));
  expect_tensor(e.evaluate(scatter_add(base, indices, updates, 0)), {3, 2}, {31, 42, 3, 4, 115, 226});
  const Value negative = e.input(i32({1}, {-1}));
  expect_tensor(e.evaluate(scatter_add(base, negative, e.input(tensor({1, 2}, {7, 8})), 0)), {3, 2},
                {1, 2, 3, 4, 5, 6});
}

TEST(ScatterAdd, AlongTheLastAxisWithIndicesOfTwoAxes) {
  Expression e;
  const Value base = e.input(tensor({2, 3}, {0, 0, 0, 0, 0, 0}));
  const Value updates = e.input(tensor({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8}));
  expect_tensor(e.evaluate(scatter_add(base, e.input(i64({2, 2}, {0, 2, 2, 0})), updates, 1)), {2, 3},
                {5, 0, 5, 13, 0, 13});
}

// 2^24 + 1 is lost in f32: adding in index order gives 2^24, adding the small ones first would give 2^24 + 2.
TEST(ScatterAdd, EqualIndicesAddInIndexOrder) {
  Expression e;
  const Value base = e.input(Tensor({1}, DType::f32));
  const Value updates = e.input(tensor({3}, {16777216, 1, 1}, DType::f32));
  expect_tensor(e.evaluate(scatter_add(base, e.input(i32({3}, {0, 0, 0})), updates, 0)), {1}, {16777216});
}

TEST(TakeAlong, EachIndexItsElement) {
  Expression e;
  const Value x = e.input(tensor({2, 3}, {1, 2, 3, 4, 5, 6}));
  expect_tensor(e.evaluate(take_along(x, e.input(i32({2, 2}, {2, 0, 1, 9})), 1)), {2, 2}, {3, 1, 5, 6});
  expect_tensor(e.evaluate(take_along(x, e.input(i64({1, 3}, {1, 0, -5})), 0)), {1, 3}, {4, 2, 3});
}

TEST(PutAlong, AddsAtIndicesAndClamps) {
  Expression e;
  const Value updates = e.input(tensor({2, 3}, {1, 2, 4, 8, 16, 32}));
  expect_tensor(e.evaluate(put_along(updates, e.input(i32({2, 3}, {3, 0, 3, 1, 9, -1})), -1, 4)), {2, 4},
                {2, 0, 0, 5, 32, 8, 0, 16});
}

TEST(DynamicSlice, ClampsSoThatThePartFits) {
  Expression e;
  const Value x = e.input(tensor({3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9}));
  const auto at = [&](double i, double j) {
    return e.evaluate(dynamic_slice(x, e.input(i64({2}, {i, j})), {2, 2}));
  };
  expect_tensor(at(0, 1), {2, 2}, {2, 3, 5, 6});
  expect_tensor(at(2, -1), {2, 2}, {4, 5, 7, 8});
  expect_tensor(at(-9, 9), {2, 2}, {2, 3, 5, 6});
}

TEST(DynamicSlice, UpdatePutsThePartBack) {
  Expression e;
  const Value x = e.input(tensor({3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9})),
              update = e.input(tensor({1, 2}, {20, 30}));
  expect_tensor(e.evaluate(dynamic_update_slice(x, update, e.input(i32({2}, {1, 5})))), {3, 3},
                {1, 2, 3, 4, 20, 30, 7, 8, 9});
}

TEST(DynamicSlice, Scalars) {
  Expression e;
  const Value x = e.input(tensor({}, {5}));
  expect_tensor(e.evaluate(dynamic_slice(x, e.input(i64({0}, {})), {})), {}, {5});
}

struct IndexErrors : ::testing::Test {
  Graph g;
  Value x = g.input("x", {DType::f32, {4, 3}});
  Value i = g.input("i", {DType::i32, {2}});
};

TEST_F(IndexErrors, FloatIndices) {
  LabelScope scope(g, "embedding");
  const Value f = g.input("f", {DType::f32, {2}});
  expect_error<TypeError>([&] { gather(x, f, 0); },
                          {"embedding (gather)", "int32 or int64", "float32", "convert"});
  expect_error<TypeError>([&] { dynamic_slice(x, f, {1, 1}); }, {"int32 or int64", "float32"});
}
TEST_F(IndexErrors, AxisOutOfRange) {
  expect_error<ShapeError>([&] { gather(x, i, 2); }, {"axis 2", "rank 2"});
  const Value rows = g.input("rows", {DType::i32, {4, 3}});
  expect_error<ShapeError>([&] { take_along(x, rows, -3); }, {"axis -1", "rank 2"});
}
TEST_F(IndexErrors, EmptyAxis) {
  const Value none = g.input("none", {DType::f32, {0, 3}});
  expect_error<ShapeError>([&] { gather(none, i, 0); }, {"empty", "2 indices"});
}
TEST_F(IndexErrors, UpdatesDontFit) {
  const Value updates = g.input("updates", {DType::f32, {3, 3}});
  expect_error<ShapeError>([&] { scatter_add(x, i, updates, 0); }, {"(4, 3)", "(2,)", "(2, 3)", "(3, 3)"});
}
TEST_F(IndexErrors, UpdatesOfAnotherType) {
  const Value updates = g.input("updates", {DType::f64, {2, 3}});
  expect_error<TypeError>([&] { scatter_add(x, i, updates, 0); }, {"float32", "float64"});
}
TEST_F(IndexErrors, AddingBool) {
  const Value flags = g.input("flags", {DType::bool_, {2}});
  expect_error<TypeError>([&] { put_along(flags, i, 0, 4); }, {"bool", "convert"});
}
TEST_F(IndexErrors, TakeAlongNeedsEqualAxes) {
  const Value rows = g.input("rows", {DType::i32, {4, 1}});
  expect_error<ShapeError>([&] { take_along(x, rows, 0); }, {"(4, 1)", "(4, 3)", "axis 0"});
  expect_error<ShapeError>([&] { take_along(x, i, 0); }, {"(2,)", "(4, 3)"});
}
TEST_F(IndexErrors, PutAlong) {
  const Value v = g.input("v", {DType::f32, {3}}), w = g.input("w", {DType::f32, {2}});
  expect_error<ShapeError>([&] { put_along(v, i, 0, 4); }, {"one shape", "(3,)", "(2,)"});
  expect_error<ShapeError>([&] { put_along(w, i, 0, 0); }, {"empty"});
  expect_error<ShapeError>([&] { put_along(w, i, 0, -1); }, {"at least 0", "-1"});
}
TEST_F(IndexErrors, DynamicSliceSizes) {
  expect_error<ShapeError>([&] { dynamic_slice(x, i, {5, 1}); }, {"(5, 1)", "doesn't fit", "(4, 3)"});
  expect_error<ShapeError>([&] { dynamic_slice(x, i, {1}); }, {"(1,)", "(4, 3)"});
  const Value three = g.input("three", {DType::i64, {3}});
  expect_error<ShapeError>(
      [&] {
        dynamic_slice(x, three, {1, 1});
      },
      {"one entry for each axis", "(2,)", "(3,)"});
}
TEST_F(IndexErrors, DynamicUpdateSliceTypes) {
  const Value update = g.input("update", {DType::f64, {1, 1}});
  expect_error<TypeError>([&] { dynamic_update_slice(x, update, i); }, {"float32", "float64"});
}

}  // namespace
}  // namespace kiln::graph::testing
