#include "graph/passes/groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "graph/elemental.h"

namespace kiln::graph {
namespace {

constexpr std::size_t ops_in_name = 6;

// "conv2d_1: conv+add+sigmoid"; movement isn't named, it is only a way of reading.
std::string group_name(const Group& group) {
  std::vector<std::string_view> ops;
  for (const Node* n : group.nodes)
    if (n == group.root || (group.rows && is_reduction(n->op)) ||
        std::find(group.pool.begin(), group.pool.end(), n) != group.pool.end() ||
        definition(n->op).op_class == OpClass::elementwise || group.nodes.size() == 1)
      ops.push_back(op_name(n->op));
  if (ops.empty())
    for (const Node* n : group.nodes)
      if (!is_immediate(*n)) ops.push_back(op_name(n->op));
  if (ops.empty()) ops.push_back("constant");
  const Node* labelled = group.root              ? group.root
                         : group.outputs.empty() ? nullptr
                                                 : group.outputs.front().node;
  std::string name = labelled && !labelled->label.empty() ? labelled->label + ": " : "";
  for (std::size_t i = 0; i < std::min(ops.size(), ops_in_name); i++)
    name += fmt::format("{}{}", i ? "+" : "", ops[i]);
  if (ops.size() > ops_in_name) name += fmt::format("+{} more", ops.size() - ops_in_name);
  return name;
}

}  // namespace

std::int64_t bytes_of(Value v) {
  return v.shape().elements() * static_cast<std::int64_t>(size_of(v.dtype()));
}

void complete_group(Group& group) {
  std::sort(group.nodes.begin(), group.nodes.end(),
            [](const Node* a, const Node* b) { return a->id < b->id; });
  const std::unordered_set<const Node*> members(group.nodes.begin(), group.nodes.end());
  group.inputs.clear();
  for (const Node* n : group.nodes)
    for (int i = 0; i < static_cast<int>(n->operands.size()); i++) {
      const Value v = n->operand(i);
      if (members.count(v.node) && !reads_array(*n, i)) continue;
      if (std::find(group.inputs.begin(), group.inputs.end(), v) == group.inputs.end())
        group.inputs.push_back(v);
    }
  if (group.rows)
    group.space = group.root->operand(0).shape();
  else if (!group.outputs.empty())
    group.space = group.outputs.front().shape();
  else if (group.root)
    group.space = group.root->operand(0).shape();  // a check: as many rows as it looks at
  group.name = group_name(group);
}

Arrays::Arrays(const Graph& graph, std::span<const Group> groups) {
  for (std::size_t g = 0; g < groups.size(); g++)
    for (Value v : groups[g].outputs)
      if (!producer_.emplace(v, static_cast<int>(g)).second)
        throw InternalError(fmt::format("two groups compute the same value: {}", print(*v.node)));
  for (const Group& g : groups)
    for (Value v : g.inputs) find_parts(v);
  for (const Output& o : graph.outputs()) find_parts(o.value);
}

// Takes off what is only another way of looking at an array: what is left is all of one, or a part of a
// concatenation.
Value Arrays::without_views(Value v) const {
  while (!is_computed(v) && (v.node->op == Op::reshape || v.node->op == Op::slice)) v = v.node->operand(0);
  const bool is_leaf = definition(v.node->op).op_class == OpClass::leaf && v.node->op != Op::iota;
  if (!is_computed(v) && !is_leaf && !is_assembled(v))
    throw InternalError(fmt::format("no group computes {}", print(*v.node)));
  return v;
}

void Arrays::find_parts(Value read) {
  const Value whole = without_views(read);
  if (!is_assembled(whole)) return;
  const auto axis = static_cast<std::size_t>(whole.node->attributes.integer("axis"));
  Ints start(static_cast<std::size_t>(whole.rank()), 0);
  for (Value v : whole.node->operands) {
    const auto [at, is_new] = parts_.emplace(v, Part{whole, start});
    if (!is_computed(v) || at->second != Part{whole, start})
      throw InternalError(fmt::format("{} can't be a part of {}", print(*v.node), print(*whole.node)));
    start[axis] += v.shape()[axis];
  }
}

Arrays::Place Arrays::place_of(Value v) const {
  if (const auto part = parts_.find(v); part != parts_.end()) return {part->second.whole, part->second};
  if (without_views(v) == v) return {v};
  Place place = place_of(v.node->operand(0));
  if (v.node->op == Op::slice) {
    const Ints& start = v.node->attributes.ints("start");
    if (!place.part) place.part = Part{v.node->operand(0), Ints(start.size(), 0)};
    for (std::size_t i = 0; i < start.size(); i++) place.part->start[i] += start[i];
  } else if (place.part) {
    throw InternalError(fmt::format("the elements of {} lie apart", print(*v.node)));
  }
  return place;
}

std::vector<Value> Arrays::written(Value v) const {
  const Value whole = without_views(v);
  if (!is_assembled(whole)) return {whole};
  return whole.node->operands;
}

int Arrays::producer(Value written) const {
  const auto at = producer_.find(written);
  return at == producer_.end() ? -1 : at->second;
}

std::unordered_map<Value, int, ValueHash> only_readers(const Graph& graph, std::span<const Group> groups) {
  constexpr int none = -1;
  const Arrays arrays(graph, groups);
  std::unordered_map<Value, int, ValueHash> readers;
  const auto add = [&](Value v, int reader) {
    for (Value written : arrays.written(v)) {
      const int by = written == v ? reader : none;
      const auto [at, first] = readers.try_emplace(written, by);
      if (!first && at->second != by) at->second = none;
    }
  };
  for (std::size_t g = 0; g < groups.size(); g++)
    for (Value v : groups[g].inputs) add(v, static_cast<int>(g));
  for (const Output& o : graph.outputs()) add(o.value, none);
  for (const StateSlot& s : graph.states())
    if (s.next) add(s.next, none);
  for (auto at = readers.begin(); at != readers.end();) at = at->second == none ? readers.erase(at) : ++at;
  return readers;
}

void remove_groups(std::vector<Group>& groups, const std::set<std::size_t>& numbers) {
  for (auto g = numbers.rbegin(); g != numbers.rend(); ++g)
    groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(*g));
}

std::vector<bool> reads_at_own_index(const Group& group) {
  // Users first: a node is evaluated only at the index being written if all its users in the group are
  // elementwise nodes for which that holds. A reduction of a row reads the row before it is written.
  std::unordered_set<const Node*> moved;  // evaluated at other indices (too)
  std::vector<bool> own(group.inputs.size(), true);
  for (std::size_t k = group.nodes.size(); k-- > 0;) {
    const Node& n = *group.nodes[k];
    const bool own_row = group.rows && is_reduction(n.op);
    const bool own_element =
        definition(n.op).op_class == OpClass::elementwise && n.type().shape == group.space;
    if (own_row || (own_element && !moved.count(&n))) continue;
    for (Value v : n.operands) {
      moved.insert(v.node);
      for (std::size_t i = 0; i < group.inputs.size(); i++)
        if (group.inputs[i] == v) own[i] = false;
    }
  }
  return own;
}

}  // namespace kiln::graph
