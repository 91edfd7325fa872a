// Reductions over axes, alone or several in the same loops, and the position of the maximum.
#include <algorithm>
#include <limits>

#include "codegen/ops/register.h"
#include "codegen/reduction.h"

namespace kiln::codegen {
namespace {

Op combining(Op op) {
  switch (op) {
    case Op::reduce_max:
      return Op::maximum;
    case Op::reduce_min:
      return Op::minimum;
    case Op::reduce_prod:
      return Op::mul;
    default:
      return Op::add;
  }
}

Expr extreme(DType dtype, bool lowest) {
  return visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    using Limits = std::numeric_limits<T>;
    if constexpr (std::is_floating_point_v<T>) {
      return constant_expr(dtype, lowest ? -Limits::infinity() : Limits::infinity());
    } else {
      return integer_expr(dtype, static_cast<std::int64_t>(lowest ? Limits::lowest() : Limits::max()));
    }
  });
}

Expr neutral(Op combine, DType dtype) {
  switch (combine) {
    case Op::maximum:
      return extreme(dtype, true);
    case Op::minimum:
      return extreme(dtype, false);
    case Op::mul:
      return constant_expr(dtype, 1);
    default:
      return constant_expr(dtype, 0);
  }
}

/// Which axes of the operand go, and how its index is put together from the loops'.
struct Axes {
  explicit Axes(const Shape& shape, const Ints& gone)
      : reduced(static_cast<std::size_t>(shape.rank()), false) {
    for (std::int64_t axis : gone) reduced[static_cast<std::size_t>(axis)] = true;
    for (std::size_t i = 0; i < reduced.size(); i++)
      (reduced[i] ? reduced_extents : kept_extents).push_back(shape[i]);
  }
  Indices operand_index(const Indices& kept_index, const Indices& reduced_index) const {
    Indices index;
    std::size_t k = 0, r = 0;
    for (bool gone : reduced) index.push_back(gone ? reduced_index[r++] : kept_index[k++]);
    return index;
  }
  /// Whether neighbours in memory are summed, enough of them to fill a good part of a vector. A question of
  /// the reduced extents only: a row's sum must not depend on how many rows there are.
  bool along_reduced(const Shape& shape, int lanes) const {
    std::int64_t neighbours = 1;
    for (std::size_t i = reduced.size(); i-- > 0 && (reduced[i] || shape[i] == 1);) neighbours *= shape[i];
    return neighbours > std::max(1, lanes / 4);
  }

  std::vector<bool> reduced;
  std::vector<std::int64_t> kept_extents, reduced_extents;
};

void reduce_kernel(Lowering& l) {
  std::vector<const Node*> nodes{&l.root()};
  nodes.insert(nodes.end(), l.group().siblings.begin(), l.group().siblings.end());
  lower_reduction(l, reduction_of(nodes, l));
}

