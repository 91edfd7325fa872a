#include <map>
#include <set>
#include <vector>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"
#include "kiln/graph/ops.h"

// A product reads its right operand in panels of some columns, whose rows lie far apart. Where that operand
// hangs on nothing that the graph changes, as the weights of a prediction do, panels can be put together
// once:
//
//   dot(x, w)   ->   dot_panels(x, transpose(reshape(w)))      w: (K, N) as (N / 64, K, 64)
//
// The schedule has them prepared. Few rows have too little to do for each element that they read to gain by
// that; a small operand stays in a cache, wherever its elements lie; and a very large one isn't worth a
// second copy. Every sum has the same order as before, so no bit changes.
namespace kiln::graph {
namespace {

constexpr std::int64_t fewest_rows = 32;
constexpr std::int64_t most_bytes = std::int64_t{64} << 20;

bool pays(const Node& n, std::int64_t least_bytes) {
  if (n.op != Op::dot || n.operand(0).rank() != 2 || n.operand(1).rank() != 2) return false;
  if (!n.attributes.ints("lhs_batch").empty() || n.attributes.ints("lhs_contract") != Ints{1} ||
      n.attributes.ints("rhs_contract") != Ints{0})
    return false;
  const Value w = n.operand(1);
  const std::int64_t bytes = w.shape().elements() * static_cast<std::int64_t>(size_of(w.dtype()));
  return n.type().shape[0] >= fewest_rows && w.shape()[1] % panel_columns == 0 && bytes >= least_bytes &&
         bytes <= most_bytes && bytes > 0;
}

}  // namespace

Graph pack_weights(const Graph& graph, std::int64_t least_bytes) {
  std::set<const Node*> states;  // those that stay as they are
  for (const StateSlot& slot : graph.states())
    if (!slot.next) states.insert(slot.current.node);
  const std::vector<bool> unchanged =
      comes_from(graph, [&](const Node& leaf) { return leaf.op == Op::constant || states.count(&leaf) > 0; });
  std::map<std::pair<int, int>, Value> known;  // by node and result: panels
  return Rewriter::run(graph, [&](Rewriter& rewriter, const Node& n) {
    const auto stays = [&](Value v) { return bool(unchanged[static_cast<std::size_t>(v.node->id)]); };
    // A product of what is unchanged is computed once itself.
    if (!pays(n, least_bytes) || !stays(n.operand(1)) || stays(n.operand(0))) return false;
    Value& packed = known[{n.operand(1).node->id, n.operand(1).result}];
    if (!packed) {
      const Value w = rewriter(n.operand(1));
      const std::int64_t steps = w.shape()[0], panels = w.shape()[1] / panel_columns;
      packed = transpose(reshape(w, {steps, panels, panel_columns}), {1, 0, 2});
    }
    rewriter.replace(n.value(), dot_panels(rewriter(n.operand(0)), packed));
    return true;
  });
}

}  // namespace kiln::graph
