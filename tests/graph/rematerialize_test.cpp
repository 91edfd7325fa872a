#include "graph/passes/rematerialize.h"

#include <fmt/format.h>

#include "kiln/graph/ops.h"
#include "tests/graph/pass_testing.h"
#include "tests/support/errors.h"
#include "tests/support/lenet.h"
#include "tests/support/random_graph.h"
#include "tests/support/random_tensor.h"

namespace kiln::graph::testing {
namespace {

// sin(x) waits for the end while a product, which takes more work, is made and used.
constexpr std::string_view waiting = R"(graph g {
  %0 = input "x" : f32[512,512]  # in
  %1 = sin(%0) : f32[512,512]  # first
  %2 = dot(%1, %0) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[512,512]  # second
  %3 = dot(%2, %0) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[512,512]  # third
  %4 = dot(%3, %1) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[512,512]  # fourth
  output "y" = %4
}
)";

TEST(Rematerialize, ComputesAnewWhatOnlyWaits) {
  const Plan plan = plan_unoptimized(parse(waiting));
  EXPECT_EQ(plan.arena_bytes, 3 << 20);
  const std::optional<Graph> smaller = rematerialize(plan);
  ASSERT_TRUE(smaller);
  verify(*smaller);
  EXPECT_EQ(print(*smaller), R"(graph g {
  %0 = input "x" : f32[512,512]  # in
  %1 = sin(%0) : f32[512,512]  # first
  %2 = dot(%1, %0) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[512,512]  # second
  %3 = dot(%2, %0) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[512,512]  # third
  %4 = sin(%0) : f32[512,512]  # recompute/first
  %5 = dot(%3, %4) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[512,512]  # fourth
  output "y" = %5
}
)");
  EXPECT_EQ(print(cse(*smaller)), print(*smaller)) << "merged again";
  EXPECT_EQ(plan_unoptimized(parse(print(*smaller))).arena_bytes, 2 << 20);
}

// Its parts are dropped with it, though another reads one of them: all are computed anew.
TEST(Rematerialize, ComputesAnewAConcatenationThatLiesInParts) {
  Graph g("g");
  const Value x = g.input("x", {DType::f32, {256, 256}}), a = g.state("a", {DType::f32, {256, 128}});
  const Value first = matmul(x, a), both = concatenate(std::vector<Value>{first, matmul(x, sin(a))}, 1);
  const Value later = matmul(matmul(matmul(both, x), x), x);
  g.output("y", matmul(later, both));
  g.output("z", matmul(x, first));
  Plan plan = plan_unoptimized(parse(print(g)));
  const std::int64_t before = plan.arena_bytes;
  EXPECT_GE(before, 3 << 18);
  for (std::size_t rank = 0; rank < 3 && plan.arena_bytes == before; rank++)
    if (std::optional<Graph> smaller = rematerialize(plan, rank)) {
      const Plan next = plan_unoptimized(std::move(*smaller));
      RandomNumbers random(1);
      const std::vector<Tensor> inputs = {random.tensor({256, 256}, -1, 1, DType::f32)};
      const std::vector<Tensor> states = {random.tensor({256, 128}, -1, 1, DType::f32)};
      expect_same_results(next, g, inputs, states);
      if (next.arena_bytes < before) return;
    }
  ADD_FAILURE() << "nothing gets lower than " << print(plan);
}

TEST(Rematerialize, LeavesAloneWhatIsReadAtThePeak) {
  Graph g("g");
  const Value x = g.input("x", {DType::f32, {512, 512}}), y = sin(x);
  g.output("y", matmul(matmul(y, x), y));
  EXPECT_FALSE(rematerialize(plan_unoptimized(std::move(g))));
}

TEST(Rematerialize, ALimitIsKeptOrAnError) {
  const Graph g = parse(waiting);
  EXPECT_EQ(compile_plan(g).arena_bytes, 3 << 20);
  EXPECT_EQ(compile_plan(g, {.memory_limit = 3 << 20}).schedule.size(), compile_plan(g).schedule.size());
  EXPECT_LE(compile_plan(g, {.memory_limit = (3 << 20) - 1}).arena_bytes, 2 << 20);
  EXPECT_LE(compile_plan(g, {.memory_limit = 2 << 20}).arena_bytes, 2 << 20);
  const std::string message =
      kiln::testing::message_of<ValueError>([&] { compile_plan(g, {.memory_limit = (2 << 20) - 1}); });
  for (const char* part : {"2097151", "3145728", "2097152 if", "f32[512,512] of \"first\"", "smaller batch"})
    EXPECT_NE(message.find(part), std::string::npos) << part << " isn't in: " << message;
}

TEST(Rematerialize, LeNetsPlanGetsSmaller) {
  for (const bool relu : {false, true}) {
    const Graph g = lenet_training(128, relu);
    const std::int64_t free = compile_plan(g).arena_bytes;
    const Plan plan = compile_plan(g, {.memory_limit = free - 1});
    EXPECT_LT(plan.arena_bytes, free);
    int recomputed = 0;
    for (const Node& n : plan.graph->nodes()) recomputed += is_recomputed(n);
    EXPECT_GT(recomputed, 0);
  }
}

// As small as they get, whatever was chosen: the same bits.
TEST(Rematerialize, RandomProgramsKeepTheirMeaning) {
  int changed = 0;
  for (std::int64_t seed = 0; seed < 150; seed++) {
    SCOPED_TRACE(seed);
    const RandomProgram r = random_program(seed, {.ops = 20, .gradient = seed % 2 == 0});
    Plan plan = plan_unoptimized(parse(print(*r.graph)));
    for (std::size_t round = 0; round < 6; round++) {
      const std::optional<Graph> smaller = rematerialize(plan, round % 2);
      if (!smaller) break;
      verify(*smaller);
      changed++;
      plan = plan_unoptimized(parse(print(*smaller)));
      expect_same_results(plan, *r.graph, r.inputs, r.states);
    }
  }
  EXPECT_GT(changed, 20);
}

}  // namespace
}  // namespace kiln::graph::testing
