#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>

#include "graph/op_def.h"
#include "graph/ops/support.h"
#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"
#include "kiln/graph/ops.h"

// Products of one left operand by several narrow right ones (heads of a network; q, k and v of a small
// attention) become one product by all of them side by side, and so do the elementwise ops behind them:
//
//   relu(x a + b), relu(x c + d)   ->   y = relu(x [a c] + [b d]), of which both are slices
//
// Every element is summed in the same order as before, so no bit changes.
namespace kiln::graph {
namespace {

// Values of the source graph that are slices of one in the new graph, side by side along the last axis.
using Row = std::vector<Value>;

std::int64_t columns(Value v) {
  return v.shape().back();
}

// Columns that are computed for so many: registers are filled to a half or whole ones.
std::int64_t lanes(std::int64_t columns, DType dtype) {
  constexpr std::int64_t vector_bytes = 64;
  const std::int64_t vector = vector_bytes / static_cast<std::int64_t>(size_of(dtype));
  if (columns <= vector / 2) return vector / 2;
  return (columns + vector - 1) / vector * vector;
}

// Right operands that lie side by side are wider rows, which costs wide products more than it gains. Measured
// for 2 to 256 columns, 64 to 784 steps, 16 to 16384 rows: three products of 4, 10, 20 or 24 columns
// take 1.6, 1.6, 1.5 and 1.2 times as long as one by all of them, of 64 or more 0.8 to 1.1 times.
bool pays(const Row& products) {
  std::int64_t separate = 0, all = 0;
  for (Value v : products) {
    separate += lanes(columns(v), v.dtype());
    all += columns(v);
  }
  return products.size() > 1 && 8 * lanes(all, products[0].dtype()) <= 7 * separate;
}

class Siblings {
 public:
  explicit Siblings(const Graph& graph)
      : graph_(graph), users_(graph.nodes().size()), of_weights_(comes_from(graph, [](const Node& leaf) {
          return leaf.op == Op::state || leaf.op == Op::constant || leaf.op == Op::iota;
        })) {
    for (const Node& n : graph.nodes())
      for (Value v : n.operands) users_[index(*v.node)].push_back(&n);
    find();
  }

  Graph run() {
    if (rows_.empty()) return dce(graph_);
    return dce(Rewriter::run(graph_, [&](Rewriter& rewriter, const Node& n) {
      if (!n.results.empty() && rewriter(n.value())) return true;  // something joined needed it earlier
      const auto place = places_.find(&n);
      if (place == places_.end()) return false;
      const auto [row, member] = place->second;
      if (!joined_[row]) joined_[row] = join(rewriter, row);
      rewriter.replace(n.value(), member_of(joined_[row], rows_[row], member));
      return true;
    }));
  }

 private:
  static std::size_t index(const Node& n) { return static_cast<std::size_t>(n.id); }

  // ---- which ----------------------------------------------------------------------------------------------

  // A product, or a convolution that is one: the right operand's last axis is the result's.
  bool is_product(const Node& n) const {
    if (n.op == Op::dot) {
      // A single column is summed in another order.
      return n.operand(0).rank() == 2 && n.operand(1).rank() == 2 && n.type().shape.rank() == 2 &&
             n.attributes.ints("lhs_batch").empty() && n.attributes.ints("rhs_contract") == Ints{0} &&
             columns(n.value()) > 1;
    }
    if (n.op != Op::conv || n.attributes.integer("groups") != 1) return false;
    const Shape& kernel = n.operand(1).shape();
    return kernel.elements() == kernel.back() * kernel[static_cast<std::size_t>(kernel.rank()) - 2] &&
           all_are(n.attributes.ints("strides"), 1);
  }
  static bool are_alike(const Node& a, const Node& b) {
    const Shape &x = a.operand(1).shape(), &y = b.operand(1).shape();
    return a.op == b.op && a.attributes == b.attributes &&
           x.slice(0, x.rank() - 1) == y.slice(0, y.rank() - 1);
  }

