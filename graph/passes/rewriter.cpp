#include "graph/passes/rewriter.h"

#include <fmt/format.h>

namespace kiln::graph {

std::vector<bool> comes_from(const Graph& graph, const std::function<bool(const Node& leaf)>& counts) {
  std::vector<bool> result(graph.nodes().size());
  for (const Node& n : graph.nodes()) {
    bool all = !n.operands.empty() || counts(n);
    for (Value v : n.operands) all = all && result[static_cast<std::size_t>(v.node->id)];
    result[static_cast<std::size_t>(n.id)] = all;
  }
  return result;
}

Rewriter::Rewriter(const Graph& source) : source_(source), target_(source.name), map_(source.nodes().size()) {
  for (const Node& node : source.nodes()) {
    map_[static_cast<std::size_t>(node.id)].resize(node.results.size());
    if (node.op == Op::input || node.op == Op::state) copy(node);
  }
}

void Rewriter::replace(Value old, Value value) {
  if (old.type() != value.type())
    throw InternalError(fmt::format("a pass replaces {} by {}: {}", old.type().to_string(),
                                    value.type().to_string(), print(*old.node)));
  map_[static_cast<std::size_t>(old.node->id)][static_cast<std::size_t>(old.result)] = value;
}

const Node& Rewriter::copy(const Node& node) {
  std::vector<Value> operands;
  operands.reserve(node.operands.size());
  for (Value v : node.operands) operands.push_back((*this)(v));
  LabelScope label(target_, node.label);
  const Node& copied = target_.emit(node.op, std::move(operands), node.attributes);
  for (int i = 0; i < static_cast<int>(node.results.size()); i++) replace(node.value(i), copied.value(i));
  return copied;
}

Graph Rewriter::finish() {
  for (const StateSlot& slot : source_.states())
    if (slot.next) target_.update((*this)(slot.current), (*this)(slot.next));
  for (const Output& o : source_.outputs()) target_.output(o.name, (*this)(o.value));
  return std::move(target_);
}

Graph Rewriter::run(const Graph& source, const std::function<bool(Rewriter&, const Node&)>& visit) {
  Rewriter rewriter(source);
  for (const Node& node : source.nodes()) {
    if (node.op == Op::input || node.op == Op::state) continue;
    LabelScope label(rewriter.target(), node.label);
    if (!visit(rewriter, node)) rewriter.copy(node);
  }
  return rewriter.finish();
}

}  // namespace kiln::graph
