#include <unordered_map>

#include "graph/passes/passes.h"
#include "graph/passes/rematerialize.h"
#include "graph/passes/rewriter.h"

namespace kiln::graph {

Graph cse(const Graph& graph) {
  std::unordered_multimap<std::size_t, const Node*> seen;  // nodes of the new graph by hash
  return Rewriter::run(graph, [&](Rewriter& rewriter, const Node& n) {
    if (n.op == Op::check || is_recomputed(n)) return false;
    std::vector<Value> operands;
    std::size_t hash = n.attributes.hash() * 31 + static_cast<std::size_t>(n.op);
    for (Value v : n.operands) {
      operands.push_back(rewriter(v));
      hash = hash * 31 + static_cast<std::size_t>(operands.back().node->id) * 7 +
             static_cast<std::size_t>(operands.back().result);
    }
    const auto [first, last] = seen.equal_range(hash);
    for (auto it = first; it != last; ++it) {
      const Node& old = *it->second;
      if (old.op != n.op || old.operands != operands || !(old.attributes == n.attributes)) continue;
      for (int i = 0; i < static_cast<int>(n.results.size()); i++) rewriter.replace(n.value(i), old.value(i));
      return true;
    }
    seen.emplace(hash, &rewriter.copy(n));
    return true;
  });
}

}  // namespace kiln::graph
