#include "graph/passes/rematerialize.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>

#include "graph/elemental.h"
#include "graph/ops/winograd.h"
#include "graph/passes/groups.h"
#include "graph/passes/lives.h"
#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace kiln::graph {
namespace {

constexpr std::string_view prefix = "recompute/";
constexpr double multiply_adds_per_element = 13;  // in the time that memory takes to deliver one float
constexpr double slow_op = 20;                    // sorting and the like, by element
constexpr int most_nodes = 64;                    // computed anew for one value
constexpr int never = std::numeric_limits<int>::max();

double elements(Value v) {
  return static_cast<double>(v.shape().elements());
}

// Multiply-adds of a product or convolution.
double multiply_adds(const Node& n) {
  if (n.op == Op::winograd_conv || n.op == Op::winograd_kernel_grad) {
    const auto edge = static_cast<double>(winograd::results(n.attributes.integer("window")));
    const Value y = n.op == Op::winograd_conv ? n.value() : n.operand(1);
    const bool last = n.op == Op::winograd_conv && n.attributes.flag("batch_last");
    const auto channels = static_cast<double>(n.operand(0).shape().dim(last ? -2 : -1));
    return elements(y) / (edge * edge) * static_cast<double>(winograd::positions) * channels;
  }
  if (n.op == Op::dot_panels) return elements(n.value()) * static_cast<double>(n.operand(1).shape()[1]);
  // A kernel (or matrix) has so many elements for one filter (or column), and each result needs them all.
  const Shape& kernel = n.operand(1).shape();
  const double sums = n.op == Op::conv_kernel_sums ? static_cast<double>(n.type().shape[0]) : 1;
  return elements(n.value()) / sums * elements(n.operand(1)) /
         static_cast<double>(kernel.empty() ? 1 : kernel.back());
}

// Of computing the node once, in elements that are read from memory or written.
double cost(const Node& n) {
  if (definition(n.op).op_class == OpClass::leaf || n.op == Op::reshape) return 0;
  const double results = elements(n.value());
  switch (n.op) {
    case Op::dot:
    case Op::dot_panels:
    case Op::conv:
    case Op::conv_input_grad:
    case Op::conv_kernel_grad:
    case Op::conv_batch_last:
    case Op::conv_kernel_sums:
    case Op::winograd_conv:
    case Op::winograd_kernel_grad:
      return results + multiply_adds(n) / multiply_adds_per_element;
    default:
      break;
  }
  double read = 0;
  for (Value v : n.operands) read = std::max(read, elements(v));
  if (is_elemental(n)) return is_expensive(n) ? 4 * results : results;
  switch (n.op) {
    case Op::window_sum:
    case Op::window_max:
    case Op::window_argmax:
    case Op::window_max_grad:
      return read + results;
    default:
      break;
  }
  if (is_reduction(n.op)) return read + results;
  return slow_op * (read + results);
}

// A value that is dropped while the peak passes: those that read it at step `from` or later read another one.
struct Pick {
  Value value;
  std::int64_t bytes = 0;
  int from = 0;
  double cost = 0;
};

class Rematerializer {
 public:
  explicit Rematerializer(const Plan& plan)
      : plan_(plan), lives_(plan), first_step_(plan.graph->nodes().size(), never) {
    for (std::size_t s = 0; s < plan.schedule.size(); s++)
      for (const Node* n : plan.schedule[s].group.nodes)
        first_step_[index(*n)] = std::min(first_step_[index(*n)], static_cast<int>(s));
  }

  std::optional<Graph> run(std::size_t rank) {
    std::vector<Pick> picks = candidates();
    if (rank >= picks.size()) return {};
    pick_ = picks[rank];
    return dce(
        Rewriter::run(*plan_.graph, [&](Rewriter& rewriter, const Node& n) { return rewrite(rewriter, n); }));
  }

 private:
  static std::size_t index(const Node& n) { return static_cast<std::size_t>(n.id); }

  // ---- choice ---------------------------------------------------------------------------------------------

  std::vector<Pick> candidates() const {
    const int peak = lives_.peak();
    std::vector<Pick> picks;
    for (const Life& life : lives_.all()) {
      if (life.kept) continue;  // from run to run: a copy would be kept as well
      const auto next = std::upper_bound(life.reads.begin(), life.reads.end(), peak);
      const bool waits =
          life.first < peak && next != life.reads.end() && (next == life.reads.begin() || *(next - 1) < peak);
      if (!waits) continue;
      Pick pick{life.value, life.bytes, *next};
      std::unordered_set<const Node*> nodes;
      if (add_cost(life.value, pick, nodes)) picks.push_back(pick);
    }
    std::sort(picks.begin(), picks.end(), [](const Pick& a, const Pick& b) {
      const double gain_of_a = static_cast<double>(a.bytes) * b.cost;
      const double gain_of_b = static_cast<double>(b.bytes) * a.cost;
      return gain_of_a != gain_of_b ? gain_of_a > gain_of_b : a.value.node->id < b.value.node->id;
    });
    return picks;
  }

