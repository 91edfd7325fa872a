#pragma once
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "graph/plan.h"

/// What fusion, schedule and memory planning share: which array holds a value, and how a group reads it.
namespace kiln::graph {

// They bound compile time and registers.
inline constexpr std::size_t most_nodes_of_a_group = 128, most_outputs_of_a_group = 8;

struct ValueHash {
  std::size_t operator()(const Value& v) const {
    return std::hash<const Node*>{}(v.node) * 31 + static_cast<std::size_t>(v.result);
  }
};

/// Fills in what follows from a group's root, siblings, nodes and outputs: `inputs`, `space` and `name`.
/// Nodes are put into topological order.
void complete_group(Group& group);

/// Which array holds a value. A group's outputs, inputs, states and constants are arrays of their own, with
/// three exceptions, which no group computes: a reshape is another view of its operand's array, a slice a
/// part of it, and the operands of a concatenation are parts of one array, the concatenation's.
class Arrays {
 public:
  Arrays(const Graph& graph, std::span<const Group> groups);

  struct Place {
    Value array;
    std::optional<Part> part = {};  ///< none: all of the array
  };
  /// Throws InternalError if nothing computes `v`.
  Place place_of(Value v) const;
  Value array_of(Value v) const { return place_of(v).array; }

  /// The results of groups, and inputs, states and constants, that make up the array of `v`.
  std::vector<Value> written(Value v) const;
  /// The group that computes such a result, or -1 for inputs, states and constants.
  int producer(Value written) const;

 private:
  Value without_views(Value v) const;
  bool is_computed(Value v) const { return producer_.count(v) > 0; }
  bool is_assembled(Value v) const { return v.node->op == Op::concatenate && !is_computed(v); }
  void find_parts(Value read);

  std::unordered_map<Value, int, ValueHash> producer_;
  std::unordered_map<Value, Part, ValueHash> parts_;  // of concatenations
};

/// For each of the groups' outputs that exactly one group needs, and reads as it was written (not a view or a
/// part of it, nor what it is a part of): that group. Outputs and states of the graph need theirs, too.
std::unordered_map<Value, int, ValueHash> only_readers(const Graph& graph, std::span<const Group> groups);

/// Takes those out whose numbers are given.
void remove_groups(std::vector<Group>& groups, const std::set<std::size_t>& numbers);

/// For each of the group's inputs: true if the kernel reads element i of it only to compute element i of the
/// outputs, so that an output may be written over it.
std::vector<bool> reads_at_own_index(const Group& group);

/// Bytes of a value's elements.
std::int64_t bytes_of(Value v);

}  // namespace kiln::graph
