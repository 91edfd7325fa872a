// A kernel's code must not grow without end where fused movement asks for ever other elements of one chain.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "graph/plan.h"
#include "kiln/graph/gradient.h"
#include "kiln/graph/ops.h"

namespace kiln::graph {
namespace {

// Nodes of the group's code if every use of a node writes it down anew; at most about `most`.
int written_out(const Group& group, int most) {
  int count = 0;
  const std::function<void(Value)> write = [&](Value v) {
    if (std::find(group.nodes.begin(), group.nodes.end(), v.node) == group.nodes.end()) return;
    if (++count > most) return;
    for (Value operand : v.node->operands) write(operand);
  };
  for (Value v : group.outputs) write(v);
  return count;
}

TEST(FusionPlaces, HalvesOfHalvesDoNotDoubleTheCode) {
  Graph g;
  const Value x = g.input("x", {DType::f32, {3, 1031}});
  const Value wrt[] = {x};
  g.output("dx", gradient(reduce_sum(reduce_prod(x, {1})), wrt)[0]);
  const Plan plan = compile_plan(g);
  for (const ScheduledGroup& s : plan.schedule) EXPECT_LT(written_out(s.group, 10000), 3000) << s.group.name;
}

}  // namespace
}  // namespace kiln::graph
