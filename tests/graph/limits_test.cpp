// Sizes and attributes that are numbers but no sizes: errors of the shape rules, not overflow behind them.
#include <gtest/gtest.h>

#include <string>

#include "kiln/graph/gradient.h"
#include "kiln/graph/ops.h"
#include "tests/support/errors.h"

namespace kiln::graph {
namespace {

using kiln::testing::message_of;

constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();

struct Limits : ::testing::Test {
  Graph g;
  Value x = g.input("x", {DType::f32, {5}});

  template <class F>
  void expect_error(F&& f, const std::string& part) {
    const std::string message = message_of<ShapeError>(f);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
};

TEST_F(Limits, ValuesThatNoMachineHolds) {
  expect_error([&] { g.input("y", {DType::f32, {huge, huge}}); }, "input: the result would be f32[");
  expect_error([&] { g.state("y", {DType::f32, {std::int64_t{1} << 46}}); }, "more than 2^47 bytes");
  expect_error([&] { g.input("y", {DType::f32, {0, huge}}); }, "more than 2^47 bytes");
  expect_error([&] { put_along(x, g.input("i", {DType::i32, {5}}), 0, huge); }, "more than 2^47 bytes");
  expect_error([&] { broadcast_to(x, {std::int64_t{1} << 30, std::int64_t{1} << 30, 5}); }, "broadcast: ");
  EXPECT_EQ(g.input("y", {DType::u8, {std::int64_t{1} << 47}}).shape().elements(), std::int64_t{1} << 47);
}

TEST_F(Limits, NegativeSizes) {
  expect_error([&] { iota(g, {DType::f32, {None}}, 0); }, "iota: the result would be f32[-1]");
  expect_error([&] { iota(g, {DType::f32, {3, -5}}, 0); }, "fixed sizes, 0 or more");
  expect_error([&] { broadcast(scalar(x, 1), {None}, {}); }, "broadcast: the result would be f32[-1]");
  expect_error(
      [&] {
        window_sum_grad(g.input("y", {DType::f32, {6}}), {-4}, {.window = {1}, .low = {10}, .high = {0}});
      },
      "can't have the size -4");
}

TEST_F(Limits, PaddingStridesAndDilationThatLeave63Bits) {
  expect_error([&] { pad(x, scalar(x, 0), {huge}, {huge}); }, "no machine has room");
  expect_error([&] { pad(x, scalar(x, 0), {0}, {0}, {huge / 3}); }, "no machine has room");
  expect_error([&] { window_sum(x, {.window = {2}, .low = {huge}, .high = {huge}}); },
               "the padding can't be");
  expect_error([&] { window_sum_grad(x, {huge}, {.window = {2}}); }, "can't have the size");
  expect_error(
      [&] {
        conv(g.input("y", {DType::f32, {1, 5, 1}}), g.input("k", {DType::f32, {5, 1, 1}}),
             {.dilation = {huge / 2}});
      },
      "is larger than its input");
  expect_error(
      [&] {
        const std::int64_t far = std::int64_t{1} << 47, many = std::int64_t{1} << 20;
        conv(g.input("z", {DType::f32, {1, 5, 1}}), g.input("l", {DType::f32, {many, 1, 1}}),
             {.dilation = {far}});
      },
      "is larger than its input");
  // Legal where there is one element to place.
  const Value one = slice(x, {0}, {1}), spread = pad(one, scalar(x, 0), {1}, {1}, {huge});
  EXPECT_EQ(gradient(reduce_sum(spread), std::span(&one, 1))[0].type(), one.type());
  EXPECT_EQ(window_sum(x, {.window = {5}, .strides = {huge}}).shape(), Shape{1});
  const Value first = slice(x, {1}, {5}, {huge});
  EXPECT_EQ(first.shape(), Shape{1});
  EXPECT_EQ(gradient(reduce_sum(first), std::span(&x, 1))[0].type(), x.type());
}

TEST_F(Limits, Int32CannotNumberTheElements) {
  const Value longer = g.input("y", {DType::u8, {2, (std::int64_t{1} << 31) + 1}});
  expect_error([&] { argmax(longer, 1); }, "argmax: axis 1 has 2147483649 elements; the indices are int32");
  expect_error([&] { sort(longer, 1); }, "sort: axis 1 has 2147483649 elements");
  expect_error([&] { top_k(longer, 2); }, "top_k: axis 1 has 2147483649 elements");
  EXPECT_EQ(argmax(longer, 0).dtype(), DType::i32);
  EXPECT_EQ(argmax(g.input("z", {DType::u8, {std::int64_t{1} << 31}}), 0).dtype(), DType::i32);
}

// The clamp of the gradient can't be written in the type of the indices, and isn't needed.
TEST_F(Limits, GradientsOfIndexingInAxesBeyond31Bits) {
  const Value y = g.input("y", {DType::f32, {(std::int64_t{1} << 31) + 1, 2}});
  const Value indices = g.input("i", {DType::i32, {3}});
  const Value rows = reduce_sum(gather(y, indices, 0));
  EXPECT_EQ(gradient(rows, std::span(&y, 1))[0].type(), y.type());
  const Value updates = g.input("u", {DType::f32, {3, 2}});
  const Value sum = reduce_sum(scatter_add(y, indices, updates, 0));
  EXPECT_EQ(gradient(sum, std::span(&updates, 1))[0].type(), updates.type());
}

TEST_F(Limits, GradientsOfNothing) {
  const Value y = reduce_sum(x), none;
  Graph other;
  const Value foreign = other.input("x", {DType::f32, {5}});
  const auto expect_fault = [](auto f, const std::string& part) {
    const std::string message = message_of<InternalError>(f);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect_fault([&] { gradient(y, std::span(&none, 1)); }, "with respect to is null");
  expect_fault([&] { gradient(none, std::span(&x, 1)); }, "the value to differentiate is null");
  expect_fault([&] { gradient(y, std::span(&foreign, 1)); }, "with respect to is of another graph");
  expect_fault([&] { gradient(x, std::span(&x, 1), foreign); },
               "the adjoint of the value to differentiate is of");
}

}  // namespace
}  // namespace kiln::graph
