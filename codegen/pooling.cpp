#include "codegen/pooling.h"

#include <algorithm>

#include "graph/elemental.h"

namespace kiln::codegen {

Expr beats(const Expr& x, const Expr& best) {
  if (!is_float(x->dtype)) return compare_expr("gt", x, best);
  Expr not_smaller = apply(Op::logical_not, {compare_expr("le", x, best)});
  return apply(Op::bit_and, {std::move(not_smaller), compare_expr("eq", best, best)});
}

std::optional<Pool> pool_of(const Group& group) {
  if (group.pool.empty()) return std::nullopt;
  return Pool(*group.pool.front());
}

Ints Pool::tap(std::int64_t number) const {
  Ints tap(window.size());
  for (std::size_t i = window.size(); i-- > 0; number /= window[i]) tap[i] = number % window[i];
  return tap;
}

Indices Pool::element(const Indices& window_index, const Indices& tap) const {
  Indices index;
  for (std::size_t i = 0; i < window.size(); i++) index.push_back(window_index[i] * window[i] + tap[i]);
  return index;
}

namespace {

/// The group's node that gives the sum, the maximum or its place; null if there is none.
const Node* member(const Group& group, Op op) {
  const auto found =
      std::find_if(group.pool.begin(), group.pool.end(), [&](const Node* n) { return n->op == op; });
  return found == group.pool.end() ? nullptr : *found;
}

}  // namespace

bool has_places(const Group& group) {
  return member(group, Op::window_argmax) != nullptr;
}

bool has_long_elements(const Group& group) {
  std::vector<const Node*> needed{group.pool.front()->operand(0).node};
  for (std::size_t i = 0; i < needed.size(); i++) {
    const Node* n = needed[i];
    if (n == group.root || std::find(group.nodes.begin(), group.nodes.end(), n) == group.nodes.end())
      continue;
    if (graph::is_elemental(*n) && graph::is_expensive(*n)) return true;
    for (const Value operand : n->operands) needed.push_back(operand.node);
  }
  return false;
}

Pooled pool_window(Lowering& l, const Pool& pool, const Indices& index,
                   const std::function<Expr(const Ints& tap)>& root_element, const Expr& predicate) {
  const bool sums = member(l.group(), Op::window_sum) != nullptr, places = has_places(l.group());
  const Value pooled = pool.node->operand(0);
  Pooled result;
  l.isolated([&] {
    for (std::int64_t number = 0; number < product(pool.window); number++) {
      const Ints tap = pool.tap(number);
      Expr x;
      l.isolated([&] {
        l.bind(l.root().value(), l.let(root_element(tap)));
        x = l.let(l.at(pooled, pool.element(index, {tap.begin(), tap.end()}), predicate));
      });
      const Expr here = integer_expr(DType::i32, number);
      if (sums) {
        const Expr before = number == 0 ? constant_expr(x->dtype, 0) : result.value;
        result.value = l.let(apply(Op::add, {before, x}));
      } else if (number == 0) {
        result = {x, here};
      } else if (!places) {
        result.value = l.let(apply(Op::maximum, {result.value, x}));
      } else {
        const Expr takes = l.let(beats(x, result.value));
        result = {l.let(select_expr(takes, x, result.value)), l.let(select_expr(takes, here, result.place))};
      }
    }
  });
  return result;
}

void store_pooled(Lowering& l, const Indices& index, const Pooled& pooled, const Expr& predicate) {
  l.isolated([&] {
    for (const Op op : {Op::window_sum, Op::window_max})
      if (const Node* n = member(l.group(), op)) l.bind(n->value(), pooled.value);
    if (const Node* n = member(l.group(), Op::window_argmax))
      l.bind(n->value(), l.let(convert_expr(pooled.place, n->type().dtype)));
    l.store_outputs(index, predicate);
  });
}

}  // namespace kiln::codegen
