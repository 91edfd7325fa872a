#include "graph/rows.h"

#include <algorithm>
#include <unordered_set>

#include "graph/elemental.h"

namespace kiln::graph {
namespace {

// Vectors of 16 lanes fold sums of more than 4 elements. Rows beyond 128 KB of floats fill much of the cache.
constexpr std::int64_t shortest_row = 8, longest_row = 32767;

// Does the broadcast give each row's element to that row?
bool spreads_along_rows(const Node& broadcast, const Shape& space) {
  const Ints& dims = broadcast.attributes.ints("dims");
  const Shape& from = broadcast.operand(0).shape();
  for (std::size_t i = 0; i < dims.size(); i++)
    if (from[i] > 1 && dims[i] >= space.rank() - 1) return false;
  return true;
}

// Null if `user` reads operand i, which is computed row by row, in its own row and at its own place.
const char* why_elsewhere(const Node& user, int i, const Shape& space) {
  const Shape& operand = user.operand(i).shape();
  if (reads_array(user, i)) return "it is read as an array";
  const bool elementwise = definition(user.op).op_class == OpClass::elementwise;
  if (operand == space) {
    const bool own = is_row_reduction(user) || (elementwise && user.type().shape == space);
    return own ? nullptr : "its elements are used at other places";
  }
  if (!holds_one_a_row(operand, space)) return "it holds neither rows nor one element a row";
  if (user.op == Op::broadcast && user.type().shape == space)
    return spreads_along_rows(user, space) ? nullptr : "its elements are used in other rows";
  const bool keeps = elementwise || user.op == Op::reshape || user.op == Op::broadcast;
  return keeps && holds_one_a_row(user.type().shape, space) ? nullptr : "its elements are used in other rows";
}

}  // namespace

bool is_row_reduction(const Node& node) {
  if (!is_reduction(node.op)) return false;
  const Shape& shape = node.operand(0).shape();
  const Ints& axes = node.attributes.ints("axes");
  if (shape.rank() < 2 || shape.elements() == 0 || axes != Ints{shape.rank() - 1}) return false;
  const std::int64_t length = shape[static_cast<std::size_t>(axes[0])];
  return length >= shortest_row && length <= longest_row;
}

std::int64_t row_count(const Shape& space) {
  return space.elements() / space[static_cast<std::size_t>(space.rank() - 1)];
}

bool holds_one_a_row(const Shape& shape, const Shape& space) {
  return shape != space && shape.elements() == row_count(space);
}

RowLevels row_levels(std::span<const Node* const> nodes) {
  RowLevels levels;
  for (const Node* n : nodes) {
    int level = 0;
    for (int i = 0; i < static_cast<int>(n->operands.size()); i++)
      if (const auto at = levels.find(n->operand(i).node); at != levels.end() && !reads_array(*n, i))
        level = std::max(level, at->second);
    levels[n] = level + (is_reduction(n->op) ? 1 : 0);
  }
  return levels;
}

const char* why_not_by_rows(std::span<const Node* const> nodes, std::span<const Value> outputs,
                            const Shape& space) {
  for (Value v : outputs)
    if (v.shape() != space && !holds_one_a_row(v.shape(), space))
      return "it writes neither rows nor one element a row";
  const RowLevels levels = row_levels(nodes);
  // What is computed once, for its own row: outputs, what comes after reductions, and what is made of these.
  std::unordered_set<const Node*> tied;
  for (const Node* n : nodes) {
    if (is_reduction(n->op) && (!is_row_reduction(*n) || n->operand(0).shape() != space))
      return "its reductions are over other elements";
    const bool is_output = std::any_of(outputs.begin(), outputs.end(), [&](Value v) { return v.node == n; });
    bool is_tied = is_output || levels.at(n) > 0;
    for (int i = 0; i < static_cast<int>(n->operands.size()); i++) {
      if (!tied.count(n->operand(i).node)) continue;
      if (const char* reason = why_elsewhere(*n, i, space)) return reason;
      is_tied = true;
    }
    if (is_tied) tied.insert(n);
  }
  return nullptr;
}

}  // namespace kiln::graph
