#include "codegen/tiling.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <vector>

#include "graph/elemental.h"
#include "graph/ops/winograd.h"

namespace kiln::codegen {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

/// A tile with less work costs more to hand out and to end than it gains.
double smallest_tile(const Target& target) {
  return 1024.0 * target.lanes(DType::f32);
}

/// The distance at which pieces of `piece_bytes` that lie `distance` bytes apart would use as many sets.
std::int64_t pattern_of_pieces(std::int64_t piece_bytes, std::int64_t distance) {
  return std::max(piece_bytes, std::gcd(distance, page_bytes));
}

/// Bytes that the second cache holds of pieces of `piece_bytes` that lie `distance` bytes apart. Where that
/// has a large divisor in common with a page, they meet in few of its sets: three quarters of those; else
/// `most`.
std::int64_t room_for_pieces(std::int64_t piece_bytes, std::int64_t distance, std::int64_t most,
                             const Target& target) {
  const std::int64_t pattern = pattern_of_pieces(piece_bytes, distance);
  return pattern == piece_bytes ? most : target.l2_bytes * 3 / 4 * piece_bytes / pattern;
}

/// The smallest divisor of `extent` in [low, 2 low], or `low` if there is none: then the last block is short.
std::int64_t good_block(std::int64_t extent, std::int64_t low) {
  for (std::int64_t block = low; block <= std::min(2 * low, extent); block++)
    if (extent % block == 0) return block;
  return low;
}

}  // namespace

Tiling tile_box(std::span<const std::int64_t> extents, double work, const Target& target, double most) {
  double total = work;
  for (std::int64_t extent : extents) total *= static_cast<double>(extent);
  const double wanted = std::max(smallest_tile(target), total / most);
  int axis = static_cast<int>(extents.size());
  double inner = work;
  while (axis > 0 && inner * static_cast<double>(extents[static_cast<std::size_t>(axis - 1)]) <= wanted)
    inner *= static_cast<double>(extents[static_cast<std::size_t>(--axis)]);
  if (axis == 0) return {0, extents.empty() ? 1 : extents[0], 1};
  axis--;
  const std::int64_t extent = extents[static_cast<std::size_t>(axis)];
  const auto least = static_cast<std::int64_t>(wanted / inner);
  Tiling result;
  result.axis = axis;
  result.block = good_block(extent, std::clamp<std::int64_t>(least, 1, extent));
  result.tiles = ceil_div(extent, result.block);
  for (int i = 0; i < axis; i++) result.tiles *= extents[static_cast<std::size_t>(i)];
  return result;
}

std::int64_t vector_part(std::int64_t extent, double work, int lanes, const Target& target) {
  const double total = work * static_cast<double>(extent);
  const double wanted = std::max(smallest_tile(target), total / most_tiles) / work;
  const std::int64_t vectors = std::max<std::int64_t>(1, static_cast<std::int64_t>(wanted) / lanes);
  if (extent < 2 * vectors * lanes) return extent;
  if (extent % lanes == 0) return lanes * good_block(extent / lanes, vectors);
  return lanes * vectors;
}

std::int64_t cached_steps(std::int64_t steps, std::int64_t all_steps, std::int64_t step_bytes,
                          std::int64_t row_bytes, const Target& target) {
  // A quarter of the cache, as the panel's rows lie far apart and may fall on few of its sets even so.
  const std::int64_t room = room_for_pieces(step_bytes, row_bytes, target.l2_bytes / 4, target);
  if (all_steps * step_bytes < room) return 0;
  constexpr std::int64_t fewest = 64;  // below, loading and storing the sums would show
  const std::int64_t most = std::min<std::int64_t>(1024, target.l2_bytes / 4 / step_bytes);
  for (std::int64_t block = std::min(steps, most); block >= fewest; block--)
    if (steps % block == 0) return block;
  return 0;
}

bool panel_stays(std::int64_t steps, std::int64_t step_bytes, std::int64_t row_bytes, const Target& target) {
  const std::int64_t pattern = pattern_of_pieces(step_bytes, row_bytes);
  return steps * step_bytes <= std::min(target.l2_bytes / 2, target.l2_bytes * step_bytes / pattern);
}

namespace {

/// Tiles of rows in a block: what they read stays in a cache, and there are enough blocks for all threads.
std::int64_t row_tiles_of_block(std::int64_t count, std::int64_t bytes, std::int64_t panels,
                                std::int64_t cache_bytes, std::int64_t most_blocks) {
  constexpr std::int64_t fewest_tiles = 16;
  const std::int64_t wanted = std::max(ceil_div(count * bytes, cache_bytes), ceil_div(fewest_tiles, panels));
  return ceil_div(count, std::clamp<std::int64_t>(wanted, 1, most_blocks));
}

}  // namespace

