// Where rows of a constant matrix are left out that would be multiplied by zero. What they compute is tested
// in tests/embedded.
#include <gtest/gtest.h>

#include "kiln/graph/ops.h"
#include "tests/codegen/compile_support.h"
#include "tests/codegen/lower_support.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

bool skips_zeros(std::int64_t rows, const Tensor& matrix, bool constant_matrix = true,
                 bool has_team = false) {
  Graph g("product");
  const Value x = g.input("x", {DType::f32, {rows, matrix.dim(0)}}), other = input(g, matrix);
  g.output("y", dot(x, constant_matrix ? constant(g, matrix) : other, {}, {}, {1}, {0}));
  std::vector<Group> groups = schedule(g, fuse(g));
  const Plan plan = plan_memory(std::move(g), std::move(groups));
  Target target = test_target(512);
  target.has_team = has_team;
  return print(lower(plan.schedule[0], target, 0).kernel).find("count") != std::string::npos;
}

TEST(SparseRow, IsChosenWhereItIsRightAndQuicker) {
  const Tensor matrix = Tensor::zeros({64, 300});
  EXPECT_TRUE(skips_zeros(1, matrix));
  EXPECT_FALSE(skips_zeros(2, matrix));
  EXPECT_FALSE(skips_zeros(1, matrix, false));
  EXPECT_FALSE(skips_zeros(1, matrix, true, true));
  EXPECT_FALSE(skips_zeros(1, Tensor::zeros({300, 64})));     // short rows
  EXPECT_FALSE(skips_zeros(1, Tensor::zeros({16, 300})));     // stays in the first cache
  EXPECT_FALSE(skips_zeros(1, Tensor::zeros({4096, 1024})));  // comes from memory
  for (const float x : {inf, -inf, nan}) {
    Tensor wild = matrix.clone();
    wild.data<float>()[7] = x;
    EXPECT_FALSE(skips_zeros(1, wild));
  }
}

}  // namespace
}  // namespace kiln::codegen
