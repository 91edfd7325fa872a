#include "kiln/graph/graph.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "graph/op_def.h"

namespace kiln::graph {

std::string_view op_name(Op op) {
  static constexpr std::string_view names[] = {
#define KILN_OP(name) #name,
#include "kiln/graph/op_list.h"
#undef KILN_OP
  };
  return names[static_cast<std::size_t>(op)];
}

std::string Type::to_string() const {
  return fmt::format("{}[{}]", short_name(dtype), fmt::join(shape.begin(), shape.end(), ","));
}

Graph::Graph(std::string name) : name(std::move(name)) {}
Graph::~Graph() = default;

// Nodes keep their addresses (the deque hands over its blocks), so values stay valid; only the way back to
// the graph has to be set anew.
Graph::Graph(Graph&& o) noexcept
    : name(std::move(o.name)),
      label(std::move(o.label)),
      nodes_(std::move(o.nodes_)),
      inputs_(std::move(o.inputs_)),
      input_names_(std::move(o.input_names_)),
      states_(std::move(o.states_)),
      outputs_(std::move(o.outputs_)) {
  for (Node& n : nodes_) n.graph = this;
}
Graph& Graph::operator=(Graph&& o) noexcept {
  name = std::move(o.name);
  label = std::move(o.label);
  nodes_ = std::move(o.nodes_);
  inputs_ = std::move(o.inputs_);
  input_names_ = std::move(o.input_names_);
  states_ = std::move(o.states_);
  outputs_ = std::move(o.outputs_);
  for (Node& n : nodes_) n.graph = this;
  return *this;
}

Value Graph::input(std::string name, Type type) {
  return emit(Op::input, {},
              {{"name", std::move(name)}, {"dtype", type.dtype}, {"shape", type.shape.sizes()}})
      .value();
}

Value Graph::state(std::string name, Type type) {
  return emit(Op::state, {},
              {{"name", std::move(name)}, {"dtype", type.dtype}, {"shape", type.shape.sizes()}})
      .value();
}

void Graph::update(Value state, Value next) {
  for (StateSlot& slot : states_) {
    if (slot.current != state) continue;
    if (!next || &next.graph() != this)
      throw InternalError(
          fmt::format("update of state \"{}\": the new value is not of this graph", slot.name));
    const std::string message = fmt::format("update of state \"{}\": the state is {} but its new value is {}",
                                            slot.name, state.type().to_string(), next.type().to_string());
    if (next.dtype() != state.dtype()) throw TypeError(message);
    if (next.shape() != state.shape()) throw ShapeError(message);
    slot.next = next;
    return;
  }
  throw InternalError("update: the first argument is not a state of this graph");
}

void Graph::output(std::string name, Value value) {
  if (!value || &value.graph() != this)
    throw InternalError(fmt::format("output \"{}\": the value is not of this graph", name));
  outputs_.push_back({std::move(name), value});
}

void throw_empty_value() {
  throw StateError(
      "an op was applied to an empty graph::Value: give it the result of another op, or what "
      "LayerImpl::call was called with");
}

const Node& Graph::emit(Op op, std::vector<Value> operands, Attributes attributes) {
  for (std::size_t i = 0; i < operands.size(); i++) {
    if (!operands[i]) throw InternalError(fmt::format("{} ({}): operand {} is null", label, op_name(op), i));
    if (&operands[i].graph() != this)
      throw StateError(
          fmt::format("{} ({}): operand {} is of another graph; a value belongs to the function or layer "
                      "call that made it, what "
                      "goes from one to another are tensors",
                      label, op_name(op), i));
  }
  std::vector<Type> results = infer_types({op, operands, attributes, label});
  Node& node = nodes_.emplace_back(Node{this, static_cast<int>(nodes_.size()), op, std::move(operands),
                                        std::move(attributes), std::move(results), label});
  if (op == Op::input) {
    inputs_.push_back(node.value());
    input_names_.push_back(node.attributes.string("name"));
  } else if (op == Op::state) {
    states_.push_back({node.attributes.string("name"), node.value(), {}});
  }
  return node;
}

std::vector<const Node*> Graph::checks() const {
  std::vector<const Node*> found;
  for (const Node& n : nodes_)
    if (n.op == Op::check) found.push_back(&n);
  return found;
}

const std::string& Graph::input_name(int i) const {
  return input_names_.at(static_cast<std::size_t>(i));
}

}  // namespace kiln::graph
