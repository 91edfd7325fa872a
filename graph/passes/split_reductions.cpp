#include <algorithm>
#include <limits>
#include <type_traits>

#include "graph/elemental.h"
#include "graph/ops/support.h"
#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"
#include "kiln/graph/ops.h"

// A reduction's parallel work is its results: the sum of a million numbers has one. Such a reduction becomes
// two, the first with more results in front. The sizes depend on the shape alone, so sums are added in the
// same order on every machine and with any number of threads. Of the outermost axis, if it stays, they don't
// depend either: a row of a batch is summed as it is alone.
namespace kiln::graph {
namespace {

constexpr std::int64_t worth_splitting = 32768;  // elements read: about 10 us of work
constexpr std::int64_t many_results = 1024;      // enough work for all threads as it is
constexpr std::int64_t fewest_parts = 8;
constexpr std::int64_t shortest_part = 64;     // elements that one result of the first reduction combines
constexpr std::int64_t part_elements = 16384;  // read by a part, for all results together
constexpr std::int64_t longest_part = 4096;

Value reduce(Op op, Value x, Ints axes) {
  return x.graph().emit(op, {x}, {{"axes", std::move(axes)}}).value();
}

// What changes nothing when combined.
Value identity(Graph& g, Op op, DType type) {
  Tensor t({}, type);
  visit(type, [&](auto zero) {
    using T = decltype(zero);
    using Limits = std::numeric_limits<T>;
    T value = op == Op::reduce_prod ? T(1) : T(0);
    if (op == Op::reduce_max) value = std::is_floating_point_v<T> ? -Limits::infinity() : Limits::lowest();
    if (op == Op::reduce_min) value = std::is_floating_point_v<T> ? Limits::infinity() : Limits::max();
    *t.data<T>() = value;
  });
  return constant(g, t);
}

// Length of the parts of an axis of n elements. One that divides n needs no padding.
std::int64_t part_length(std::int64_t n, std::int64_t results) {
  const std::int64_t wanted =
      std::min(std::clamp(part_elements / results, shortest_part, longest_part), n / fewest_parts);
  for (std::int64_t length = wanted; length >= wanted / 2; length--)
    if (n % length == 0) return length;
  return wanted;
}

// Reduces axis `axis` of x in parts.
Value reduce_in_parts(Op op, Value x, std::int64_t axis, std::int64_t results) {
  const std::int64_t n = x.shape()[at(axis)];
  const std::int64_t length = part_length(n, results), parts = (n + length - 1) / length;
  if (parts * length > n) {
    Ints low(at(x.rank()), 0), high = low;
    high[at(axis)] = parts * length - n;
    x = pad(x, identity(x.graph(), op, x.dtype()), std::move(low), std::move(high));
  }
  Ints sizes = x.shape().sizes();
  sizes[at(axis)] = length;
  sizes.insert(sizes.begin() + axis, parts);
  return reduce(op, reduce(op, reshape(x, Shape(std::move(sizes))), {axis + 1}), {axis});
}

// The two reductions that do the same, or null if one is enough.
Value split(const Node& n) {
  const Value x = n.operand(0);
  const Ints& axes = n.attributes.ints("axes");
  if (axes.empty() || x.shape().elements() == 0) return {};
  const std::int64_t batch = axes[0] > 0 ? x.shape()[0] : 1;
  const std::int64_t elements = x.shape().elements() / batch, results = n.type().shape.elements() / batch;
  if (results > many_results || elements < worth_splitting) return {};
  std::int64_t rows = 1;  // results that threads can share without touching each other's elements
  for (std::int64_t axis = 1; axis < axes[0]; axis++) rows *= x.shape()[at(axis)];
  if (rows >= fewest_parts) return {};
  const std::int64_t combined = elements / results;
  if (combined < fewest_parts * shortest_part) return {};

  const std::int64_t first = x.shape()[at(axes[0])];
  if (first >= fewest_parts && combined / first >= fewest_parts) {
    // The outermost reduced axis last: images one by one, then over the batch.
    const Value inner = reduce(n.op, x, Ints(axes.begin() + 1, axes.end()));
    return reduce(n.op, inner, {axes[0]});
  }
  const bool neighbours = axes.back() - axes.front() + 1 == static_cast<std::int64_t>(axes.size());
  if (!neighbours) return {};
  Ints sizes = x.shape().sizes();
  sizes.erase(sizes.begin() + axes.front(), sizes.begin() + axes.back() + 1);
  sizes.insert(sizes.begin() + axes.front(), combined);
  return reduce_in_parts(n.op, reshape(x, Shape(std::move(sizes))), axes.front(), results);
}

// Into how many sums the gradient of a kernel is cut. One of few elements makes few register tiles, each a
// sum over all images: threads then share the images, by a number that divides them.
std::int64_t kernel_grad_parts(const Shape& dy, const Shape& kernel, std::int64_t groups) {
  constexpr std::int64_t wanted_tiles = 16, tile_rows = 24, tile_columns = 64;
  constexpr std::int64_t worth_sharing = 1 << 18;  // multiply-adds: a few us
  const std::int64_t filters = kernel.back() / groups,
                     rows = kernel.elements() / std::max<std::int64_t>(kernel.back(), 1);
  const std::int64_t images = dy[0], pixels = dy.elements() / std::max<std::int64_t>(dy.back(), 1);
  const bool depthwise = groups > 1 && filters == 1;
  if (depthwise || kernel.elements() == 0 || pixels * kernel.elements() < worth_sharing) return 1;
  const auto tiles_along = [](std::int64_t n, std::int64_t tile) { return (n + tile - 1) / tile; };
  const std::int64_t tiles = groups * tiles_along(rows, tile_rows) * tiles_along(filters, tile_columns);
  const std::int64_t wanted = wanted_tiles / tiles;
  for (std::int64_t parts = wanted; parts >= 2 && parts <= std::min(2 * wanted, images); parts++)
    if (images % parts == 0) return parts;
  for (std::int64_t parts = std::min(wanted, images); parts >= 2; parts--)
    if (images % parts == 0) return parts;
  return 1;
}

bool split_kernel_grad(Rewriter& rewriter, const Node& n) {
  const ConvAttrs attrs = conv_attrs(n.attributes);
  const Value x = rewriter(n.operand(0)), dy = rewriter(n.operand(1));
  const Shape& kernel = n.type().shape;
  const std::int64_t parts = kernel_grad_parts(dy.shape(), kernel, attrs.groups);
  if (parts == 1) return false;
  rewriter.replace(n.value(), reduce_sum(conv_kernel_sums(x, dy, kernel, attrs, parts), {0}));
  return true;
}

}  // namespace

Graph split_reductions(const Graph& graph) {
  return Rewriter::run(graph, [](Rewriter& rewriter, const Node& old) {
    if (old.op == Op::conv_kernel_grad) return split_kernel_grad(rewriter, old);
    if (!is_reduction(old.op)) return false;
    Value v = rewriter.copy(old).value();
    // The second of the two may still be long.
    while (const Value better = is_reduction(v.node->op) ? split(*v.node) : Value{}) v = better;
    rewriter.replace(old.value(), v);
    return true;
  });
}

}  // namespace kiln::graph
