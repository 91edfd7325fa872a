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
    if (n == group.root || definition(n->op).op_class == OpClass::elementwise || group.nodes.size() == 1)
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
  if (!group.outputs.empty())
    group.space = group.outputs.front().shape();
  else if (group.root)
    group.space = group.root->operand(0).shape();  // a check: as many rows as it looks at
  group.name = group_name(group);
}

Arrays::Arrays(std::span<const Group> groups) {
  for (std::size_t g = 0; g < groups.size(); g++)
    for (Value v : groups[g].outputs)
      if (!producer_.emplace(v, static_cast<int>(g)).second)
        throw InternalError(fmt::format("two groups compute the same value: {}", print(*v.node)));
}

Value Arrays::array_of(Value v) const {
  while (!producer_.count(v)) {
    if (definition(v.node->op).op_class == OpClass::leaf && v.node->op != Op::iota) return v;
    if (v.node->op != Op::reshape) throw InternalError(fmt::format("no group computes {}", print(*v.node)));
    v = v.node->operand(0);
  }
  return v;
}

int Arrays::producer(Value array) const {
  const auto at = producer_.find(array);
  return at == producer_.end() ? -1 : at->second;
}

std::vector<bool> reads_at_own_index(const Group& group) {
  // Users first: a node is evaluated only at the index being written if all its users in the group are
  // elementwise nodes for which that holds.
  std::unordered_set<const Node*> moved;  // evaluated at other indices (too)
  std::vector<bool> own(group.inputs.size(), true);
  for (std::size_t k = group.nodes.size(); k-- > 0;) {
    const Node& n = *group.nodes[k];
    const bool keeps = definition(n.op).op_class == OpClass::elementwise && n.type().shape == group.space &&
                       !moved.count(&n);
    if (keeps) continue;
    for (Value v : n.operands) {
      moved.insert(v.node);
      for (std::size_t i = 0; i < group.inputs.size(); i++)
        if (group.inputs[i] == v) own[i] = false;
    }
  }
  return own;
}

}  // namespace kiln::graph