  void find() {
    std::map<std::pair<int, int>, std::vector<Row>> by_left_operand;
    for (const Node& n : graph_.nodes()) {
      if (!is_product(n) || !of_weights_[index(*n.operand(1).node)] || n.type().shape.elements() == 0)
        continue;
      if (columns(n.value()) == lanes(columns(n.value()), n.type().dtype)) continue;  // nothing to gain
      std::vector<Row>& rows = by_left_operand[{n.operand(0).node->id, n.operand(0).result}];
      const auto row =
          std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return are_alike(*r[0].node, n); });
      if (row == rows.end())
        rows.push_back({n.value()});
      else
        row->push_back(n.value());
    }
    for (const auto& [left, rows] : by_left_operand)
      for (const Row& row : rows)
        if (pays(row) && is_worth_moving(row)) add_with_followers(row);
  }

  // Weights that a step changes are put together in every step, which pays for many rows only.
  bool is_worth_moving(const Row& row) const {
    constexpr std::int64_t many_rows = 32;
    const auto& states = graph_.states();
    return row[0].shape().elements() / columns(row[0]) >= many_rows ||
           std::none_of(states.begin(), states.end(), [](const StateSlot& s) { return bool(s.next); });
  }

  void add_with_followers(const Row& products) {
    const std::size_t first = rows_.size();
    add(products);
    for (std::size_t r = first; r < rows_.size(); r++) {
      const Row row = rows_[r];  // a copy: rows_ grows
      for (const Node* user : users_[index(*row[0].node)])
        if (const std::optional<Row> next = followers(row, *user)) add(*next);
    }
    // Parts of a concatenation are better written to where they belong than sliced and copied.
    for (std::size_t r = first; r < rows_.size(); r++)
      for (Value v : rows_[r])
        for (const Node* user : users_[index(*v.node)])
          if (user->op == Op::concatenate) return drop(first);
  }
  void add(const Row& row) {
    for (std::size_t i = 0; i < row.size(); i++) places_[row[i].node] = {rows_.size(), i};
    rows_.push_back(row);
    joined_.emplace_back();
  }
  void drop(std::size_t first) {
    for (std::size_t r = first; r < rows_.size(); r++)
      for (Value v : rows_[r]) places_.erase(v.node);
    rows_.resize(first);
    joined_.resize(first);
  }

  // Users, one of each member, that do the same with all: if the first member's is `user`.
  std::optional<Row> followers(const Row& row, const Node& user) const {
    if (places_.count(&user) || !can_follow(user, row[0])) return {};
    Row next;
    for (std::size_t i = 0; i < row.size(); i++) {
      const std::vector<const Node*>& users = users_[index(*row[i].node)];
      const auto same = std::find_if(users.begin(), users.end(), [&](const Node* other) {
        return !places_.count(other) && can_follow(*other, row[i]) && do_the_same(user, *other, i);
      });
      if (same == users.end()) return {};
      next.push_back((*same)->value());
    }
    return next;
  }
  static bool can_follow(const Node& user, Value member) {
    if (user.op == Op::reshape) return columns_stay(user, member);
    return definition(user.op).op_class == OpClass::elementwise && user.type().shape == member.shape();
  }
  static bool columns_stay(const Node& reshape, Value member) {
    return reshape.type().shape.rank() > 0 && columns(reshape.value()) == columns(member);
  }
  bool do_the_same(const Node& first, const Node& other, std::size_t member) const {
    const bool reshapes = first.op == Op::reshape;
    if (first.op != other.op || first.operands.size() != other.operands.size()) return false;
    if (!reshapes && first.attributes != other.attributes) return false;
    const Shape &a = first.type().shape, &b = other.type().shape;
    if (a.slice(0, a.rank() - 1) != b.slice(0, b.rank() - 1) || first.type().dtype != other.type().dtype)
      return false;
    for (int i = 0; i < static_cast<int>(first.operands.size()); i++) {
      const Value x = first.operand(i), y = other.operand(i);
      const auto of_first = places_.find(x.node), of_other = places_.find(y.node);
      const bool in_row = of_first != places_.end() && of_other != places_.end() &&
                          of_first->second == std::pair(of_other->second.first, std::size_t{0}) &&
                          of_other->second.second == member;
      if (!in_row && !(is_for_all(x) && x.node->operand(0) == y.node->operand(0) && is_for_all(y)) &&
          !(is_by_column(x) && is_by_column(y)))
        return false;
    }
    return true;
  }
  // One number, and one for each column.
  bool is_for_all(Value v) const { return is_repeated(v) && v.node->operand(0).rank() == 0; }
  bool is_by_column(Value v) const {
    return is_repeated(v) && v.node->operand(0).shape() == Shape{columns(v)} &&
           v.node->attributes.ints("dims") == Ints{v.rank() - 1};
  }
  bool is_repeated(Value v) const { return v.node->op == Op::broadcast && of_weights_[index(*v.node)]; }

