#include <algorithm>
#include <optional>
#include <vector>

#include "graph/elemental.h"
#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"
#include "kiln/graph/ops.h"

// relu is y = select(m, 0, x) with the mask m = compare(x, 0, "le"), which its gradient needs as well. Where
// y (or y with padding, as a convolution reads it) is kept for other gradients anyway, the mask needn't be:
// it is compare(y, 0, "le").
namespace kiln::graph {
namespace {

struct Clamp {
  const Node* mask = nullptr;    ///< compare(x, bound)
  const Node* result = nullptr;  ///< select(mask, bound, x)
};

bool is_number(const Node& n) {
  return is_immediate(n) && n.attributes.tensor("value").item() == n.attributes.tensor("value").item();
}

// One number, perhaps repeated to the shape that is needed.
bool is_same_number(Value a, Value b) {
  const auto number = [](Value v) { return v.node->op == Op::broadcast ? v.node->operand(0) : v; };
  return number(a) == number(b) && is_number(*number(a).node);
}

class Masks {
 public:
  explicit Masks(const Graph& graph) : users_(graph.nodes().size()), kept_(graph.nodes().size()) {
    for (const Node& n : graph.nodes()) {
      for (Value v : n.operands) users_[index(*v.node)].push_back(&n);
      clamps_.push_back({});
    }
    // Outputs and states need an array whatever is done here.
    for (const Output& o : graph.outputs()) kept_[index(*o.value.node)] = true;
    for (const StateSlot& s : graph.states())
      if (s.next) kept_[index(*s.next.node)] = true;
    for (const Node& n : graph.nodes())
      if (const Node* mask = mask_of(n)) clamps_[index(*mask)] = {mask, &n};
  }

  /// The mask that `user` should take from a result instead, if operand `i` of it is a mask that only keeps
  /// memory.
  std::optional<Clamp> clamp(const Node& user, Value operand) const {
    const Clamp& c = clamps_[index(*operand.node)];
    if (c.mask == nullptr || &user == c.result) return {};
    return c;
  }

  /// What will hold the result to read the mask from, or null if the mask is the cheaper one to keep: by
  /// bytes times the nodes that they are kept for.
  const Node* holder(const Clamp& c) const {
    const int last_mask = last_use(*c.mask, c.result);
    if (kept_[index(*c.mask)] || last_mask <= c.result->id) return nullptr;
    const Node* best = c.result;
    for (const Node* user : users_[index(*c.result)])
      if (is_padding(*user) && last_use(*user, nullptr) > last_use(*best, nullptr)) best = user;
    const double mask_cost = 1.0 * static_cast<double>(last_mask - c.mask->id);
    const double result_cost = static_cast<double>(size_of(c.result->type().dtype)) *
                               std::max(0, last_mask - last_use(*best, nullptr));
    return result_cost < mask_cost ? best : nullptr;
  }

 private:
  static std::size_t index(const Node& n) { return static_cast<std::size_t>(n.id); }

  static const Node* mask_of(const Node& n) {
    if (n.op != Op::select) return nullptr;
    const Node* mask = n.operand(0).node;
    if (mask->op != Op::compare || n.operand(2) != mask->operand(0)) return nullptr;
    // The bound itself must satisfy the comparison.
    const std::string& direction = mask->attributes.string("direction");
    if (direction != "le" && direction != "ge") return nullptr;
    if (!is_same_number(n.operand(1), mask->operand(1))) return nullptr;
    return mask;
  }
  static bool is_padding(const Node& n) {
    if (n.op != Op::pad) return false;
    const auto none = [&](const char* name) {
      const Ints& all = n.attributes.ints(name);
      return std::all_of(all.begin(), all.end(), [](std::int64_t i) { return i == 0; });
    };
    const auto negative = [&](const char* name) {
      const Ints& all = n.attributes.ints(name);
      return std::any_of(all.begin(), all.end(), [](std::int64_t i) { return i < 0; });
    };
    return none("interior") && !negative("low") && !negative("high");
  }
  int last_use(const Node& n, const Node* except) const {
    int last = n.id;
    for (const Node* user : users_[index(n)])
      if (user != except) last = std::max(last, user->id);
    return last;
  }

  std::vector<std::vector<const Node*>> users_;
  std::vector<bool> kept_;
  std::vector<Clamp> clamps_;  // by the mask's number
};

// The result without its padding.
Value result_in(Value holder, const Node& pad, const Shape& shape) {
  Ints start = pad.attributes.ints("low"), limit = start;
  for (std::size_t i = 0; i < limit.size(); i++) limit[i] += shape[i];
  return slice(holder, std::move(start), std::move(limit));
}

}  // namespace

Graph masks(const Graph& graph) {
  const Masks masks(graph);
  std::vector<Value> derived(graph.nodes().size());  // in the new graph, by the old mask's number
  return Rewriter::run(graph, [&](Rewriter& rewriter, const Node& n) {
    std::vector<Value> operands;
    bool changed = false;
    for (Value v : n.operands) {
      operands.push_back(rewriter(v));
      const std::optional<Clamp> clamp = masks.clamp(n, v);
      const Node* holder = clamp ? masks.holder(*clamp) : nullptr;
      if (holder == nullptr || holder->id >= n.id) continue;
      Value& mask = derived[static_cast<std::size_t>(v.node->id)];
      if (!mask) {
        Value result = rewriter(holder->value());
        if (holder != clamp->result) result = result_in(result, *holder, v.shape());
        mask = rewriter.target()
                   .emit(Op::compare, {result, rewriter(v.node->operand(1))}, v.node->attributes)
                   .value();
      }
      operands.back() = mask;
      changed = true;
    }
    if (!changed) return false;
    const Node& copied = rewriter.target().emit(n.op, std::move(operands), n.attributes);
    for (int i = 0; i < static_cast<int>(n.results.size()); i++)
      rewriter.replace(n.value(i), copied.value(i));
    return true;
  });
}

}  // namespace kiln::graph
