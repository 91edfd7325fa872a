#pragma once
#include <span>
#include <unordered_map>
#include <vector>

#include "graph/plan.h"

/// What fusion, schedule and memory planning share: which array holds a value, and how a group reads it.
namespace kiln::graph {

struct ValueHash {
  std::size_t operator()(const Value& v) const {
    return std::hash<const Node*>{}(v.node) * 31 + static_cast<std::size_t>(v.result);
  }
};

/// Fills in what follows from a group's root, siblings, nodes and outputs: `inputs`, `space` and `name`.
/// Nodes are put into topological order.
void complete_group(Group& group);

/// Which array holds a value. A group's outputs, inputs, states and constants are arrays of their own; a
/// reshape that no group computes is a view of its operand's array.
class Arrays {
 public:
  explicit Arrays(std::span<const Group> groups);

  /// The value whose array holds `v`. Throws InternalError if nothing computes it.
  Value array_of(Value v) const;
  /// The group that writes an array (of array_of), or -1 for inputs, states and constants.
  int producer(Value array) const;

 private:
  std::unordered_map<Value, int, ValueHash> producer_;
};

/// For each of the group's inputs: true if the kernel reads element i of it only to compute element i of the
/// outputs, so that an output may be written over it.
std::vector<bool> reads_at_own_index(const Group& group);

/// Bytes of a value's elements.
std::int64_t bytes_of(Value v);

}  // namespace kiln::graph
