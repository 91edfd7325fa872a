#include <array>
#include <vector>

#include "graph/op_def.h"
#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"
#include "graph/passes/rules.h"

namespace kiln::graph {
namespace {

// Rules make the graph smaller or move things one way, so only a fault in the rules comes this far.
constexpr int most_rounds = 100;

using Table = std::array<std::vector<const Rule*>, static_cast<std::size_t>(op_count)>;

const Table& rules_by_op() {
  static const Table table = [] {
    Table t;
    for (std::span<const Rule> rules : {arithmetic_rules(), movement_rules()})
      for (const Rule& rule : rules) t[static_cast<std::size_t>(rule.op)].push_back(&rule);
    return t;
  }();
  return table;
}

// What the first rule that fits makes of the node, or null.
Value step(const Node& n) {
  for (const Rule* rule : rules_by_op()[static_cast<std::size_t>(n.op)])
    if (Value v = rule->apply(n)) return v;
  if (definition(n.op).op_class == OpClass::elementwise) return shrink_elementwise(n);
  return {};
}

// One walk over the graph. Nodes that rules emit below their result are looked at in the next round.
Graph round(const Graph& graph, bool& changed) {
  Graph result = Rewriter::run(graph, [&](Rewriter& rewriter, const Node& old) {
    const Node* n = &rewriter.copy(old);
    for (int steps = 0; steps < most_rounds; steps++) {
      const Value v = step(*n);
      if (!v) return true;
      changed = true;
      rewriter.replace(old.value(), v);
      n = v.node;
      if (v.result != 0) return true;
    }
    throw InternalError("simplify: the rules go round in circles at " + print(*n));
  });
  return changed ? dce(result) : std::move(result);
}

}  // namespace

Graph simplify(const Graph& graph) {
  bool changed = false;
  Graph result = round(graph, changed);
  for (int rounds = 0; changed; rounds++) {
    if (rounds == most_rounds)
      throw InternalError("simplify: the rules go round in circles\n" + print(result));
    changed = false;
    result = round(result, changed);
  }
  return result;
}

}  // namespace kiln::graph
