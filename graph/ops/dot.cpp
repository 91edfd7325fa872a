#include <fmt/ranges.h>

#include <algorithm>

#include "graph/ops/dot.h"
#include "graph/ops/loops.h"
#include "graph/ops/register.h"

namespace kiln::graph {
namespace {

Ints range(std::size_t first, std::size_t count) {
  Ints r;
  for (std::size_t i = 0; i < count; i++) r.push_back(static_cast<std::int64_t>(first + i));
  return r;
}

void check_axes(const InferContext& c, const char* side, const Shape& shape, const Ints& batch,
                const Ints& contract) {
  Ints seen;
  for (const Ints* axes : {&batch, &contract})
    for (std::int64_t axis : *axes) {
      if (axis < 0 || axis >= shape.rank())
        shape_error(c, fmt::format("the {} has shape {} and no axis {}", side, shape.to_string(), axis));
      if (contains(seen, axis))
        shape_error(
            c, fmt::format("axis {} of the {} is named twice among batch [{}] and contracted [{}] axes", axis,
                           side, fmt::join(batch, ", "), fmt::join(contract, ", ")));
      seen.push_back(axis);
    }
}

void check_pairs(const InferContext& c, const char* kind, const Ints& lhs_axes, const Ints& rhs_axes) {
  const Shape &lhs = c.shape(0), &rhs = c.shape(1);
  if (lhs_axes.size() != rhs_axes.size())
    shape_error(c, fmt::format("the {} axes must pair up: lhs has [{}], rhs has [{}]", kind,
                               fmt::join(lhs_axes, ", "), fmt::join(rhs_axes, ", ")));
  for (std::size_t i = 0; i < lhs_axes.size(); i++) {
    const auto l = static_cast<std::size_t>(lhs_axes[i]), r = static_cast<std::size_t>(rhs_axes[i]);
    if (lhs[l] != rhs[r])
      shape_error(
          c,
          fmt::format("the {} axes must be equally long, but axis {} of lhs {} is {} and axis {} of rhs {} "
                      "is {}",
                      kind, l, lhs.to_string(), lhs[l], r, rhs.to_string(), rhs[r]));
  }
}

std::vector<Type> infer_dot(const InferContext& c) {
  require_type<Floats>(c, 0);
  require_same_dtype(c, 0, 1);
  const Shape &lhs = c.shape(0), &rhs = c.shape(1);
  const DotAxes axes(c.attributes, lhs.rank(), rhs.rank());
  check_axes(c, "lhs", lhs, axes.lhs_batch, axes.lhs_contract);
  check_axes(c, "rhs", rhs, axes.rhs_batch, axes.rhs_contract);
  check_pairs(c, "batch", axes.lhs_batch, axes.rhs_batch);
  check_pairs(c, "contracted", axes.lhs_contract, axes.rhs_contract);
  Shape shape;
  for (std::int64_t i : joined(axes.lhs_batch, axes.lhs_free))
    shape.push_back(lhs[static_cast<std::size_t>(i)]);
  for (std::int64_t i : axes.rhs_free) shape.push_back(rhs[static_cast<std::size_t>(i)]);
  return {{c.type(0).dtype, shape}};
}

/// `x`, whose axis j is axis `axes[j]` of what is wanted, with its axes in that order.
Value put_in_order(Value x, const Ints& axes) {
  if (std::is_sorted(axes.begin(), axes.end())) return x;
  Ints permutation(axes.size());
  for (std::size_t j = 0; j < axes.size(); j++)
    permutation[static_cast<std::size_t>(axes[j])] = static_cast<std::int64_t>(j);
  return transpose(x, permutation);
}

/// Of the pairs (from[p], to[p]), the `to`s ordered by `from`: where the other operand's remaining axes go.
Ints partners(const Ints& from, const Ints& to) {
  std::vector<std::pair<std::int64_t, std::int64_t>> pairs;
  for (std::size_t p = 0; p < from.size(); p++) pairs.emplace_back(from[p], to[p]);
  std::sort(pairs.begin(), pairs.end());
  Ints result;
  for (const auto& [f, t] : pairs) result.push_back(t);
  return result;
}

// With y[b, m, n] = sum_k lhs[b, m, k] rhs[b, k, n]:
//   dlhs[b, m, k] = sum_n dy[b, m, n] rhs[b, k, n]
//   drhs[b, k, n] = sum_m lhs[b, m, k] dy[b, m, n]
// Both are products of the same kind; only the order of their axes has to be mended.
std::vector<Value> gradient_dot(const GradientContext& c) {
  const Value lhs = c.operand(0), rhs = c.operand(1), dy = c.dy();
  const DotAxes a(c.node);
  const Ints dy_batch = range(0, a.lhs_batch.size());
  const Ints dy_lhs = range(a.lhs_batch.size(), a.lhs_free.size());
  const Ints dy_rhs = range(a.lhs_batch.size() + a.lhs_free.size(), a.rhs_free.size());

  const Value dlhs = dot(dy, rhs, dy_batch, a.rhs_batch, dy_rhs, a.rhs_free);
  const Value drhs = dot(lhs, dy, a.lhs_batch, dy_batch, a.lhs_free, dy_lhs);
  const Ints dlhs_axes = joined(joined(a.lhs_batch, a.lhs_free), partners(a.rhs_contract, a.lhs_contract));
  const Ints drhs_axes = joined(joined(a.rhs_batch, partners(a.lhs_contract, a.rhs_contract)), a.rhs_free);
  return {put_in_order(dlhs, dlhs_axes), put_in_order(drhs, drhs_axes)};
}

/// Offsets of the elements that the given axes run over, row-major in the order of `axes`.
Ints offsets(const Shape& shape, const Ints& axes) {
  const Ints strides = shape.strides();
  Shape sizes;
  for (std::int64_t axis : axes) sizes.push_back(shape[static_cast<std::size_t>(axis)]);
  Ints result;
  for_each_index(sizes, [&](const Ints& index) {
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < axes.size(); i++)
      offset += index[i] * strides[static_cast<std::size_t>(axes[i])];
    result.push_back(offset);
  });
  return result;
}

// Each element adds its products in the order of the contracted axes (row-major), in the element's own type.
void evaluate_dot(const EvalContext& c) {
  const Shape &lhs_shape = c.operands[0].shape(), &rhs_shape = c.operands[1].shape();
  const DotAxes axes(c.node);
  const Ints lhs_b = offsets(lhs_shape, axes.lhs_batch), rhs_b = offsets(rhs_shape, axes.rhs_batch);
  const Ints lhs_k = offsets(lhs_shape, axes.lhs_contract), rhs_k = offsets(rhs_shape, axes.rhs_contract);
  const Ints lhs_m = offsets(lhs_shape, axes.lhs_free), rhs_n = offsets(rhs_shape, axes.rhs_free);
  visit_types<Floats>(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *lhs = c.operands[0].data<T>(), *rhs = c.operands[1].data<T>();
    T* row = c.results[0].data<T>();
    for (std::size_t b = 0; b < lhs_b.size(); b++)
      for (std::int64_t m : lhs_m) {
        for (std::size_t k = 0; k < lhs_k.size(); k++) {
          const T left = lhs[lhs_b[b] + m + lhs_k[k]];
          const T* right = rhs + rhs_b[b] + rhs_k[k];
          for (std::size_t n = 0; n < rhs_n.size(); n++) row[n] += left * right[rhs_n[n]];
        }
        row += rhs_n.size();
      }
  });
}

