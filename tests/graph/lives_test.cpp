#include "graph/passes/lives.h"

#include "kiln/graph/ops.h"
#include "tests/graph/pass_testing.h"

namespace kiln::graph::testing {
namespace {

TEST(Lives, CountWhatIsWrittenInPlaceOnce) {
  Graph g("g");
  const Value x = g.input("x", {DType::f32, {512, 512}});
  const Value a = matmul(x, x), b = matmul(a, x);
  g.output("y", matmul(sin(b + reverse(b, {0})), x));
  const Plan plan = plan_unoptimized(std::move(g));
  const Lives lives(plan);
  EXPECT_LE(lives.peak_bytes(), plan.arena_bytes);
  EXPECT_EQ(lives.peak_bytes(), 2 << 20);
}

// What needn't be there early isn't: a weight's transpose, which could be made at the start.
TEST(Schedule, MovesWhatIsNeededLateToItsReader) {
  Graph g("g");
  const Value x = g.input("x", {DType::f32, {256, 256}}), w = g.state("w", {DType::f32, {256, 256}});
  Value y = x;
  for (int i = 0; i < 4; i++) y = matmul(y, x);
  g.update(w, matmul(y, transpose(w, {1, 0})));  // a state that changes: nothing is kept from run to run
  const Plan plan = plan_unoptimized(std::move(g));
  ASSERT_EQ(plan.schedule.size(), 6u) << print(plan);
  EXPECT_NE(plan.schedule[4].group.name.find("transpose"), std::string::npos) << print(plan);
  EXPECT_EQ(plan.arena_bytes, 2 * 256 * 256 * 4);
}

}  // namespace
}  // namespace kiln::graph::testing
