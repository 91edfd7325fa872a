// Reading at computed places is an element rule: the index is clamped and becomes part of an address. Adding
// at computed places is a kernel without atomics: a thread owns whole columns of the result and goes through
// the updates in order.
#include <algorithm>
#include <limits>

#include "codegen/ops/register.h"

namespace kiln::codegen {
namespace {

std::size_t axis_of(const Node& node) {
  return static_cast<std::size_t>(node.attributes.integer("axis"));
}

/// An index array's element as an index in [0, size).
Index clamped(Lowering& l, Expr place, std::int64_t size) {
  if (size == 1) return Index(0);
  const DType dtype = place->dtype;
  Expr inside = apply(Op::maximum, {std::move(place), integer_expr(dtype, 0)});
  // Behind an axis longer than an i32 can say, no i32 lies.
  if (dtype == DType::i64 || size - 1 <= std::numeric_limits<std::int32_t>::max())
    inside = apply(Op::minimum, {std::move(inside), integer_expr(dtype, size - 1)});
  return Index::from_value(l.let(convert_expr(std::move(inside), l.address_type())), 0, size);
}

Expr gather_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  const Shape& x = node.operand(0).shape();
  const std::size_t axis = axis_of(node);
  const auto first = index.begin() + static_cast<std::ptrdiff_t>(axis);
  const auto after = first + node.operand(1).rank();
  Indices source(index.begin(), first);
  source.push_back(clamped(l, l.operand(node, 1, Indices(first, after), predicate), x[axis]));
  source.insert(source.end(), after, index.end());
  return l.operand(node, 0, source, predicate);
}

Expr take_along_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  const std::size_t axis = axis_of(node);
  Indices source = index;
  source[axis] = clamped(l, l.operand(node, 1, index, predicate), node.operand(0).shape()[axis]);
  return l.operand(node, 0, source, predicate);
}

/// Where a slice of `sizes` starts, so that it fits.
Index start_of(Lowering& l, const Node& node, int operand, std::size_t axis, std::int64_t whole,
               std::int64_t part) {
  return clamped(l, l.operand(node, operand, {Index(static_cast<std::int64_t>(axis))}), whole - part + 1);
}

Expr dynamic_slice_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  const Shape& x = node.operand(0).shape();
  Indices source;
  for (std::size_t i = 0; i < index.size(); i++)
    source.push_back(index[i] + start_of(l, node, 1, i, x[i], node.type().shape[i]));
  return l.operand(node, 0, source, predicate);
}

Expr dynamic_update_slice_element(Lowering& l, const Node& node, const Indices& index,
                                  const Expr& predicate) {
  const Shape& part = node.operand(1).shape();
  Indices source;
  Expr inside;
  for (std::size_t i = 0; i < index.size(); i++) {
    source.push_back(index[i] - start_of(l, node, 2, i, node.type().shape[i], part[i]));
    inside = both(std::move(inside), in_range(source[i], 0, part[i]));
  }
  Expr update = l.operand(node, 1, source, both(predicate, inside));
  if (!inside) return update;
  return select_expr(std::move(inside), std::move(update), l.operand(node, 0, index, predicate));
}

// ---- adding at indices
// --------------------------------------------------------------------------------------

/// An array seen as outer x size x inner around an axis.
struct Columns {
  Columns(const Shape& shape, std::size_t axis)
      : outer(product(std::span(shape.sizes()).first(axis))),
        size(shape[axis]),
        inner(product(std::span(shape.sizes()).subspan(axis + 1))) {}
  Index at(const Index& o, const Index& i, const Index& n) const { return (o * size + i) * inner + n; }
  std::int64_t outer, size, inner;
};