std::vector<Type> infer_dot_panels(const InferContext& c) {
  require_type<Floats>(c, 0);
  require_same_dtype(c, 0, 1);
  const Shape &lhs = c.shape(0), &rhs = c.shape(1);
  if (lhs.rank() != 2 || rhs.rank() != 3 || lhs[1] != rhs[1] || rhs[2] != panel_columns)
    shape_error(c, fmt::format("the operands must be (rows, steps) and (panels, steps, {}); got {} and {}",
                               panel_columns, lhs.to_string(), rhs.to_string()));
  return {{c.type(0).dtype, {lhs[0], rhs[0] * panel_columns}}};
}

// The sums of evaluate_dot, in the same order.
void evaluate_dot_panels(const EvalContext& c) {
  const Shape& panels = c.operands[1].shape();
  const std::int64_t steps = panels[1], width = panel_columns, columns = panels[0] * width;
  visit_types<Floats>(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *lhs = c.operands[0].data<T>(), *rhs = c.operands[1].data<T>();
    T* result = c.results[0].data<T>();
    for (std::int64_t m = 0; m < c.operands[0].dim(0); m++)
      for (std::int64_t n = 0; n < columns; n++) {
        const T* right = rhs + n / width * steps * width + n % width;
        for (std::int64_t k = 0; k < steps; k++)
          result[m * columns + n] += lhs[m * steps + k] * right[k * width];
      }
  });
}

