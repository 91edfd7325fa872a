#include "codegen/pooling.h"

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

Indices Pool::element(const Indices& window_index, const Ints& tap) const {
  Indices index;
  for (std::size_t i = 0; i < window.size(); i++) index.push_back(window_index[i] * window[i] + tap[i]);
  return index;
}

void store_pooled(Lowering& l, const Pool& pool, const Indices& index,
                  const std::function<Expr(const Ints& tap)>& root_element, const Expr& predicate) {
  const Node *sum = nullptr, *maximum = nullptr, *argmax = nullptr;
  for (const Node* n : l.group().pool)
    (n->op == Op::window_sum ? sum : n->op == Op::window_max ? maximum : argmax) = n;
  const Value pooled = pool.node->operand(0);
  l.isolated([&] {
    Expr result, place;
    for (std::int64_t number = 0; number < product(pool.window); number++) {
      const Ints tap = pool.tap(number);
      Expr x;
      l.isolated([&] {
        l.bind(l.root().value(), l.let(root_element(tap)));
        x = l.let(l.at(pooled, pool.element(index, tap), predicate));
      });
      const Expr here = integer_expr(DType::i32, number);
      if (sum != nullptr) {
        const Expr before = number == 0 ? constant_expr(x->dtype, 0) : result;
        result = l.let(apply(Op::add, {before, x}));
      } else if (number == 0) {
        result = x;
        place = here;
      } else if (argmax == nullptr) {
        result = l.let(apply(Op::maximum, {result, x}));
      } else {
        const Expr takes = l.let(beats(x, result));
        result = l.let(select_expr(takes, x, result));
        place = l.let(select_expr(takes, here, place));
      }
    }
    for (const Node* n : {sum, maximum})
      if (n != nullptr) l.bind(n->value(), result);
    if (argmax != nullptr) l.bind(argmax->value(), l.let(convert_expr(place, argmax->type().dtype)));
    l.store_outputs(index, predicate);
  });
}

}  // namespace kiln::codegen
