#include <fmt/format.h>

#include <unordered_set>

#include "graph/op_def.h"

namespace kiln::graph {
namespace {

class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph) {
    for (const Node& node : graph.nodes()) own_.insert(&node);
  }

  void run() {
    int position = 0;
    for (const Node& node : graph_.nodes()) verify_node(node, position++);
    verify_leaves();
    for (const StateSlot& slot : graph_.states()) {
      if (!slot.next) continue;
      const std::string where = fmt::format("update of \"{}\"", slot.name);
      verify_value(slot.next, position, where, "the new value");
      if (slot.next.type() != slot.current.type()) broken(where, "the new value has another type");
    }
    for (const Output& o : graph_.outputs())
      verify_value(o.value, position, fmt::format("output \"{}\"", o.name), "the value");
  }

 private:
  [[noreturn]] void broken(const std::string& where, const std::string& rule) const {
    throw InternalError(fmt::format("graph \"{}\" is broken: {}: {}", graph_.name, where, rule));
  }

  void verify_node(const Node& node, int position) const {
    const std::string where = fmt::format("node {} ({})", position, op_name(node.op));
    if (node.id != position) broken(where, fmt::format("its id is {}", node.id));
    if (node.graph != &graph_) broken(where, "it names another graph as its own");
    for (std::size_t i = 0; i < node.operands.size(); i++)
      verify_value(node.operands[i], position, where, fmt::format("operand {}", i));
    std::vector<Type> types;
    try {
      types = infer_types({node.op, node.operands, node.attributes, node.label});
    } catch (const Error& e) {
      broken(print(node), e.what());
    }
    if (types != node.results) broken(print(node), "its types are not what the op's rule says");
  }

  void verify_value(Value v, int before, const std::string& where, const std::string& what) const {
    if (!v) broken(where, what + " is null");
    // By address: a value of another graph may be dangling.
    if (own_.count(v.node) == 0) broken(where, what + " is not of this graph");
    if (v.node->id >= before) broken(where, fmt::format("{} (%{}) comes later", what, v.node->id));
    if (v.result < 0 || v.result >= static_cast<int>(v.node->results.size()))
      broken(where, fmt::format("{} is result {} of %{}, which it lacks", what, v.result, v.node->id));
  }

  void verify_leaves() const {
    std::vector<Value> inputs, states, slots;
    for (const Node& node : graph_.nodes()) {
      if (node.op == Op::input) inputs.push_back(node.value());
      if (node.op == Op::state) states.push_back(node.value());
    }
    for (const StateSlot& slot : graph_.states()) slots.push_back(slot.current);
    if (inputs != graph_.inputs()) broken("inputs", "they are not the input nodes in order");
    if (states != slots) broken("states", "they are not the state nodes in order");
  }

  const Graph& graph_;
  std::unordered_set<const Node*> own_;
};

}  // namespace

void verify(const Graph& graph) {
  Verifier(graph).run();
}

}  // namespace kiln::graph
