#pragma once
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kiln/graph/attributes.h"

namespace kiln::graph {

enum class Op : std::uint8_t {
#define KILN_OP(name) name,
#include "kiln/graph/op_list.h"
#undef KILN_OP
};
inline constexpr int op_count = 0
#define KILN_OP(name) +1
#include "kiln/graph/op_list.h"
#undef KILN_OP
    ;
KILN_API std::string_view op_name(Op op);

/// Type of a value: element type and static shape.
struct Type {
  DType dtype = DType::f32;
  Shape shape;
  friend bool operator==(const Type&, const Type&) = default;
  /// `f32[128,10]`
  std::string to_string() const;
};

struct Node;
class Graph;

/// One result of a node. A cheap handle; null by default.
struct Value {
  const Node* node = nullptr;
  int result = 0;

  explicit operator bool() const { return node != nullptr; }
  /// Throws StateError for an empty Value, as what follows.
  const Type& type() const;
  DType dtype() const { return type().dtype; }
  const Shape& shape() const { return type().shape; }
  int rank() const { return type().shape.rank(); }
  Graph& graph() const;
  friend bool operator==(const Value&, const Value&) = default;
};

/// An op applied to values. Immutable once emitted. Its operands come earlier in the graph, so `id` order is
/// a topological order.
struct Node {
  Graph* graph = nullptr;
  int id = 0;
  Op op{};
  std::vector<Value> operands;
  Attributes attributes;
  std::vector<Type> results;
  std::string label;  ///< where it comes from ("conv2d_1", "grad/conv2d_1", "adam"): for profiles and errors

  const Value& operand(int i) const { return operands[static_cast<std::size_t>(i)]; }
  Value value(int result = 0) const { return {this, result}; }
  const Type& type(int result = 0) const { return results[static_cast<std::size_t>(result)]; }
};

/// An array that lives across runs (weight, optimizer slot, metric, counter): read through a `state` node,
/// and, if `next` is set, replaced by that value at the end of a run. The plan updates it in place.
struct StateSlot {
  std::string name;
  Value current;
  Value next;
};
struct Output {
  std::string name;
  Value value;
};

/// A static dataflow graph in SSA form: a list of nodes in topological order, with named inputs, states and
/// outputs. Grows by `emit`; nothing is ever changed or removed: passes build a new graph (see Rewriter).
class KILN_API Graph {
 public:
  explicit Graph(std::string name = "graph");
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;
  ~Graph();

  std::string name;

  /// A new input, in call order.
  Value input(std::string name, Type type);
  /// A new state, in call order; read by the returned value.
  Value state(std::string name, Type type);
  /// Sets what the state becomes at the end of a run. Throws if the type differs from the state's.
  void update(Value state, Value next);
  void output(std::string name, Value value);

  /// Appends a node. The op's shape rule runs here and throws ShapeError or TypeError.
  const Node& emit(Op op, std::vector<Value> operands, Attributes attributes = {});

  const std::deque<Node>& nodes() const { return nodes_; }
  const std::vector<Value>& inputs() const { return inputs_; }
  const std::vector<StateSlot>& states() const { return states_; }
  const std::vector<Output>& outputs() const { return outputs_; }
  /// Every `check` node, in order: they are roots, as outputs and state updates are.
  std::vector<const Node*> checks() const;
  const std::string& input_name(int i) const;

  /// Label given to the nodes emitted from now on; see LabelScope.
  std::string label;

 private:
  std::deque<Node> nodes_;  // a deque: handles stay valid while it grows
  std::vector<Value> inputs_;
  std::vector<std::string> input_names_;
  std::vector<StateSlot> states_;
  std::vector<Output> outputs_;
};

/// Sets the graph's label for a scope.
class LabelScope {
 public:
  LabelScope(Graph& graph, std::string label) : graph_(graph), saved_(std::move(graph.label)) {
    graph.label = std::move(label);
  }
  ~LabelScope() { graph_.label = std::move(saved_); }
  LabelScope(const LabelScope&) = delete;
  LabelScope& operator=(const LabelScope&) = delete;

 private:
  Graph& graph_;
  std::string saved_;
};

/// Throws StateError: an op was applied to a Value that no op made.
[[noreturn]] KILN_API void throw_empty_value();

inline const Type& Value::type() const {
  if (node == nullptr) throw_empty_value();
  return node->results[static_cast<std::size_t>(result)];
}
inline Graph& Value::graph() const {
  if (node == nullptr) throw_empty_value();
  return *node->graph;
}

// ---- text -------------------------------------------------------------------------------------------------
//
//   graph mlp {
//     %0 = input "x" : f32[128,784]
//     %1 = state "dense/kernel" : f32[784,10]
//     %2 = dot(%0, %1) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[128,10]  # dense
//     %3 = top_k(%2) {k=2} : f32[128,2], i32[128,2]
//     update %1 = %5
//     output "logits" = %3#1
//   }
//
// Values print as %id, or %id#result for results other than the first. What follows `#` at a line's end is
// the label. Printing renumbers by position.

KILN_API std::string print(const Graph& graph);
KILN_API std::string print(const Node& node);
/// Reads what print writes. Throws ValueError with line and reason; types are checked against the shape rules.
KILN_API Graph parse(std::string_view text);

/// Throws InternalError naming the first node that breaks a rule: operands of this graph and earlier, the
/// shape rule agrees with the stored types, attributes complete, outputs and updates of the right type.
KILN_API void verify(const Graph& graph);

}  // namespace kiln::graph
