#include "graph/elemental.h"
#include "graph/passes/groups.h"

namespace kiln::graph {

std::vector<Group> fuse(const Graph& graph, const PlanOptions&) {
  std::vector<Group> groups;
  for (const Node& n : graph.nodes()) {
    if (n.op == Op::input || n.op == Op::state || n.op == Op::constant || n.op == Op::reshape) continue;
    Group group;
    group.nodes = {&n};
    for (Value v : n.operands)
      if (is_immediate(*v.node)) group.nodes.push_back(v.node);
    if (!is_elemental(n)) group.root = &n;
    for (int i = 0; i < static_cast<int>(n.results.size()); i++) group.outputs.push_back(n.value(i));
    complete_group(group);
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace kiln::graph
