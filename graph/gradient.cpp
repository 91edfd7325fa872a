#include "kiln/graph/gradient.h"

#include <fmt/format.h>

#include "graph/op_def.h"
#include "kiln/graph/ops.h"

namespace kiln::graph {
namespace {

class ReverseMode {
 public:
  ReverseMode(Value y, std::span<const Value> wrt) : graph_(y.graph()), last_(y.node->id) {
    adjoints_.resize(count());
    depends_.resize(count());
    for (Value w : wrt)
      if (w.node->id <= last_) depends_[index(w)] = true;
    for (std::size_t i = 0; i < count(); i++) {
      if (definition(node(i).op).gradient == nullptr) continue;  // what it gives is a constant
      for (Value operand : node(i).operands)
        if (depends_[index(operand)] && is_float(operand.dtype())) depends_[i] = true;
    }
  }

  /// Adds to what is known of v's adjoint.
  void accumulate(Value v, Value part) {
    if (part.type() != v.type())
      throw InternalError(fmt::format("the adjoint of {} is {}", print(*v.node), part.type().to_string()));
    std::vector<Value>& node_adjoints = adjoints_[index(v)];
    node_adjoints.resize(v.node->results.size());
    Value& sum = node_adjoints[static_cast<std::size_t>(v.result)];
    sum = sum ? add(sum, part) : part;
  }

  /// From y down to the first node. Users of a value come after it, so its adjoint is whole when it is
  /// reached.
  void walk() {
    for (std::size_t i = count(); i-- > 0;)
      if (!adjoints_[i].empty() && depends_[i]) step(node(i));
  }

  Value adjoint(Value v) const {
    if (v.node->id > last_ || adjoints_[index(v)].empty()) return {};
    return adjoints_[index(v)][static_cast<std::size_t>(v.result)];
  }

 private:
  void step(const Node& n) {
    const OpDef& def = definition(n.op);
    if (def.gradient == nullptr || n.operands.empty()) return;
    LabelScope label(graph_, n.label.empty() ? "grad" : "grad/" + n.label);
    const std::vector<Value> parts = def.gradient({n, adjoints_[static_cast<std::size_t>(n.id)]});
    if (parts.size() != n.operands.size())
      throw InternalError(fmt::format("the gradient of {} has {} parts", print(n), parts.size()));
    for (std::size_t i = 0; i < parts.size(); i++)
      if (parts[i] && depends_[index(n.operands[i])]) accumulate(n.operands[i], parts[i]);
  }

  std::size_t count() const { return static_cast<std::size_t>(last_) + 1; }
  const Node& node(std::size_t i) const { return graph_.nodes()[i]; }
  static std::size_t index(Value v) { return static_cast<std::size_t>(v.node->id); }

  Graph& graph_;
  const int last_;                            // y's node; what was emitted later can't matter
  std::vector<std::vector<Value>> adjoints_;  // by node and result; empty: none yet
  std::vector<bool> depends_;                 // by node: on one of wrt, through floats
};

void require_of(Value v, const Graph* graph, const char* what) {
  if (!v || &v.graph() != graph)
    throw InternalError(fmt::format("gradient: {} is {}", what, v ? "of another graph" : "null"));
}

void require_float(Value v, const char* what) {
  if (!is_float(v.dtype()))
    throw TypeError(fmt::format("gradient: {} is {}; only f32 and f64 can be differentiated", what,
                                v.type().to_string()));
}

}  // namespace

std::vector<Value> gradient_or_none(Value y, std::span<const Value> wrt, Value dy) {
  const Graph* graph = y ? &y.graph() : nullptr;
  require_of(y, graph, "the value to differentiate");
  require_float(y, "the value to differentiate");
  for (Value w : wrt) {
    require_of(w, graph, "a value to differentiate with respect to");
    require_float(w, "a value to differentiate with respect to");
  }
  if (!dy) {
    if (y.rank() != 0)
      throw ShapeError(
          fmt::format("gradient: the value to differentiate has the shape {}; reduce it to a scalar, or "
                      "give its adjoint",
                      y.shape().to_string()));
    dy = ones_like(y);
  }
  require_of(dy, graph, "the adjoint of the value to differentiate");
  if (dy.type() != y.type())
    throw ShapeError(fmt::format("gradient: the value is {} but its adjoint is {}", y.type().to_string(),
                                 dy.type().to_string()));
  ReverseMode reverse(y, wrt);
  reverse.accumulate(y, dy);
  reverse.walk();
  std::vector<Value> result;
  for (Value w : wrt) result.push_back(reverse.adjoint(w));
  return result;
}

std::vector<Value> gradient(Value y, std::span<const Value> wrt, Value dy) {
  std::vector<Value> result = gradient_or_none(y, wrt, dy);
  for (std::size_t i = 0; i < wrt.size(); i++)
    if (!result[i]) result[i] = zeros_like(wrt[i]);
  return result;
}

}  // namespace kiln::graph
