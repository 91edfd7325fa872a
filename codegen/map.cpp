#include <algorithm>
#include <limits>

#include "codegen/cost.h"
#include "codegen/lowering.h"
#include "codegen/tiling.h"

/// Groups without a root: every element of the outputs is computed by itself. What there is to decide is how
/// many of the trailing axes run as one vector loop: all of them if every array is read in order, fewer if
/// some are broadcast or moved along the way.
namespace kiln::codegen {
namespace {

/// Instructions for one element when the last `merged` axes are one vector loop.
double cost_of_merging(const Lowering& lowering, std::span<const std::int64_t> shape, std::size_t merged) {
  const std::size_t outer = shape.size() - merged;
  const std::int64_t extent = product(shape.subspan(outer));
  const int lanes = lowering.lanes();
  Var var;
  const Block body = lowering.probe([&](Lowering& l) {
    Indices index;
    for (std::size_t i = 0; i < outer; i++) index.emplace_back(l.fresh("i", shape[i]));
    var = l.fresh("v", extent);
    for (const Index& i : unflatten(Index(var), shape.subspan(outer))) index.push_back(i);
    l.store_outputs(index);
  });
  constexpr double loop_overhead = 3;
  const auto chunks = static_cast<double>((extent + lanes - 1) / lanes);
  return (vector_cost(body, var, lanes) * chunks + loop_overhead) / static_cast<double>(extent);
}

}  // namespace

void lower_map(Lowering& l) {
  const std::vector<std::int64_t>& shape = l.group().space.sizes();
  if (product(shape) == 0) return;

  std::size_t merged = std::min<std::size_t>(1, shape.size());
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t m = merged; m <= shape.size(); m++) {
    const double cost = cost_of_merging(l, shape, m);
    if (cost <= best) {
      best = cost;
      merged = m;
    }
  }

  const std::span<const std::int64_t> all(shape);
  const auto outer = all.first(shape.size() - merged), inner = all.last(merged);
  const std::int64_t extent = product(inner);
  l.narrow_lanes(extent);
  const double work = best * l.lanes();
  const std::int64_t width = vector_part(extent, work, l.lanes(), l.target());
  std::vector<std::int64_t> points(outer.begin(), outer.end());
  points.push_back((extent + width - 1) / width);
  l.tiles(points, work * static_cast<double>(width), [&](const Indices& point) {
    l.part(point.back(), extent, width, [&](const Index& start, std::int64_t count) {
      l.vector("v", count, [&](const Index& v) {
        Indices index(point.begin(), point.end() - 1);
        for (const Index& i : unflatten(start + v, inner)) index.push_back(i);
        l.store_outputs(index);
      });
    });
  });
}

}  // namespace kiln::codegen