  // ---- joined ---------------------------------------------------------------------------------------------

  // What v becomes in the new graph, now: before its turn, if it must be.
  static Value in_new(Rewriter& rewriter, Value v) {
    if (const Value known = rewriter(v)) return known;
    for (Value operand : v.node->operands) in_new(rewriter, operand);
    rewriter.copy(*v.node);
    return rewriter(v);
  }

  Value join(Rewriter& rewriter, std::size_t r) {
    const Row& row = rows_[r];
    const Node& first = *row[0].node;
    std::vector<std::string> labels;
    for (Value v : row)
      if (std::find(labels.begin(), labels.end(), v.node->label) == labels.end())
        labels.push_back(v.node->label);
    const LabelScope label(rewriter.target(), fmt::format("{}", fmt::join(labels, "+")));
    Shape shape = first.type().shape;
    shape[static_cast<std::size_t>(shape.rank()) - 1] = 0;
    for (Value v : row) shape[static_cast<std::size_t>(shape.rank()) - 1] += columns(v);
    if (first.op == Op::reshape) return reshape(joined_operand(first, 0), shape);

    const bool is_root = is_product(first);
    std::vector<Value> operands;
    for (int i = 0; i < static_cast<int>(first.operands.size()); i++) {
      const Value v = first.operand(i);
      if (is_root && i == 0) {
        operands.push_back(rewriter(v));
      } else if (is_root) {
        operands.push_back(side_by_side(rewriter, row, [](const Node& n) { return n.operand(1); }));
      } else if (places_.count(v.node)) {
        operands.push_back(joined_operand(first, i));
      } else if (is_for_all(v)) {
        operands.push_back(broadcast(in_new(rewriter, v.node->operand(0)), shape, {}));
      } else {
        const Value all =
            side_by_side(rewriter, row, [&](const Node& n) { return n.operand(i).node->operand(0); });
        operands.push_back(broadcast(all, shape, {shape.rank() - 1}));
      }
    }
    return rewriter.target().emit(first.op, std::move(operands), first.attributes).value();
  }
  Value joined_operand(const Node& n, int i) const { return joined_[places_.at(n.operand(i).node).first]; }
  template <class Operand>
  static Value side_by_side(Rewriter& rewriter, const Row& row, const Operand& operand) {
    std::vector<Value> values;
    for (Value v : row) values.push_back(in_new(rewriter, operand(*v.node)));
    return concatenate(values, values[0].rank() - 1);
  }

  static Value member_of(Value joined, const Row& row, std::size_t member) {
    const auto last = static_cast<std::size_t>(joined.rank()) - 1;
    Ints start(last + 1, 0), limit = joined.shape().sizes();
    for (std::size_t i = 0; i < member; i++) start[last] += columns(row[i]);
    limit[last] = start[last] + columns(row[member]);
    return slice(joined, std::move(start), std::move(limit));
  }

  const Graph& graph_;
  std::vector<std::vector<const Node*>> users_;
  std::vector<bool> of_weights_;  // by node: it hangs on states and constants alone
  std::vector<Row> rows_;
  std::vector<Value> joined_;                                          // by row, in the new graph
  std::map<const Node*, std::pair<std::size_t, std::size_t>> places_;  // row, and place in it
};

}  // namespace

Graph siblings(const Graph& graph) {
  return Siblings(graph).run();
}

}  // namespace kiln::graph