  // Is it the picked value or, if that is a concatenation, a part of it?
  bool is_dropped(Value v, const Pick& pick) const {
    const Life* life = lives_.of(v);
    return life != nullptr && life->value == pick.value;
  }

  // Is the value in memory at that step, whatever is done here?
  bool is_there(Value v, const Pick& pick) const {
    if (is_dropped(v, pick)) return false;
    if (is_immediate(*v.node)) return true;
    if (definition(v.node->op).op_class == OpClass::leaf && v.node->op != Op::iota) return true;
    const Life* life = lives_.of(v);
    return life != nullptr && life->last >= pick.from;
  }

  // Of the nodes that compute v from what is there. False if they are too many.
  bool add_cost(Value v, Pick& pick, std::unordered_set<const Node*>& nodes) const {
    if (is_there(v, pick) || !nodes.insert(v.node).second) return true;
    if (nodes.size() > most_nodes) return false;
    pick.cost += cost(*v.node);
    return std::all_of(v.node->operands.begin(), v.node->operands.end(),
                       [&](Value operand) { return add_cost(operand, pick, nodes); });
  }

  // ---- the new graph --------------------------------------------------------------------------------------

  using Copies = std::unordered_map<const Node*, const Node*>;

  bool rewrite(Rewriter& rewriter, const Node& n) {
    const int step = first_step_[index(n)];
    if (step < pick_.from || step == never) return false;  // views: those that read through them decide
    std::vector<Value> operands;
    bool changed = false;
    Copies copies;
    for (Value v : n.operands) {
      const bool late = reads_dropped(v, step);
      operands.push_back(late ? late_value(rewriter, v, step, copies) : rewriter(v));
      changed |= late;
    }
    if (!changed) return false;
    const Node& copied = rewriter.target().emit(n.op, std::move(operands), n.attributes);
    for (int i = 0; i < static_cast<int>(n.results.size()); i++)
      rewriter.replace(n.value(i), copied.value(i));
    return true;
  }

  // Is v the dropped value, or evaluated from it by the late group at `step`? Of what is evaluated in early
  // groups as well, the late ones get a copy; what is in late ones only is rewritten itself.
  bool reads_dropped(Value v, int step) const {
    if (is_dropped(v, pick_)) return true;
    if (first_step_[index(*v.node)] != never) {
      if (first_step_[index(*v.node)] >= pick_.from) return false;
      const std::vector<const Node*>& inside = plan_.schedule[static_cast<std::size_t>(step)].group.nodes;
      if (std::find(inside.begin(), inside.end(), v.node) == inside.end()) return false;  // an array
    }
    return std::any_of(v.node->operands.begin(), v.node->operands.end(),
                       [&](Value operand) { return reads_dropped(operand, step); });
  }

  // What the group at `step` reads or evaluates instead of v.
  Value late_value(Rewriter& rewriter, Value v, int step, Copies& copies) {
    if (is_dropped(v, pick_)) return recomputed(rewriter, v);
    if (!reads_dropped(v, step)) return rewriter(v);
    return copy(rewriter, v, copies,
                [&](Value operand) { return late_value(rewriter, operand, step, copies); });
  }
  Value recomputed(Rewriter& rewriter, Value v) {
    if (is_there(v, pick_)) return rewriter(v);
    return copy(rewriter, v, anew_, [&](Value operand) { return recomputed(rewriter, operand); });
  }
  template <class Operand>
  Value copy(Rewriter& rewriter, Value v, Copies& copies, Operand&& operand) {
    const Node& n = *v.node;
    if (const auto known = copies.find(&n); known != copies.end()) return known->second->value(v.result);
    std::vector<Value> operands;
    for (Value o : n.operands) operands.push_back(operand(o));
    const LabelScope label(rewriter.target(), is_recomputed(n) ? n.label : std::string(prefix) + n.label);
    const Node& copied = rewriter.target().emit(n.op, std::move(operands), n.attributes);
    copies[&n] = &copied;
    return copied.value(v.result);
  }

  const Plan& plan_;
  Lives lives_;
  std::vector<int> first_step_;  // by node: the first group that evaluates it
  Pick pick_;
  Copies anew_;  // of the nodes that compute the picked value
};

}  // namespace

std::optional<Graph> rematerialize(const Plan& plan, std::size_t rank) {
  return Rematerializer(plan).run(rank);
}

bool is_recomputed(const Node& node) {
  return node.label.starts_with(prefix);
}

}  // namespace kiln::graph
