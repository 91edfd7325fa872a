// Deep and wide graphs are planned in time that grows with their size. The limits are processor time, far
// above what these take now and far below what they took when a step looked at all pairs of groups.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <ctime>

#include "graph/plan.h"
#include "kiln/graph/ops.h"

namespace kiln::graph {
namespace {

constexpr double limit = 4;  // seconds

template <class F>
double seconds(F&& f) {
  const std::clock_t start = std::clock();
  f();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

// As many groups are ready at once as there are weights.
TEST(Scale, ThousandsOfIndependentUpdates) {
  Graph g;
  for (int i = 0; i < 3000; i++) {
    const Type type{DType::f32, {64, 64}};
    const Value weight = g.state(fmt::format("w{}", i), type), slot = g.state(fmt::format("m{}", i), type);
    const Value moment = slot * 0.9 + g.input(fmt::format("d{}", i), type) * 0.1;
    g.update(slot, moment);
    g.update(weight, weight - moment * 0.01);
  }
  std::vector<Group> groups;
  EXPECT_LT(seconds([&] { groups = schedule(g, fuse(g)); }), limit);
  EXPECT_EQ(groups.size(), 3000u);
}

// Tiny maps are joined whatever they read, if none depends on the other: here all do.
TEST(Scale, AThousandTinyLayers) {
  Graph g;
  Value x = g.input("x", {DType::f32, {1, 16}});
  for (int i = 0; i < 1000; i++) x = cumsum(tanh(x), 1);
  g.output("y", x);
  std::vector<Group> groups;
  EXPECT_LT(seconds([&] { groups = schedule(g, fuse(g)); }), limit);
  EXPECT_EQ(groups.size(), 2000u);
}

}  // namespace
}  // namespace kiln::graph
