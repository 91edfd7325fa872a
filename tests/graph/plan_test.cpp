#include <gtest/gtest.h>

#include "tests/graph/pass_testing.h"
#include "tests/graph/random_graph.h"
#include "tests/support/random_graph.h"

namespace kiln::graph::testing {
namespace {

void expect_plans_agree(std::uint64_t seed, int steps) {
  SCOPED_TRACE(seed);
  const RandomGraph r(seed, steps);
  verify(r.graph);
  for (const PlanOptions& options :
       {PlanOptions{}, PlanOptions{.fuse = false}, PlanOptions{.reuse = false, .red_zone = 64}}) {
    // A graph of its own for each plan: the plan takes it.
    RandomGraph again(seed, steps);
    const Plan plan = plan_unoptimized(std::move(again.graph), options);
    expect_same_results(plan, r.graph, r.inputs, r.states);
  }
}

TEST(Plan, RandomGraphsKeepTheirMeaning) {
  for (std::uint64_t seed = 0; seed < 300; seed++) expect_plans_agree(seed, 5 + static_cast<int>(seed % 40));
}

// Every op and attribute, with gradients and special values.
TEST(Plan, RandomProgramsKeepTheirMeaning) {
  for (std::int64_t seed = 0; seed < 60; seed++) {
    SCOPED_TRACE(seed);
    const RandomProgramOptions options{.ops = 20, .gradient = seed % 3 == 0, .specials = seed % 5 == 0};
    const RandomProgram r = random_program(seed, options);
    for (const bool fused : {true, false}) {
      const Plan plan = plan_unoptimized(parse(print(*r.graph)), {.fuse = fused});
      expect_same_results(plan, *r.graph, r.inputs, r.states);
    }
  }
}

}  // namespace
}  // namespace kiln::graph::testing
