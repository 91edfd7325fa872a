#include <optional>

#include "graph/op_def.h"
#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace kiln::graph {
namespace {

// Larger results stay code: a table in memory would cost more than computing it, and the reference evaluation
// is slow.
constexpr std::int64_t most_elements = 4096;

std::vector<Tensor> evaluate(const Node& n, const std::vector<Tensor>& operands) {
  std::vector<Tensor> results;
  for (const Type& t : n.results) results.emplace_back(t.shape, t.dtype);
  definition(n.op).evaluate({n, operands, results});
  return results;
}

// The elements of a constant, or of a constant broadcast.
std::optional<Tensor> known(Value v) {
  if (v.shape().elements() > most_elements) return std::nullopt;
  if (v.node->op == Op::constant) return v.node->attributes.tensor("value");
  if (v.node->op != Op::broadcast) return std::nullopt;
  const std::optional<Tensor> source = known(v.node->operand(0));
  return source ? std::optional(evaluate(*v.node, {*source})[0]) : std::nullopt;
}

bool foldable(const Node& n) {
  const OpClass c = definition(n.op).op_class;
  if (c == OpClass::leaf || c == OpClass::effect || n.op == Op::iota) return false;
  for (const Type& t : n.results)
    if (t.shape.elements() > most_elements) return false;
  // A broadcast constant is better known as one: rules and kernels see that it repeats.
  return n.op != Op::broadcast || n.type().shape.elements() == n.operand(0).shape().elements();
}

}  // namespace

Graph fold_constants(const Graph& graph) {
  return Rewriter::run(graph, [](Rewriter& rewriter, const Node& old) {
    const Node& n = rewriter.copy(old);
    if (!foldable(n)) return true;
    std::vector<Tensor> operands;
    for (Value v : n.operands) {
      std::optional<Tensor> t = known(v);
      if (!t) return true;
      operands.push_back(std::move(*t));
    }
    const std::vector<Tensor> results = evaluate(n, operands);
    for (std::size_t i = 0; i < results.size(); i++)
      rewriter.replace(old.value(static_cast<int>(i)),
                       rewriter.target().emit(Op::constant, {}, {{"value", results[i]}}).value());
    return true;
  });
}

}  // namespace kiln::graph