std::int64_t packed_row_tiles(std::int64_t count, std::int64_t bytes, std::int64_t panels,
                              const Target& target) {
  // A copy takes as long as the products of several tiles. So the left operand comes from the last cache,
  // which hides behind the products; from memory it wouldn't.
  return row_tiles_of_block(count, bytes, panels, last_cache_bytes(target), count / fewest_packed_tiles);
}

std::int64_t panel_row_tiles(std::int64_t count, std::int64_t bytes, std::int64_t panels,
                             const Target& target) {
  return row_tiles_of_block(count, bytes, panels, target.l2_bytes / 2, count);
}

std::int64_t streamed_steps(std::int64_t steps, std::int64_t row_bytes, std::int64_t tiles_of_rows,
                            const Target& target) {
  // Panels, copied or read in place, are quicker where many tiles share them, unless the operand comes from
  // memory.
  const std::int64_t least_bytes = target.l2_bytes * (tiles_of_rows < fewest_packed_tiles ? 1 : 4);
  if (tiles_of_rows > most_asking_tiles || steps * row_bytes < least_bytes) return 0;
  // As few rows as prefetchers follow. Where sums take longer than reading, more, so that sums wait seldom;
  // but no more than stay, of one panel, in the nearest cache.
  const std::int64_t least = tiles_of_rows <= 2 ? 8 : tiles_of_rows <= 4 ? 32 : 128;
  const auto divides = [&](std::int64_t block) { return steps % block == 0 && steps > block; };
  for (std::int64_t block = least; block <= least * 5 / 4; block++)
    if (divides(block)) return block;
  for (std::int64_t block = least; block > least / 2; block--)
    if (divides(block)) return block;
  for (std::int64_t block = least * 5 / 4; block <= 2 * least; block++)
    if (divides(block)) return block;
  return 0;
}

bool kernel_is_large(std::int64_t channels, std::int64_t filters, const Target& target) {
  return graph::winograd::positions * channels * filters * 4 > target.l2_bytes;
}

bool sums_in_registers(std::int64_t channels, std::int64_t filters, int lanes, const Target& target) {
  const bool is_quick =
      target.has_fma && (filters > lanes || target.masked_access == MaskedAccess::all);  // see product_tiles
  return graph::winograd::positions * channels * filters * 4 <= target.l1_bytes / 2 && filters % lanes == 0 &&
         (is_quick || !target.has_team);
}

WinogradRegisters winograd_registers(std::int64_t tiles, std::int64_t filters, int lanes,
                                     const Target& target) {
  // Two vectors for each element of the input, where there are, and two tiles for each vector of the kernel,
  // where there are registers. More tiles would only take more memory.
  constexpr std::int64_t most = 2;
  const std::int64_t vectors = std::min(ceil_div(filters, lanes), most),
                     fit = accumulator_registers(target) / (graph::winograd::side * vectors);
  return {std::clamp<std::int64_t>(fit, 1, std::min(tiles, most)), vectors};
}

WinogradBlock winograd_block(std::int64_t tiles, std::int64_t channels, std::int64_t filters, int lanes,
                             const Target& target) {
  using graph::winograd::positions;
  constexpr std::int64_t few = 32, many = 64, fewest_blocks = 8;
  constexpr std::int64_t most_bytes = 16 << 20;  // of scratch, for each thread
  // The whole kernel is read once a block: one that doesn't stay in the cache has to serve more tiles.
  const bool large = kernel_is_large(channels, filters, target);
  const std::int64_t tile_bytes = positions * (channels + filters) * 4;
  const std::int64_t wanted = std::clamp<std::int64_t>(most_bytes / tile_bytes, 1, large ? many : few);
  const std::int64_t blocks = ceil_div(tiles, std::min(wanted, tiles));
  WinogradBlock result{ceil_div(tiles, blocks), filters};
  // Too few blocks for all threads: they share the filters, too, and each transforms the input for itself.
  const std::int64_t narrowest = 2 * lanes;
  while (blocks * ceil_div(filters, result.filters) < fewest_blocks && result.filters % 2 == 0 &&
         result.filters / 2 >= narrowest)
    result.filters /= 2;
  return result;
}

namespace {

/// A divisor of n from 32 to 64, if n is larger and has one; as many vectors as may be are full.
std::int64_t channel_block(std::int64_t n) {
  if (n <= 64) return n;
  for (std::int64_t multiple : {16, 8, 1})
    for (std::int64_t block = 64 / multiple * multiple; block >= 32; block -= multiple)
      if (n % block == 0) return block;
  return n;
}

}  // namespace

std::int64_t winograd_images(std::int64_t images, std::int64_t channels, std::int64_t filters, int lanes,
                             const Target& target) {
  using graph::winograd::positions;
  constexpr std::int64_t most = 64;
  std::int64_t block = std::min(images, most);
  while (block > lanes && positions * (channels + filters) * block * 4 > target.l2_bytes / 2) block /= 2;
  return block;
}

