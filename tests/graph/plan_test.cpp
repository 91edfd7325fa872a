#include <gtest/gtest.h>

#include "tests/graph/pass_testing.h"
#include "tests/support/random_graph.h"

namespace kiln::graph::testing {
namespace {

TEST(Plan, CornersKeepTheirMeaning) {
  for (std::int64_t seed = 0; seed < 300; seed++) {
    SCOPED_TRACE(seed);
    const RandomProgram r = random_program(seed, {.ops = 5 + static_cast<int>(seed % 40), .corners = true});
    for (const PlanOptions& options :
         {PlanOptions{}, PlanOptions{.fuse = false}, PlanOptions{.reuse = false, .red_zone = 64}}) {
      // A graph of its own for each plan: the plan takes it.
      const Plan plan = plan_unoptimized(parse(print(*r.graph)), options);
      expect_same_results(plan, *r.graph, r.inputs, r.states);
    }
  }
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
