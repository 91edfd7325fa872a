// One row by a constant matrix, of which rows are left out where the factor is zero: the same bits as of a
// matrix that isn't constant, and so is read whole.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kiln/graph/ops.h"
#include "tests/codegen/compile_support.h"
#include "tests/codegen/lower_support.h"
#include "tests/support/random_tensor.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

Graph product_of(const Tensor& x, const Tensor& matrix, bool constant_matrix) {
  Graph g("product");
  const Value in = g.input("x", {x.dtype(), x.shape()}),
              other = g.input("matrix", {x.dtype(), matrix.shape()});
  const Value y = dot(in, constant_matrix ? constant(g, matrix) : other, {}, {}, {1}, {0});
  g.output("y", tanh(y + scalar(y, 0.25)));
  return g;
}

Tensor product(const Tensor& x, const Tensor& matrix, bool constant_matrix) {
  return run_compiled(product_of(x, matrix, constant_matrix), {x, matrix})[0];
}

/// Zeros of both signs among random numbers.
Tensor row(std::int64_t length, double zeros, DType dtype) {
  RandomNumbers random(9);
  Tensor x = random.tensor({1, length}, -1, 1, dtype);
  visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    for (std::int64_t i = 0; i < length; i++)
      if (random.chance(zeros)) x.data<T>()[i] = i % 2 == 0 ? T(0) : -T(0);
  });
  return x;
}

TEST(SparseRow, HasTheBitsOfAllRows) {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const std::int64_t length : {50, 128, 300})
      for (const std::int64_t columns : {256, 301, 1100}) {
        const Tensor matrix = RandomNumbers(8).tensor({length, columns}, -1, 1, dtype);
        for (const double zeros : {0.0, 0.5, 0.95, 1.0}) {
          const Tensor x = row(length, zeros, dtype), got = product(x, matrix, true),
                       expected = product(x, matrix, false);
          EXPECT_EQ(std::memcmp(got.raw(), expected.raw(), expected.nbytes()), 0)
              << length << " by " << columns << ", " << zeros;
        }
      }
}

// One row, of constants that are finite, many and no larger than the caches.
TEST(SparseRow, IsChosenWhereItIsRightAndQuicker) {
  const auto chosen = [](std::int64_t rows, const Tensor& matrix, bool constant_matrix = true) {
    const Tensor x = Tensor::zeros({rows, matrix.dim(0)});
    return print(lower_all(product_of(x, matrix, constant_matrix))[0].kernel).find("count") !=
           std::string::npos;
  };
  const Tensor matrix = Tensor::zeros({64, 300});
  Tensor infinite = matrix.clone();
  infinite.data<float>()[7] = -inf;
  EXPECT_TRUE(chosen(1, matrix));
  EXPECT_FALSE(chosen(1, matrix, false));
  EXPECT_FALSE(chosen(2, matrix));
  EXPECT_FALSE(chosen(1, infinite));
  EXPECT_FALSE(chosen(1, Tensor::zeros({300, 64})));     // short rows
  EXPECT_FALSE(chosen(1, Tensor::zeros({16, 300})));     // stays in the first cache
  EXPECT_FALSE(chosen(1, Tensor::zeros({4096, 1024})));  // comes from memory
}

TEST(SparseRow, EqualsTheInterpreters) {
  const Tensor x = row(200, 0.5, DType::f32), matrix = RandomNumbers(8).tensor({200, 300}, -1, 1, DType::f32);
  expect_compiled_equals_interpreted(product_of(x, matrix, true));
}

// Zero times infinity isn't zero, and NaN isn't zero.
TEST(SparseRow, LosesNoNaN) {
  const Tensor matrix = RandomNumbers(8).tensor({64, 300}, -1, 1, DType::f32);
  Tensor x = row(64, 0.5, DType::f32), infinite = matrix.clone();
  infinite.data<float>()[5 * 300 + 7] = inf;
  x.data<float>()[5] = 0;
  EXPECT_TRUE(std::isnan(product(x, infinite, true).data<float>()[7]));
  EXPECT_FALSE(std::isnan(product(x, infinite, true).data<float>()[8]));
  x.data<float>()[5] = nan;
  EXPECT_TRUE(std::isnan(product(x, matrix, true).data<float>()[8]));
}

}  // namespace
}  // namespace kiln::codegen