/// The state is the best element so far and its place. A later element must be larger, or the first NaN.
void argmax_kernel(Lowering& l) {
  const Node& node = l.root();
  const Shape& shape = node.operand(0).shape();
  const DType dtype = node.operand(0).dtype();
  const Axes axes(shape, {node.attributes.integer("axis")});

  Reduction r;
  r.kept = axes.kept_extents;
  r.reduced = axes.reduced_extents;
  r.vector_reduced = axes.along_reduced(shape, l.lanes());
  r.state = {dtype, DType::i32};
  // Before the first step a lane names the place that it will look at first: right if all its elements are
  // the lowest there is.
  r.initial = [dtype](std::size_t part, const Index& first) {
    return part == 0 ? extreme(dtype, true) : index_expr(first, DType::i32);
  };
  r.step = [&node, axes](Lowering& low, const std::vector<Expr>& state, const Indices& kept,
                         const Indices& reduced) {
    const Expr x = low.let(low.operand(node, 0, axes.operand_index(kept, reduced)));
    // Larger, or the first NaN.
    Expr better = compare_expr("gt", x, state[0]);
    if (is_float(x->dtype))
      better = apply(Op::bit_and, {apply(Op::logical_not, {compare_expr("le", x, state[0])}),
                                   compare_expr("eq", state[0], state[0])});
    better = low.let(std::move(better));
    return std::vector<Expr>{select_expr(better, x, state[0]),
                             select_expr(better, index_expr(reduced[0], DType::i32), state[1])};
  };
  // The least place among the lanes that hold the maximum. If it is NaN, only NaNs hold it.
  r.fold = [dtype](Lowering& low, const std::vector<Reg>& lanes) {
    const std::vector<Index> at{Index(0)};
    const Expr best = low.let(fold_lanes(Op::maximum, lanes[0], at));
    low.vector("v", low.lanes(), [&](const Index&) {
      const Expr mine = read(lanes[0], at);
      Expr holds = compare_expr("eq", mine, best);
      if (is_float(dtype)) holds = apply(Op::bit_or, {std::move(holds), compare_expr("ne", mine, mine)});
      low.add(
          write(lanes[1], at, select_expr(std::move(holds), read(lanes[1], at), extreme(DType::i32, false))));
    });
    return std::vector<Expr>{best, low.let(fold_lanes(Op::minimum, lanes[1], at))};
  };
  r.bind = [&node](Lowering& low, const std::vector<Expr>& state) {
    low.bind(node.value(), low.let(state[1]));
  };
  lower_reduction(l, std::move(r));
}

}  // namespace

Reduction reduction_of(const std::vector<const Node*>& nodes, const Lowering& l) {
  const Shape& shape = nodes[0]->operand(0).shape();
  const Axes axes(shape, nodes[0]->attributes.ints("axes"));

  Reduction r;
  r.kept = axes.kept_extents;
  r.reduced = axes.reduced_extents;
  r.vector_reduced = axes.along_reduced(shape, l.lanes());
  for (const Node* node : nodes) {
    r.state.push_back(node->type().dtype);
    r.partial_sums = r.partial_sums || (node->op == Op::reduce_sum && is_float(node->type().dtype));
  }
  r.initial = [nodes](std::size_t i, const Index&) {
    return neutral(combining(nodes[i]->op), nodes[i]->type().dtype);
  };
  r.step = [nodes, axes](Lowering& low, const std::vector<Expr>& state, const Indices& kept,
                         const Indices& reduced) {
    std::vector<Expr> next;
    const Indices index = axes.operand_index(kept, reduced);
    for (std::size_t i = 0; i < nodes.size(); i++)
      next.push_back(apply(combining(nodes[i]->op), {state[i], low.operand(*nodes[i], 0, index)}));
    return next;
  };
  r.join = [nodes](Lowering&, const std::vector<Expr>& a, const std::vector<Expr>& b) {
    std::vector<Expr> both;
    for (std::size_t i = 0; i < nodes.size(); i++)
      both.push_back(apply(combining(nodes[i]->op), {a[i], b[i]}));
    return both;
  };
  r.fold = [nodes](Lowering& low, const std::vector<Reg>& lanes) {
    std::vector<Expr> values;
    for (std::size_t i = 0; i < nodes.size(); i++)
      values.push_back(low.let(fold_lanes(combining(nodes[i]->op), lanes[i], {Index(0)})));
    return values;
  };
  r.bind = [nodes](Lowering& low, const std::vector<Expr>& state) {
    for (std::size_t i = 0; i < nodes.size(); i++) low.bind(nodes[i]->value(), low.let(state[i]));
  };
  return r;
}

void register_reduce_lowering(LoweringTable& table) {
  using enum Op;
  for (Op op : {reduce_sum, reduce_max, reduce_min, reduce_prod}) entry(table, op).root = reduce_kernel;
  entry(table, argmax).root = argmax_kernel;
}

}  // namespace kiln::codegen