/// The leading axes (all but the last two) of both, broadcast as numpy does.
Shape broadcast_leading(Value x, Value y) {
  const Shape &a = x.shape(), &b = y.shape();
  const int rank = std::max(a.rank(), b.rank()) - 2;
  Shape shape;
  for (int i = 0; i < rank; i++) {
    const int ia = i - (rank - (a.rank() - 2)), ib = i - (rank - (b.rank() - 2));
    const std::int64_t na = ia < 0 ? 1 : a.dim(ia), nb = ib < 0 ? 1 : b.dim(ib);
    if (na != nb && na != 1 && nb != 1)
      build_error(Op::dot, x,
                  fmt::format("matmul's leading axes must be equal or 1; got {} and {}", a.to_string(),
                              b.to_string()));
    shape.push_back(na == 1 ? nb : na);
  }
  return shape;
}

Value with_leading(Value x, const Shape& leading) {
  Shape shape = leading;
  shape.push_back(x.shape().dim(-2));
  shape.push_back(x.shape().dim(-1));
  return shape == x.shape() ? x : broadcast_to(x, shape);
}

}  // namespace

Value dot(Value a, Value b, Ints lhs_batch, Ints rhs_batch, Ints lhs_contract, Ints rhs_contract) {
  return emit(Op::dot, {a, b},
              {{"lhs_batch", std::move(lhs_batch)},
               {"rhs_batch", std::move(rhs_batch)},
               {"lhs_contract", std::move(lhs_contract)},
               {"rhs_contract", std::move(rhs_contract)}});
}

Value dot_panels(Value lhs, Value panels) {
  return emit(Op::dot_panels, {lhs, panels}, {});
}

Value matmul(Value a, Value b) {
  if (a.rank() < 2 || b.rank() < 2)
    build_error(
        Op::dot, a,
        fmt::format("matmul needs operands of rank 2 or more; got {} and {} (reshape a vector to a row or a "
                    "column)",
                    a.shape().to_string(), b.shape().to_string()));
  // A matrix on the right needs no batch: all leading axes of the left are rows of one product.
  if (b.rank() == 2) return dot(a, b, {}, {}, {a.rank() - 1}, {0});
  const Shape leading = broadcast_leading(a, b);
  const Ints batch = range(0, leading.sizes().size());
  return dot(with_leading(a, leading), with_leading(b, leading), batch, batch, {leading.rank() + 1},
             {leading.rank()});
}

void register_dot_ops(Registry& registry) {
  registry.add({.op = Op::dot,
                .op_class = OpClass::heavy,
                .operands = 2,
                .attributes = {{"lhs_batch", AttrKind::ints},
                               {"rhs_batch", AttrKind::ints},
                               {"lhs_contract", AttrKind::ints},
                               {"rhs_contract", AttrKind::ints}},
                .infer = infer_dot,
                .gradient = gradient_dot,
                .evaluate = evaluate_dot});
  registry.add({.op = Op::dot_panels,
                .op_class = OpClass::heavy,
                .operands = 2,
                .attributes = {},
                .infer = infer_dot_panels,
                .gradient = nullptr,  // passes make it, of gradients too
                .evaluate = evaluate_dot_panels});
}

}  // namespace kiln::graph
