#include <vector>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace kiln::graph {

Graph dce(const Graph& graph) {
  std::vector<bool> needed(graph.nodes().size(), false);
  const auto need = [&](Value v) { needed[static_cast<std::size_t>(v.node->id)] = true; };
  for (const Output& o : graph.outputs()) need(o.value);
  for (const StateSlot& s : graph.states())
    if (s.next) need(s.next);
  for (const Node* check : graph.checks()) need({check, 0});
  for (std::size_t id = needed.size(); id-- > 0;)  // users come after what they use
    if (needed[id])
      for (Value v : graph.nodes()[id].operands) need(v);
  return Rewriter::run(graph,
                       [&](Rewriter&, const Node& n) { return !needed[static_cast<std::size_t>(n.id)]; });
}

}  // namespace kiln::graph
