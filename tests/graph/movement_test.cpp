#include <gtest/gtest.h>

#include "tests/graph/evaluate.h"

namespace kiln::graph::testing {
namespace {

const Tensor grid = tensor({2, 3}, {1, 2, 3, 4, 5, 6});

TEST(Movement, Broadcast) {
  Expression e;
  const Value x = e.input(tensor({1, 2}, {1, 2}));
  expect_tensor(e.evaluate(broadcast(x, {3, 2, 2}, {0, 2})), {3, 2, 2}, {1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2});
  expect_tensor(e.evaluate(broadcast(x, {2, 2}, {0, 1})), {2, 2}, {1, 2, 1, 2});
  expect_tensor(e.evaluate(broadcast_to(x, {0, 2})), {0, 2}, {});
  EXPECT_EQ(broadcast_to(x, {1, 2}), x);  // nothing to do: no node
  expect_error<ShapeError>([&] { broadcast(x, {2, 3}, {0, 1}); }, {"broadcast", "(1, 2)", "(2, 3)"});
  expect_error<ShapeError>([&] { broadcast(x, {2, 2}, {1, 0}); }, {"ascending"});
  expect_error<ShapeError>([&] { broadcast(x, {2, 2}, {1}); }, {"dims has 1 entries"});
  expect_error<ShapeError>([&] { broadcast_to(x, {2}); }, {"(1, 2)", "(2,)"});
}

TEST(Movement, Reshape) {
  Expression e;
  const Value x = e.input(grid), empty = e.input(Tensor(Shape{0, 3}, DType::f64));
  expect_tensor(e.evaluate(reshape(x, {3, None})), {3, 2}, {1, 2, 3, 4, 5, 6});
  expect_tensor(e.evaluate(reshape(empty, {3, 0, 7})), {3, 0, 7}, {});
  EXPECT_EQ(reshape(empty, {None, 3}).shape(), (Shape{0, 3}));
  expect_error<ShapeError>([&] { reshape(x, {4}); }, {"reshape", "(2, 3)", "6 elements", "(4,)"});
  expect_error<ShapeError>([&] { reshape(x, {4, None}); }, {"(4, None)"});
  expect_error<ShapeError>([&] { reshape(x, {None, None}); }, {"only one size"});
  expect_error<ShapeError>([&] { reshape(empty, {0, None}); }, {"(0, None)"});  // any number would fit
}

TEST(Movement, Transpose) {
  Expression e;
  const Value x = e.input(grid);
  expect_tensor(e.evaluate(transpose(x, {1, 0})), {3, 2}, {1, 4, 2, 5, 3, 6});
  expect_tensor(e.evaluate(transpose(x, {-1, 0})), {3, 2}, {1, 4, 2, 5, 3, 6});
  expect_error<ShapeError>([&] { transpose(x, {0, 0}); }, {"[0, 0]", "permutation"});
  expect_error<ShapeError>([&] { transpose(x, {0}); }, {"permutation has 1 entries"});
}

TEST(Movement, Slice) {
  Expression e;
  const Value x = e.input(tensor({7}, {0, 1, 2, 3, 4, 5, 6}));
  expect_tensor(e.evaluate(slice(x, {1}, {6}, {2})), {3}, {1, 3, 5});
  expect_tensor(e.evaluate(slice(x, {0}, {7}, {3})), {3}, {0, 3, 6});
  expect_tensor(e.evaluate(slice(x, {7}, {7})), {0}, {});
  expect_tensor(e.evaluate(slice(x, {2}, {3}, {100})), {1}, {2});
  for (auto [start, limit, stride] : {std::tuple{-1, 3, 1}, {4, 3, 1}, {0, 8, 1}, {0, 3, 0}})
    expect_error<ShapeError>([&] { slice(x, {start}, {limit}, {stride}); }, {"slice", "(7,)"});
}

TEST(Movement, Pad) {
  Expression e;
  const Value x = e.input(tensor({2}, {1, 2})), nine = e.input(tensor({}, {9}));
  expect_tensor(e.evaluate(pad(x, nine, {1}, {2}, {3})), {8}, {9, 1, 9, 9, 9, 2, 9, 9});
  expect_tensor(e.evaluate(pad(e.input(grid), nine, {0, 1}, {1, 0})), {3, 4},
                {9, 1, 2, 3, 9, 4, 5, 6, 9, 9, 9, 9});
  expect_tensor(e.evaluate(pad(e.input(Tensor(Shape{0}, DType::f64)), nine, {1}, {1}, {5})), {2}, {9, 9});
  expect_error<ShapeError>([&] { pad(x, nine, {-1}, {0}); }, {"pad", "-1", "negative"});
  expect_error<ShapeError>([&] { pad(x, x, {0}, {0}); }, {"scalar"});
  expect_error<TypeError>([&] { pad(x, convert(nine, DType::f32), {0}, {0}); }, {"float64", "float32"});
}

TEST(Movement, Concatenate) {
  Expression e;
  const Value x = e.input(grid), column = e.input(tensor({2, 1}, {7, 8})),
              none = e.input(Tensor(Shape{2, 0}, DType::f64));
  const Value parts[] = {x, none, column};
  expect_tensor(e.evaluate(concatenate(parts, -1)), {2, 4}, {1, 2, 3, 7, 4, 5, 6, 8});
  const Value rows[] = {x, x};
  expect_tensor(e.evaluate(concatenate(rows, 0)), {4, 3}, {1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6});
  expect_tensor(e.evaluate(concatenate({rows, 1}, 0)), {2, 3}, {1, 2, 3, 4, 5, 6});
  expect_error<ShapeError>([&] { concatenate(parts, 0); }, {"concatenate", "(2, 3)", "(2, 0)", "axis 0"});
  expect_error<ShapeError>([&] { concatenate({}, 0); }, {"nothing"});
}

TEST(Movement, Reverse) {
  Expression e;
  expect_tensor(e.evaluate(reverse(e.input(grid), {-1})), {2, 3}, {3, 2, 1, 6, 5, 4});
  expect_tensor(e.evaluate(reverse(e.input(grid), {0, 1})), {2, 3}, {6, 5, 4, 3, 2, 1});
  expect_tensor(e.evaluate(reverse(e.input(Tensor(Shape{0, 2}, DType::f64)), {0, 1})), {0, 2}, {});
  expect_error<ShapeError>([&] { reverse(e.input(grid), {0, -2}); }, {"twice"});
}

TEST(Movement, KeepsBitsOfEveryType) {
  for (DType t : {DType::f32, DType::f64, DType::i32, DType::i64, DType::u8, DType::bool_}) {
    Expression e;
    const Value x = e.input(tensor({2, 2}, {0, 1, 1, 0}, t));
    const Value parts[] = {reverse(x, {1}), transpose(x, {1, 0}),
                           pad(slice(x, {0, 1}, {2, 2}), scalar(x, 1), {0, 0}, {0, 1})};
    const Tensor y = e.evaluate(concatenate(parts, 0));
    EXPECT_EQ(y.dtype(), t);
    expect_tensor(y, {6, 2}, {1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 0, 1});
  }
}

TEST(Movement, ExpandAndSqueeze) {
  Expression e;
  const Value x = e.input(tensor({1, 2, 1}, {1, 2}));
  EXPECT_EQ(expand_dims(x, -1).shape(), (Shape{1, 2, 1, 1}));
  EXPECT_EQ(expand_dims(x, 0).shape(), (Shape{1, 1, 2, 1}));
  EXPECT_EQ(squeeze(x, {}).shape(), (Shape{2}));
  EXPECT_EQ(squeeze(x, {-1}).shape(), (Shape{1, 2}));
  expect_error<ShapeError>([&] { squeeze(x, {1}); }, {"axis 1", "(1, 2, 1)"});
}

}  // namespace
}  // namespace kiln::graph::testing
