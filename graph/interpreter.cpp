#include "kiln/graph/interpreter.h"

#include <fmt/format.h>

#include <string>

#include "graph/op_def.h"

namespace kiln::graph {
namespace {

// ---- widening ---------------------------------------------------------------------------------------------

DType widen(DType t) {
  return t == DType::f32 ? DType::f64 : t;
}

Attributes widen(const Attributes& attributes) {
  Attributes result;
  for (const auto& [name, value] : attributes) {
    if (const DType* t = std::get_if<DType>(&value))
      result.set(name, widen(*t));
    else if (const Tensor* t = std::get_if<Tensor>(&value))
      result.set(name, t->astype(widen(t->dtype())));
    else
      result.set(name, value);
  }
  return result;
}

// The same nodes with the same ids, over f64 where they were f32: the types follow by the shape rules.
Graph widen(const Graph& graph) {
  Graph wide(graph.name);
  const auto mapped = [&](Value v) {
    return wide.nodes()[static_cast<std::size_t>(v.node->id)].value(v.result);
  };
  for (const Node& node : graph.nodes()) {
    std::vector<Value> operands;
    for (Value v : node.operands) operands.push_back(mapped(v));
    LabelScope label(wide, node.label);
    wide.emit(node.op, std::move(operands), widen(node.attributes));
  }
  for (const StateSlot& slot : graph.states())
    if (slot.next) wide.update(mapped(slot.current), mapped(slot.next));
  for (const Output& o : graph.outputs()) wide.output(o.name, mapped(o.value));
  return wide;
}

// ---- evaluation -------------------------------------------------------------------------------------------

class Interpreter {
 public:
  Interpreter(const Graph& graph, const InterpreterOptions& options)
      : graph_(graph), options_(options), values_(graph.nodes().size()) {}

  /// `given` as the value of an input or state.
  void set(Value v, const std::string& what, const Tensor& given) {
    if (!given.defined()) throw ValueError(fmt::format("{} has no value", what));
    const Tensor t = options_.widen ? given.astype(widen(given.dtype())) : given;
    if (t.dtype() != v.dtype())
      throw TypeError(fmt::format("{} is {}; it must be {}", what, name(given.dtype()), name(v.dtype())));
    if (t.shape() != v.shape())
      throw ShapeError(fmt::format("{} has the shape {}; it must be {}", what, given.shape().to_string(),
                                   v.shape().to_string()));
    values_[static_cast<std::size_t>(v.node->id)] = {t.contiguous()};
  }

  void run() {
    for (const Node& node : graph_.nodes()) {
      if (node.op == Op::input || node.op == Op::state) continue;
      std::vector<Tensor> operands;
      for (Value v : node.operands) operands.push_back((*this)(v));
      std::vector<Tensor>& results = values_[static_cast<std::size_t>(node.id)];
      for (const Type& type : node.results) results.emplace_back(type.shape, type.dtype);
      definition(node.op).evaluate({node, operands, results});
    }
  }

  const Tensor& operator()(Value v) const {
    return values_[static_cast<std::size_t>(v.node->id)][static_cast<std::size_t>(v.result)];
  }
  /// Result 0 of a node; undefined if it has no results.
  Tensor first(const Node& node) const {
    const std::vector<Tensor>& results = values_[static_cast<std::size_t>(node.id)];
    return results.empty() ? Tensor() : results[0];
  }

 private:
  const Graph& graph_;
  const InterpreterOptions options_;
  std::vector<std::vector<Tensor>> values_;  // by node id and result
};

void require_count(std::size_t got, std::size_t expected, const char* what) {
  if (got != expected)
    throw ValueError(fmt::format("interpret: {} {} given; the graph has {}", got, what, expected));
}

}  // namespace

InterpreterResult interpret(const Graph& graph, std::span<const Tensor> inputs,
                            std::span<const Tensor> states, InterpreterOptions options) {
  if (options.widen) {
    bool has_f32 = false;
    for (const Node& node : graph.nodes())
      for (const Type& type : node.results) has_f32 = has_f32 || type.dtype == DType::f32;
    if (has_f32) return interpret(widen(graph), inputs, states, options);
  }
  require_count(inputs.size(), graph.inputs().size(), "inputs");
  require_count(states.size(), graph.states().size(), "states");
  Interpreter interpreter(graph, options);
  for (std::size_t i = 0; i < inputs.size(); i++)
    interpreter.set(graph.inputs()[i], fmt::format("input \"{}\"", graph.input_name(static_cast<int>(i))),
                    inputs[i]);
  for (std::size_t i = 0; i < states.size(); i++)
    interpreter.set(graph.states()[i].current, fmt::format("state \"{}\"", graph.states()[i].name),
                    states[i]);
  interpreter.run();

  InterpreterResult result;
  for (const Output& o : graph.outputs()) result.outputs.push_back(interpreter(o.value));
  for (const StateSlot& slot : graph.states())
    result.states.push_back(interpreter(slot.next ? slot.next : slot.current));
  for (const Node& node : graph.nodes()) result.values.push_back(interpreter.first(node));
  return result;
}

std::string format_check(std::string_view message, std::int64_t row, double value) {
  return DataError(std::string(message), row, value).what();
}

}  // namespace kiln::graph
