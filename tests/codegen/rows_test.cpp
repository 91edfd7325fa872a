// What a row gives doesn't depend on the rows beside it, to the bit: not on their number either.
#include <gtest/gtest.h>

#include <cstring>

#include "kiln/codegen/compile.h"
#include "kiln/graph/ops.h"
#include "kiln/runtime/executable.h"
#include "tests/support/cpus.h"
#include "tests/support/random_tensor.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

Value sum_of_squares(Value x) {
  return reduce_sum(x * x, {1});
}
Value sum_in_double(Value x) {
  return convert(reduce_sum(x, {1}), DType::f64) * 3.0;
}
Value sum_of_chosen(Value x) {
  const Value place = iota(x.graph(), {DType::i64, x.shape()}, 1) + convert(x, DType::i64);
  return reduce_sum(select(compare(place, scalar(place, 50), "lt"), x, x * 0.5), {1});
}
Value softmax(Value x) {
  const Value e = exp(x - reduce_max(x, {1}, true));
  return e / reduce_sum(e, {1}, true);
}
Value pooled(Value x) {
  return convert(window_sum(x, {.window = {1, 9}, .strides = {1, 4}}), DType::f64);
}
Value projected(Value x) {
  return convert(matmul(x, sin(iota(x.graph(), {DType::f32, {x.shape()[1], 1}}, 0))), DType::f64);
}

Value product_by_a_large_matrix(Value x) {
  return matmul(x, sin(convert(iota(x.graph(), {DType::i32, {x.shape()[1], 1101}}, 0), DType::f32)));
}

/// The first row's bytes, of `rows` rows that begin with the same one.
std::string first_row(Value (*build)(Value), const Tensor& data, std::int64_t rows,
                      const std::string& cpu = "") {
  const std::int64_t length = data.shape()[1];
  Graph g("rows");
  g.output("y", build(g.input("x", {DType::f32, {rows, length}})));
  const auto program = compile(g, {.cpu = cpu});
  std::vector<Tensor> states, inputs{Tensor({rows, length}, DType::f32)};
  std::memcpy(inputs[0].raw(), data.raw(), inputs[0].nbytes());
  std::vector<Tensor> outputs{Tensor(program->outputs[0].shape, program->outputs[0].dtype)};
  runtime::Executable(program).run(inputs, states, outputs);
  return {static_cast<const char*>(outputs[0].raw()), outputs[0].nbytes() / static_cast<std::size_t>(rows)};
}

void expect_rows_as_alone(std::int64_t most, std::int64_t length, const std::string& cpu = "") {
  const Tensor data = RandomNumbers(3).tensor({most, length}, -1, 1, DType::f32);
  int number = 0;
  for (auto build : {sum_of_squares, sum_in_double, sum_of_chosen, softmax, pooled, projected}) {
    const std::string alone = first_row(build, data, 1, cpu);
    for (std::int64_t rows : {2L, 3L, 7L, 8L, 64L, most}) {
      if (rows > most) continue;
      EXPECT_TRUE(first_row(build, data, rows, cpu) == alone)
          << "graph " << number << ", " << rows << " rows " << cpu;
    }
    number++;
  }
}

TEST(Rows, HaveTheBitsThatTheyHaveAlone) {
  expect_rows_as_alone(300, 101);
  for (const std::string& cpu : testing::older_cpus()) expect_rows_as_alone(300, 101, cpu);
}

// Together they are so many numbers that a sum of as many would be split, or each of them is.
TEST(Rows, LongOnesToo) {
  expect_rows_as_alone(9, 5001);
  expect_rows_as_alone(9, 40000);
}

// Few rows stream a matrix that many rows go through in parts which stay in the cache.
TEST(Rows, OfAProductByALargeMatrix) {
  const Tensor data = RandomNumbers(4).tensor({100, 1056}, -1, 1, DType::f32);
  const std::string alone = first_row(product_by_a_large_matrix, data, 1);
  for (std::int64_t rows : {2, 8, 9, 100})
    EXPECT_TRUE(first_row(product_by_a_large_matrix, data, rows) == alone) << rows << " rows";
}

}  // namespace
}  // namespace kiln::codegen