bool copies_images(std::int64_t pieces, std::int64_t images, std::int64_t batch, const Target& target) {
  constexpr std::int64_t size = sizeof(float), fewest_blocks = 16;  // for all threads
  const std::int64_t bytes = pieces * images * size;
  return bytes > room_for_pieces(images * size, batch * size, target.l2_bytes, target) &&
         bytes <= target.l2_bytes / 2 && batch / images >= fewest_blocks;
}

WinogradGradBlock winograd_grad_block(std::int64_t tiles, std::int64_t channels, std::int64_t filters) {
  constexpr std::int64_t wanted = 48;  // the sums are read and written once for as many
  WinogradGradBlock result{1, channel_block(channels), channel_block(filters)};
  result.tiles = ceil_div(tiles, ceil_div(tiles, std::min(wanted, tiles)));
  return result;
}

int accumulator_registers(const Target& target) {
  constexpr int short_code = 8;  // still enough to hide a multiply-add's latency
  if (target.is_small) return short_code;
  return target.vector_registers >= 32 ? 24 : 12;
}

namespace {

/// Registers that a step of a product needs beside its accumulators: a row's factor and the columns' vectors,
/// which stay while the factors come and go; a product, where it isn't added at once; the tail's mask, where
/// masks are vectors.
int operand_registers(int vectors, bool has_tail, const Target& target) {
  const bool mask = has_tail && target.masked_access == MaskedAccess::loads;
  return 1 + vectors + (target.has_fma ? 0 : 1) + (mask ? 1 : 0);
}

}  // namespace

std::vector<ProductTile> product_tiles(std::int64_t rows, std::int64_t columns, int lanes,
                                       const Target& target, std::int64_t group) {
  // A machine of two multiply-adds and two loads a cycle and a latency of four cycles; what it really is
  // hardly changes which tile is best.
  const auto step = [](double r, double v) { return std::max({r * v / 2, (r + v) / 2, 4.0}); };
  const std::int64_t vectors = ceil_div(columns, lanes);
  struct Candidate {
    double cost;
    int shapes;  ///< of tiles, each of which is code of its own
    ProductTile tile;
  };
  std::vector<Candidate> tiles;
  for (int v = 1; v <= std::min<std::int64_t>(4, vectors); v++) {
    const int rest = target.vector_registers - operand_registers(v, columns % lanes != 0, target);
    // Groups lie close together in memory, and have no pointers of their own: as many rows as there is room
    // for. Only AVX-512 multiplies by a factor in memory; elsewhere some are loaded ahead.
    const int ahead = v > 1 && target.masked_access != MaskedAccess::all ? 2 : 0;
    const int registers =
        group > 1 && !target.is_small ? rest - ahead : std::min(accumulator_registers(target), rest);
    if (v > 1 && group * v > registers) break;
    std::int64_t most = std::max<std::int64_t>(group, std::min<std::int64_t>(rows, registers / v));
    if (group == 1) most = std::min<std::int64_t>(most, v == 1 ? 14 : 8);
    for (auto r = static_cast<int>(group); r <= most; r += static_cast<int>(group)) {
      const EvenParts parts(rows / group, r / group);
      if (parts.largest() * group < r) continue;  // the same as a lower tile
      const auto cost_of = [&](std::int64_t count, std::int64_t groups) {
        const auto height = static_cast<double>(groups * group);
        double cost = static_cast<double>(vectors / v) * step(height, v);
        if (vectors % v > 0) cost += step(height, static_cast<double>(vectors % v));
        return static_cast<double>(count) * cost;
      };
      const double cost =
          cost_of(parts.larger, parts.size + 1) + cost_of(parts.count - parts.larger, parts.size);
      const std::int64_t width = std::int64_t{v} * lanes;
      const int heights = parts.larger > 0 ? 2 : 1, widths = columns > width && columns % width > 0 ? 2 : 1;
      tiles.push_back({cost, heights * widths, {r, v}});
    }
  }
  std::sort(tiles.begin(), tiles.end(), [](const Candidate& a, const Candidate& b) {
    // At equal costs fewer steps, so the larger tile; and less code.
    const auto order = [](const Candidate& c) {
      return std::tuple(c.cost, -c.tile.rows * c.tile.vectors, c.shapes, -c.tile.vectors);
    };
    return order(a) < order(b);
  });
  std::vector<ProductTile> result;
  for (const Candidate& candidate : tiles) result.push_back(candidate.tile);
  return result;
}

ProductTile product_tile(std::int64_t rows, std::int64_t columns, int lanes, const Target& target,
                         std::int64_t group) {
  return product_tiles(rows, columns, lanes, target, group).front();
}

ReductionTile reduction_tile(std::int64_t steps, std::int64_t vectors, int states, bool splits,
                             const Target& target) {
  ReductionTile result;
  if (splits && steps > graph::longest_single_chain) result.chains = 4;
  const int fit = std::max(1, accumulator_registers(target) / (result.chains * states));
  result.vectors = static_cast<int>(std::clamp<std::int64_t>(vectors, 1, std::min(4, fit)));
  return result;
}

}  // namespace kiln::codegen
