#include "graph/passes/bake.h"

#include <algorithm>
#include <set>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

// A program for a device carries its weights as constants, in the form that its kernels read them:
//
//   %1 = state w; %2 = transpose(%1); dot(%0, %2)   ->   %2 = constant {transposed}; dot(%0, %2)
//
// A value is baked where the memory plan has an array of it that hangs on weights alone. What a kernel
// computes of weights on the way, such as a bias repeated for each pixel, stays the kernel's.
namespace kiln::graph {

std::vector<Value> baked_values(const Plan& plan, const std::vector<bool>& changing) {
  std::set<const Node*> states;
  for (std::size_t i = 0; i < plan.graph->states().size(); i++) {
    const StateSlot& slot = plan.graph->states()[i];
    if (!slot.next && (changing.empty() || !changing[i])) states.insert(slot.current.node);
  }
  const std::vector<bool> unchanged = comes_from(
      *plan.graph, [&](const Node& leaf) { return leaf.op == Op::constant || states.count(&leaf) > 0; });
  std::vector<Value> values;
  for (const ScheduledGroup& s : plan.schedule) {
    const auto is_baked = [&](Value v) { return unchanged[static_cast<std::size_t>(v.node->id)]; };
    if (s.group.prepared && std::all_of(s.group.outputs.begin(), s.group.outputs.end(), is_baked)) continue;
    for (Value v : s.group.inputs)
      if (v.node->op != Op::constant && is_baked(v) &&
          std::find(values.begin(), values.end(), v) == values.end())
        values.push_back(v);
  }
  return values;
}

Graph compute_values(const Graph& graph, std::span<const Value> values) {
  Rewriter rewriter(graph);
  for (const Node& node : graph.nodes()) {
    const bool is_check = node.op == Op::check;  // of inputs, which these values don't hang on
    if (!is_check && node.op != Op::input && node.op != Op::state) rewriter.copy(node);
  }
  for (std::size_t i = 0; i < values.size(); i++)
    rewriter.target().output("baked" + std::to_string(i), rewriter(values[i]));
  return dce(rewriter.target());
}

Graph bake(const Graph& graph, std::span<const Value> values, std::span<const Tensor> tensors) {
  Rewriter rewriter(graph);
  const auto bake_results = [&](const Node& node) {
    for (std::size_t i = 0; i < values.size(); i++) {
      if (values[i].node != &node) continue;
      LabelScope label(rewriter.target(), node.label);
      rewriter.replace(values[i], rewriter.target().emit(Op::constant, {}, {{"value", tensors[i]}}).value());
    }
  };
  for (const Node& node : graph.nodes()) {
    if (node.op != Op::input && node.op != Op::state) rewriter.copy(node);
    bake_results(node);
  }
  return dce(rewriter.finish());
}

}  // namespace kiln::graph
