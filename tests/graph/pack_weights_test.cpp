#include <fmt/format.h>

#include "kiln/graph/ops.h"
#include "tests/graph/pass_testing.h"

namespace kiln::graph::testing {
namespace {

Graph pack_all(const Graph& graph) {
  return pack_weights(graph, 1);
}

// Two products of one weight read the same panels.
TEST(PackWeights, KeepsUnchangedWeightsAsPanels) {
  expect_pass(pack_all, R"(graph g {
  %0 = input "x" : f32[32,5]
  %1 = state "w" : f32[5,128]
  %2 = exp(%1) : f32[5,128]
  %3 = dot(%0, %2) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[32,128]
  %4 = exp(%0) : f32[32,5]
  %5 = dot(%4, %2) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[32,128]
  %6 = add(%3, %5) : f32[32,128]
  output "y" = %6
}
)",
              R"(graph g {
  %0 = input "x" : f32[32,5]
  %1 = state "w" : f32[5,128]
  %2 = exp(%1) : f32[5,128]
  %3 = reshape(%2) {shape=[5, 2, 64]} : f32[5,2,64]
  %4 = transpose(%3) {permutation=[1, 0, 2]} : f32[2,5,64]
  %5 = dot_panels(%0, %4) : f32[32,128]
  %6 = exp(%0) : f32[32,5]
  %7 = dot_panels(%6, %4) : f32[32,128]
  %8 = add(%5, %7) : f32[32,128]
  output "y" = %8
}
)");
}

struct Product {
  std::int64_t rows = 32, columns = 64;
  bool updated = false, left_transposed = false, of_weights = false;
};

int panels_of(const Product& p, std::int64_t least_bytes = 1) {
  Graph g("product");
  const Type type{DType::f32, p.left_transposed ? Shape{8, p.rows} : Shape{p.rows, 8}};
  const Value x = p.of_weights ? g.state("v", type) : g.input("x", type);
  const Value w = g.state("w", {DType::f32, {8, p.columns}});
  g.output("y", dot(x, w, {}, {}, {p.left_transposed ? 0 : 1}, {0}));
  if (p.updated) g.update(w, w * 0.5);
  int count = 0;
  const Graph packed = pack_weights(g, least_bytes);
  for (const Node& n : packed.nodes()) count += n.op == Op::dot_panels;
  return count;
}

TEST(PackWeights, LeavesWhatDoesNotPay) {
  EXPECT_EQ(panels_of({}), 1);
  EXPECT_EQ(panels_of({}, 8 * 64 * 4), 1);
  EXPECT_EQ(panels_of({}, 8 * 64 * 4 + 1), 0) << "too small";
  EXPECT_EQ(panels_of({.rows = 31}), 0) << "too few rows";
  EXPECT_EQ(panels_of({.columns = 100}), 0) << "not whole panels";
  EXPECT_EQ(panels_of({.updated = true}), 0) << "changes with each step";
  EXPECT_EQ(panels_of({.left_transposed = true}), 0);
  EXPECT_EQ(panels_of({.of_weights = true}), 0) << "is computed once itself";
  EXPECT_EQ(panels_of({.columns = std::int64_t{64} << 15}), 1) << "64 MiB";
  EXPECT_EQ(panels_of({.columns = std::int64_t{65} << 15}), 0) << "too large for a second copy";
}

TEST(PackWeights, PanelsArePreparedAndTheEpilogueStays) {
  Graph g("predict");
  const Value x = g.input("x", {DType::f32, {32, 8}}), w = g.state("w", {DType::f32, {8, 64}});
  g.output("y", tanh(matmul(x, w) + g.state("b", {DType::f32, {64}})));
  const Plan plan = compile_plan(g, {.weights_stay = true, .least_packed_bytes = 1});
  ASSERT_EQ(plan.schedule.size(), 2u) << print(plan);
  EXPECT_TRUE(plan.schedule[0].group.prepared);
  EXPECT_EQ(plan.schedule[1].group.root->op, Op::dot_panels);
  EXPECT_FALSE(plan.schedule[1].group.prepared);
}

}  // namespace
}  // namespace kiln::graph::testing
