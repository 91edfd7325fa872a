// Running sums, sorting and the largest elements.
#include <algorithm>

#include "codegen/ops/register.h"

namespace kiln::codegen {
namespace {

/// Serial along the axis, vectors along the axes behind it.
void cumsum_kernel(Lowering& l) {
  const Node& node = l.root();
  const DType dtype = node.type().dtype;
  const std::vector<std::int64_t>& shape = node.type().shape.sizes();
  const auto axis = static_cast<std::size_t>(node.attributes.integer("axis"));
  const bool exclusive = node.attributes.flag("exclusive"), reverse = node.attributes.flag("reverse");
  const std::span<const std::int64_t> before = std::span(shape).first(axis),
                                      after = std::span(shape).subspan(axis + 1);
  const std::int64_t size = shape[axis], columns = product(after);
  if (product(shape) == 0) return;

  l.narrow_lanes(columns);
  const std::int64_t width = std::min<std::int64_t>(columns, l.lanes());
  std::vector<std::int64_t> points(before.begin(), before.end());
  points.push_back((columns + width - 1) / width);
  l.tiles(points, static_cast<double>(2 * size * width), [&](const Indices& point) {
    l.part(point.back(), columns, width, [&](const Index& start, std::int64_t count) {
      const Reg sum = columns == 1 ? l.make_register("sum", dtype, RegisterKind::scalar)
                                   : l.make_register("sum", dtype, RegisterKind::tile, {}, count);
      const auto each = [&](const std::function<void(const std::vector<Index>&, const Index&)>& body) {
        if (columns == 1) return body({}, Index(0));
        l.vector("v", count, [&](const Index& v) { body({v}, start + v); }, true);
      };
      each([&](const std::vector<Index>& at, const Index&) {
        l.add(write(sum, at, constant_expr(dtype, 0)));
      });
      l.serial("k", size, [&](const Index& k) {
        each([&](const std::vector<Index>& at, const Index& column) {
          Indices index(point.begin(), point.end() - 1);
          index.push_back(reverse ? Index(size - 1) - k : k);
          for (const Index& i : unflatten(column, after)) index.push_back(i);
          const Expr old = l.let(read(sum, at));
          const Expr next = l.let(apply(Op::add, {old, l.operand(node, 0, index)}));
          l.add(write(sum, at, next));
          l.bind(node.value(), exclusive ? old : next);
          l.store_outputs(index);
        });
      });
    });
  });
}

Expr is_nan(const Expr& x) {
  return compare_expr("ne", x, x);
}
Expr conjunction(Expr a, Expr b) {
  return apply(Op::bit_and, {std::move(a), std::move(b)});
}
Expr disjunction(Expr a, Expr b) {
  return apply(Op::bit_or, {std::move(a), std::move(b)});
}

/// Places every element by counting those that come before it, along `axis`: no exchange of elements, and
/// ties keep their order. An element whose rank is `limit` or more is dropped.
void order_kernel(Lowering& l, std::size_t axis, std::int64_t limit, bool descending, bool nan_first) {
  const Node& node = l.root();
  const std::vector<std::int64_t>& shape = node.operand(0).shape().sizes();
  const DType dtype = node.operand(0).dtype();
  const std::int64_t size = shape[axis];
  if (product(shape) == 0 || limit == 0) return;
  l.set_lanes(dtype);
  l.narrow_lanes(size);

  std::vector<std::int64_t> points = shape;
  points.erase(points.begin() + static_cast<std::ptrdiff_t>(axis));
  // The vectors of a tile share what is known of the element they are compared with.
  constexpr std::int64_t most_vectors = 4;
  const std::int64_t width = l.lanes() * std::min(most_vectors, (size + l.lanes() - 1) / l.lanes());
  points.push_back((size + width - 1) / width);
  l.tiles(points, static_cast<double>(6 * size * width), [&](const Indices& point) {
    const auto at = [&](const Index& i) {
      Indices index(point.begin(), point.end() - 1);
      index.insert(index.begin() + static_cast<std::ptrdiff_t>(axis), i);
      return index;
    };
    l.part(point.back(), size, width, [&](const Index& start, std::int64_t count) {
      const Reg rank = l.make_register("rank", DType::i32, RegisterKind::tile, {}, count);
      l.vector(
          "v", count, [&](const Index& v) { l.add(write(rank, {v}, integer_expr(DType::i32, 0))); }, true);
      l.serial("k", size, [&](const Index& k) {
        const Expr other = l.let(l.operand(node, 0, at(k)));
        l.vector(
            "v", count,
            [&](const Index& v) {
              const Expr mine = l.let(l.operand(node, 0, at(start + v)));
              Expr before = compare_expr(descending ? "gt" : "lt", other, mine);
              Expr not_behind = compare_expr(descending ? "ge" : "le", other, mine);
              if (is_float(dtype)) {
                // With NaNs all comparisons are false; of two, neither is before the other.
                const Expr &first = nan_first ? other : mine, &second = nan_first ? mine : other;
                before = disjunction(std::move(before),
                                     conjunction(is_nan(first), compare_expr("eq", second, second)));
                not_behind = disjunction(std::move(not_behind), is_nan(first));
              }
              const Expr earlier =
                  compare_expr("lt", index_expr(k, DType::i32), index_expr(start + v, DType::i32));
              before = disjunction(std::move(before), conjunction(earlier, std::move(not_behind)));
              l.add(write(rank, {v},
                          apply(Op::add, {read(rank, {v}), convert_expr(std::move(before), DType::i32)})));
            },
            true);
      });
      l.vector(
          "v", count,
          [&](const Index& v) {
            const Index place =
                Index::from_value(l.let(convert_expr(read(rank, {v}), l.address_type())), 0, size);
            const Expr kept = limit < size ? less(place, Index(limit)) : nullptr;
            for (std::size_t i = 0; i < l.group().outputs.size(); i++) {
              const Value output = l.group().outputs[i];
              const Index to = row_major(at(place), output.shape().sizes());
              l.add(store(
                  l.output_buffer(static_cast<int>(i)), to,
                  output.result == 0 ? l.operand(node, 0, at(start + v)) : index_expr(start + v, DType::i32),
                  kept));
            }
          },
          true);
    });
  });
}

void sort_kernel(Lowering& l) {
  const auto axis = static_cast<std::size_t>(l.root().attributes.integer("axis"));
  order_kernel(l, axis, l.root().operand(0).shape()[axis], l.root().attributes.flag("descending"), false);
}

void top_k_kernel(Lowering& l) {
  order_kernel(l, static_cast<std::size_t>(l.root().operand(0).rank()) - 1, l.root().attributes.integer("k"),
               true, true);
}

}  // namespace

void register_order_lowering(LoweringTable& table) {
  entry(table, Op::cumsum).root = cumsum_kernel;
  entry(table, Op::sort).root = sort_kernel;
  entry(table, Op::top_k).root = top_k_kernel;
}

}  // namespace kiln::codegen
