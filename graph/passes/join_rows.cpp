#include "graph/passes/join_rows.h"

#include <algorithm>
#include <optional>
#include <set>

#include "graph/elemental.h"
#include "graph/passes/groups.h"
#include "graph/passes/rematerialize.h"
#include "graph/rows.h"

namespace kiln::graph {
namespace {

// A kernel's parallel work are its rows. Few long ones are better cut in pieces, by kernels that can.
constexpr std::int64_t few_rows = 8, long_row = 4096;

std::size_t width(const Node& reduction) {
  return std::max(size_of(reduction.operand(0).dtype()), size_of(reduction.type().dtype));
}

// The space of a group that holds reductions over rows; none if it has no such form.
std::optional<Shape> row_space(const Group& g) {
  if (g.rows) return g.space;
  if (!g.root || !is_row_reduction(*g.root)) return std::nullopt;
  // Reductions of one group have vectors of the same width, which decide the order of sums. That must stay so
  // in whatever group they are, for what is joined may hang on the number of rows.
  for (const Node* n : g.siblings)
    if (width(*n) != width(*g.root)) return std::nullopt;
  const Shape& space = g.root->operand(0).shape();
  const bool long_rows = space[static_cast<std::size_t>(space.rank() - 1)] > long_row;
  if (row_count(space) < few_rows && long_rows) return std::nullopt;
  return space;
}

// Reductions over its rows, or a map over its elements or over its rows.
bool works_on(const Group& g, const Shape& space) {
  if (g.root) return row_space(g) == space;
  return g.space == space || holds_one_a_row(g.space, space);
}

bool recomputes(const Group& g) {
  return std::any_of(g.nodes.begin(), g.nodes.end(), [](const Node* n) { return is_recomputed(*n); });
}

class RowJoiner {
 public:
  RowJoiner(const Graph& graph, std::vector<Group> groups, FusionLog* log)
      : graph_(graph), groups_(std::move(groups)), log_(log) {}

  std::vector<Group> run() {
    const bool any =
        std::any_of(groups_.begin(), groups_.end(), [](const Group& g) { return row_space(g).has_value(); });
    while (any && join_one()) {
    }
    return std::move(groups_);
  }

 private:
  int count() const { return static_cast<int>(groups_.size()); }
  Group& group(int g) { return groups_[static_cast<std::size_t>(g)]; }
  const std::vector<int>& readers(int g) const { return readers_[static_cast<std::size_t>(g)]; }

  void find_readers() {
    arrays_.emplace(graph_, groups_);
    readers_.assign(groups_.size(), {});
    for (int g = 0; g < count(); g++)
      for (Value v : group(g).inputs)
        for (Value array : arrays_->written(v)) {
          const int producer = arrays_->producer(array);
          if (producer < 0) continue;
          std::vector<int>& of = readers_[static_cast<std::size_t>(producer)];
          if (std::find(of.begin(), of.end(), g) == of.end()) of.push_back(g);
        }
  }

  bool join_one() {
    find_readers();
    for (int a = 0; a < count(); a++)
      for (int b : readers(a)) {
        const std::optional<Shape> of_a = row_space(group(a)), of_b = row_space(group(b));
        if (!of_a && !of_b) continue;
        const Shape& space = of_a ? *of_a : *of_b;
        if (!works_on(group(a), space) || !works_on(group(b), space)) continue;
        if (refused_.count({group(a).nodes.back(), group(b).nodes.back()})) continue;
        std::optional<Group> joined;
        const char* reason = join(a, b, space, joined);
        if (log_) log_->rows(group(a), group(b), reason);
        if (reason) {
          refused_.insert({group(a).nodes.back(), group(b).nodes.back()});
          continue;
        }
        group(a) = std::move(*joined);
        groups_.erase(groups_.begin() + b);
        return true;
      }
    return false;
  }

