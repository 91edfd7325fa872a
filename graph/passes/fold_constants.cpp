#include <algorithm>

#include "graph/op_def.h"
#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace kiln::graph {
namespace {

// Larger results stay code: a table in memory would cost more than computing it, and the reference evaluation
// is slow.
constexpr std::int64_t most_elements = 4096;

bool foldable(const Node& n) {
  const OpClass c = definition(n.op).op_class;
  if (c == OpClass::leaf || c == OpClass::effect || n.op == Op::iota) return false;
  for (const Type& t : n.results)
    if (t.shape.elements() > most_elements) return false;
  for (Value v : n.operands)
    if (v.node->op != Op::constant || v.shape().elements() > most_elements) return false;
  // A broadcast constant is better known as one: rules and kernels see that it is uniform.
  return n.op != Op::broadcast || n.type().shape.elements() == n.operand(0).shape().elements();
}

}  // namespace

Graph fold_constants(const Graph& graph) {
  return Rewriter::run(graph, [](Rewriter& rewriter, const Node& old) {
    const Node& n = rewriter.copy(old);
    if (!foldable(n)) return true;
    std::vector<Tensor> operands, results;
    for (Value v : n.operands) operands.push_back(v.node->attributes.tensor("value"));
    for (const Type& t : n.results) results.emplace_back(t.shape, t.dtype);
    definition(n.op).evaluate({n, operands, results});
    for (int i = 0; i < static_cast<int>(results.size()); i++)
      rewriter.replace(old.value(i),
                       rewriter.target().emit(Op::constant, {}, {{"value", results[static_cast<std::size_t>(i)]}}).value());
    return true;
  });
}

}  // namespace kiln::graph
