// Reductions over rows and columns of sizes at which their kernels take other forms.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "kiln/graph/ops.h"
#include "tests/codegen/compile_support.h"
#include "tests/codegen/lower_support.h"
#include "tests/support/random_tensor.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

// Of so many columns that rows are read in long pieces, and sums wait in scratch memory.
Graph column_sums(DType dtype, std::int64_t rows, std::int64_t columns) {
  Graph g("columns");
  const Value x = g.input("x", {dtype, {rows, columns}});
  g.output("sum", reduce_sum(x, {0}));
  g.output("largest", reduce_max(x, {0}) * 2.0);
  if (is_float(dtype)) g.output("product", reduce_prod(x * 1.5, {0}));
  return g;
}

bool uses_scratch(Graph graph) {
  const std::vector<LoweredGroup> kernels = lower_all(std::move(graph));
  return std::any_of(kernels.begin(), kernels.end(),
                     [](const LoweredGroup& k) { return k.kernel.scratch_stride > 0; });
}

TEST(Reductions, OfColumnsReadLongRows) {
  EXPECT_TRUE(uses_scratch(column_sums(DType::f32, 64, 5000)));
  EXPECT_FALSE(uses_scratch(column_sums(DType::f32, 64, 500))) << "fits the cache";
  EXPECT_FALSE(uses_scratch(column_sums(DType::f32, 6400, 20))) << "fits the registers";
}

// Rows before, in and after a block of them; columns before, in and after a vector and a part; partial sums.
TEST(Reductions, OfLongRowsEqualTheInterpreter) {
  for (DType dtype : {DType::f32, DType::f64, DType::i32})
    for (const auto& [rows, columns] : {std::pair{16L, 20001L}, {37L, 9001L}, {47L, 7168L}, {2075L, 257L}})
      expect_compiled_equals_interpreted(column_sums(dtype, rows, columns));
}

TEST(Reductions, OverSeveralAxesOfLongRowsEqualTheInterpreter) {
  Graph g("planes");
  const Value x = g.input("x", {DType::f32, {2, 5, 33, 1031}});
  g.output("sum", reduce_sum(x * x, {1, 2}));
  g.output("rows", reduce_sum(transpose(x, {0, 2, 1, 3}), {2}));
  expect_compiled_equals_interpreted(g);
}

// A column's sum is the same beside few columns, in registers, and beside many (with so few rows that it
// isn't split in either case).
TEST(Reductions, OfColumnsDoNotDependOnTheColumnsBeside) {
  for (std::int64_t rows : {30, 511}) {
    const Tensor many = RandomNumbers(5).tensor({rows, 20000}, -1, 1, DType::f32);
    Tensor few({rows, 80}, DType::f32);
    for (std::int64_t r = 0; r < rows; r++)
      std::copy_n(many.data<float>() + r * 20000, 80, few.data<float>() + r * 80);
    const std::vector<Tensor> of_many = run_compiled(column_sums(DType::f32, rows, 20000), {many});
    const std::vector<Tensor> of_few = run_compiled(column_sums(DType::f32, rows, 80), {few});
    for (std::size_t i = 0; i < of_few.size(); i++)
      EXPECT_EQ(std::memcmp(of_many[i].raw(), of_few[i].raw(), of_few[i].nbytes()), 0)
          << rows << " rows, output " << i;
  }
}

}  // namespace
}  // namespace kiln::codegen