  // Null, and the two as one group, if they can be one: b reads what a writes.
  const char* join(int a, int b, const Shape& space, std::optional<Group>& joined) {
    if (recomputes(group(a)) != recomputes(group(b))) return "one of them is computed a second time";
    if (passes_through_others(a, b)) return "what lies between them would have to wait for itself";
    Group g;
    g.rows = true;
    g.nodes = group(a).nodes;
    for (const Node* n : group(b).nodes) add(g, n);
    for (Value v : group(b).inputs)
      if (!add_views(g, v, a)) return "what it reads isn't just the other's array";
    std::sort(g.nodes.begin(), g.nodes.end(), [](const Node* x, const Node* y) { return x->id < y->id; });
    if (g.nodes.size() > most_nodes_of_a_group) return "the kernel would be too large";
    std::vector<Value> written = group(a).outputs;
    written.insert(written.end(), group(b).outputs.begin(), group(b).outputs.end());
    if (const char* reason = why_not_by_rows(g.nodes, written, space)) return reason;
    for (Value v : written)
      if (is_needed(v, a, b)) g.outputs.push_back(v);
    if (g.outputs.size() > most_outputs_of_a_group) return "the kernel would write too many arrays";
    for (const Node* n : g.nodes)
      if (is_reduction(n->op)) (g.root ? g.siblings.emplace_back() : g.root) = n;
    complete_group(g);
    joined = std::move(g);
    return nullptr;
  }
  static void add(Group& g, const Node* n) {
    if (std::find(g.nodes.begin(), g.nodes.end(), n) == g.nodes.end()) g.nodes.push_back(n);
  }
  // Adds reshapes of a's outputs, which weren't computed because what they reshape was an array. False if v
  // is another view of one: a slice of it, or a concatenation that it is a part of.
  bool add_views(Group& g, Value v, int a) const {
    const std::vector<Value> written = arrays_->written(v);
    if (std::none_of(written.begin(), written.end(), [&](Value w) { return arrays_->producer(w) == a; }))
      return true;
    for (; arrays_->producer(v) != a; v = v.node->operand(0)) {
      if (v.node->op != Op::reshape) return false;
      add(g, v.node);
    }
    return true;
  }

  // Does data flow from a to b by way of another group?
  bool passes_through_others(int a, int b) const {
    std::vector<bool> seen(groups_.size(), false);
    std::vector<int> open;
    const auto follow = [&](int g) {
      for (int next : readers(g))
        if (!seen[static_cast<std::size_t>(next)]) {
          seen[static_cast<std::size_t>(next)] = true;
          open.push_back(next);
        }
    };
    seen[static_cast<std::size_t>(b)] = true;
    follow(a);
    while (!open.empty()) {
      const int g = open.back();
      open.pop_back();
      for (int next : readers(g))
        if (next == b) return true;
      follow(g);
    }
    return false;
  }

  // Does anything but a and b need the array?
  bool is_needed(Value array, int a, int b) const {
    const auto needs = [&](Value v) {
      const std::vector<Value> written = arrays_->written(v);
      return std::find(written.begin(), written.end(), array) != written.end();
    };
    const auto is_result = [&](const Output& o) { return needs(o.value); };
    const auto is_new_state = [&](const StateSlot& s) { return s.next && needs(s.next); };
    if (std::any_of(graph_.outputs().begin(), graph_.outputs().end(), is_result) ||
        std::any_of(graph_.states().begin(), graph_.states().end(), is_new_state))
      return true;
    const std::vector<int>& others = readers(arrays_->producer(array));
    return std::any_of(others.begin(), others.end(), [&](int g) {
      const std::vector<Value>& inputs = groups_[static_cast<std::size_t>(g)].inputs;
      return g != a && g != b && std::any_of(inputs.begin(), inputs.end(), needs);
    });
  }

  const Graph& graph_;
  std::vector<Group> groups_;
  FusionLog* log_;
  std::optional<Arrays> arrays_;
  std::vector<std::vector<int>> readers_;  // by group: those that read its arrays
  std::set<std::pair<const Node*, const Node*>> refused_;
};

}  // namespace

std::vector<Group> join_rows(const Graph& graph, std::vector<Group> groups, FusionLog* log) {
  return RowJoiner(graph, std::move(groups), log).run();
}

}  // namespace kiln::graph
