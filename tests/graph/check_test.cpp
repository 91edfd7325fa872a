#include "evaluate.h"

namespace kiln::graph::testing {
namespace {

/// Labels must be below 10; the sum of them is the output.
Tensor sum_of_labels(const std::vector<double>& labels) {
  Expression e;
  const Value x = e.input(tensor({static_cast<std::int64_t>(labels.size())}, labels, DType::i32));
  check(compare(x, scalar(x, 10), "lt"), x, "labels must be below 10, but row {row} has {value}");
  return e.evaluate(reduce_sum(x));
}

TEST(Check, PassesWithoutEffect) {
  expect_tensor(sum_of_labels({1, 2, 9}), {}, {12});
}

TEST(Check, NamesTheFirstFailingRowAndItsValue) {
  expect_error<ValueError>(
      [] {
        sum_of_labels({1, 2, 12, 11});
      },
      {"labels must be below 10, but row 2 has 12"});
}

TEST(Check, NoRowsNoError) {
  expect_tensor(sum_of_labels({}), {}, {0});
}

TEST(Check, NaNInFloats) {
  Expression e;
  const Value x = e.input(tensor({3}, {1, nan, 3}, DType::f32));
  check(is_finite(x), x, "row {row}: {value}");
  expect_error<ValueError>([&] { e.evaluate(x); }, {"row 1: nan"});
}

TEST(CheckErrors, TypesAndShapes) {
  Graph g;
  LabelScope scope(g, "loss");
  const Value f = g.input("f", {DType::f32, {3}}), ok = g.input("ok", {DType::bool_, {3}});
  const Value four = g.input("four", {DType::f32, {4}}), matrix = g.input("matrix", {DType::bool_, {3, 1}});
  expect_error<TypeError>([&] { check(f, f, ""); }, {"loss (check)", "bool", "float32", "compare"});
  expect_error<ShapeError>([&] { check(ok, four, ""); }, {"(3,)", "(4,)"});
  expect_error<ShapeError>([&] { check(matrix, matrix, ""); }, {"(rows,)", "(3, 1)"});
}

}  // namespace
}  // namespace kiln::graph::testing