/// Builds the kernel of an op that stands alone: for every vector of columns, `start` gives row r of the
/// initial result (null: it is there already), then `update` handles update number i.
void add_at_indices(Lowering& l, const Columns& result, std::int64_t updates,
                    const std::function<Expr(const Index& o, const Index& r, const Index& n)>& start,
                    const std::function<void(const Index& o, const Index& i, const Index& first,
                                             std::int64_t count)>& update) {
  l.narrow_lanes(result.inner);
  const std::int64_t width = std::clamp<std::int64_t>(result.inner, 1, l.lanes());
  const std::vector<std::int64_t> points{result.outer, (result.inner + width - 1) / width};
  const double work = static_cast<double>((result.size + updates) * width);
  const int buffer = l.output_buffer(0);
  l.tiles(points, work, [&](const Indices& point) {
    l.part(point[1], result.inner, width, [&](const Index& first, std::int64_t count) {
      if (start)
        l.serial("r", result.size, [&](const Index& r) {
          l.vector("n", count, [&](const Index& n) {
            l.add(store(buffer, result.at(point[0], r, first + n), start(point[0], r, first + n)));
          });
        });
      l.serial("k", updates, [&](const Index& k) { update(point[0], k, first, count); });
    });
  });
}

/// Rows outside the array are dropped.
void scatter_add_kernel(Lowering& l) {
  const Node& node = l.root();
  const Value base = node.operand(0), indices = node.operand(1), updates = node.operand(2);
  const Columns result(base.shape(), axis_of(node));
  const std::int64_t count = indices.shape().elements();
  const int buffer = l.output_buffer(0);
  std::function<Expr(const Index&, const Index&, const Index&)> start;
  // In place, the base is where the result goes.
  if (l.load_array(base, Index(0))->buffer != buffer)
    start = [&](const Index& o, const Index& r, const Index& n) {
      return l.load_array(base, result.at(o, r, n));
    };
  add_at_indices(
      l, result, count, start, [&](const Index& o, const Index& k, const Index& first, std::int64_t width) {
        const Expr place = l.let(convert_expr(l.load_array(indices, k), DType::i64));
        const Index row = Index::from_value(place, 0, result.size);
        Expr inside = apply(Op::bit_and, {compare_expr("ge", place, integer_expr(DType::i64, 0)),
                                          compare_expr("lt", place, integer_expr(DType::i64, result.size))});
        l.when(std::move(inside), [&] {
          l.vector("n", width, [&](const Index& n) {
            const Index at = result.at(o, row, first + n);
            Expr update = l.load_array(updates, (o * count + k) * result.inner + first + n);
            l.add(
                store(buffer, at, apply(Op::add, {load(buffer, node.type().dtype, at), std::move(update)})));
          });
        });
      });
}

/// Every column has places of its own. Indices are clamped.
void put_along_kernel(Lowering& l) {
  const Node& node = l.root();
  const Value updates = node.operand(0), indices = node.operand(1);
  const DType dtype = node.type().dtype;
  const Columns result(node.type().shape, axis_of(node)), source(updates.shape(), axis_of(node));
  const int buffer = l.output_buffer(0);
  const auto zero = [&](const Index&, const Index&, const Index&) { return constant_expr(dtype, 0); };
  add_at_indices(
      l, result, source.size, zero,
      [&](const Index& o, const Index& k, const Index& first, std::int64_t width) {
        l.vector("n", width, [&](const Index& n) {
          const Index from = source.at(o, k, first + n);
          const Index row = clamped(l, l.load_array(indices, from), result.size);
          const Index at = result.at(o, row, first + n);
          l.add(store(buffer, at, apply(Op::add, {load(buffer, dtype, at), l.load_array(updates, from)})));
        });
      });
}

}  // namespace

void register_gather_lowering(LoweringTable& table) {
  entry(table, Op::gather).element = gather_element;
  entry(table, Op::take_along).element = take_along_element;
  entry(table, Op::dynamic_slice).element = dynamic_slice_element;
  entry(table, Op::dynamic_update_slice).element = dynamic_update_slice_element;
  entry(table, Op::scatter_add).root = scatter_add_kernel;
  entry(table, Op::put_along).root = put_along_kernel;
}

}  // namespace kiln::codegen
