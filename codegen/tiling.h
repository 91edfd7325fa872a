#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "codegen/target.h"

/// The decisions about sizes: how work is cut into tiles, and what a tile keeps in registers. They depend on
/// shapes and the target only, never on the number of threads, so the results are the same for any team.
namespace kiln::codegen {

/// A box of points cut into tiles: whole sub-boxes of the axes after `axis`, `block` steps of `axis`, one
/// step of the axes before it.
struct Tiling {
  int axis = 0;
  std::int64_t block = 1;
  std::int64_t tiles = 1;
};
/// At most about `most` tiles.
Tiling tile_box(std::span<const std::int64_t> extents, double work, const Target& target, double most);

/// More tiles than this give no better balance on the machines we know; kernels whose tiles reuse what they
/// have in the cache make do with fewer, larger ones.
inline constexpr double most_tiles = 128, most_large_tiles = 64;

/// Elements of a long vector loop that make one part of it.
std::int64_t vector_part(std::int64_t extent, double work, int lanes, const Target& target);

/// `extent` cut into as few parts of at most `most` as there can be, which differ by one at most: a short
/// rest would read as much of the right operand for its few sums as a whole part for many. Both are positive.
struct EvenParts {
  EvenParts(std::int64_t extent, std::int64_t most)
      : count((extent + most - 1) / most), size(extent / count), larger(extent % count) {}
  std::int64_t largest() const { return larger > 0 ? size + 1 : size; }

  std::int64_t count, size;  ///< parts of this size,
  std::int64_t larger;       ///< but that so many, the first ones, are larger by one
};

/// A product's register tile: at most rows x vectors of accumulators.
struct ProductTile {
  int rows = 1;
  int vectors = 1;
};
/// The best tiles by a cost model, the very best first. `group`: a tile's rows are a multiple of it, as
/// `rows` are.
std::vector<ProductTile> product_tiles(std::int64_t rows, std::int64_t columns, int lanes,
                                       const Target& target, std::int64_t group = 1);
ProductTile product_tile(std::int64_t rows, std::int64_t columns, int lanes, const Target& target,
                         std::int64_t group = 1);

/// Steps of a product's innermost k loop (`steps` long, of `all_steps` in all) that are made for one tile of
/// rows after the other, so that their part of the right operand (`step_bytes` a step, in rows of
/// `row_bytes`) stays in the cache; 0 if they may as well read it from where it is, all steps at once.
std::int64_t cached_steps(std::int64_t steps, std::int64_t all_steps, std::int64_t step_bytes,
                          std::int64_t row_bytes, const Target& target);

/// Do so many steps' parts stay in the second cache, read from where they are? For that they may not all fall
/// on few of its sets. All ways of those count: of 512 x 512 a panel fills an eighth of the cache to the last
/// line, and even so a copy of it is slower (512 rows: 112 GF/s of 118, in place 114).
bool panel_stays(std::int64_t steps, std::int64_t step_bytes, std::int64_t row_bytes, const Target& target);

inline constexpr std::int64_t page_bytes = 4096, line_bytes = 64;

/// An array that the second cache doesn't hold: what is read or written of it is worth asking for ahead.
inline bool is_far(std::int64_t bytes, const Target& target) {
  return !target.is_small && bytes > target.l2_bytes;
}

/// The cache behind the second, of which we know no more than that it is several times as large.
inline std::int64_t last_cache_bytes(const Target& target) {
  return 4 * target.l2_bytes;
}

/// Tiles of rows that make up for a copy of the part of the right operand that they share.
inline constexpr std::int64_t fewest_packed_tiles = 12;
/// So few tiles of rows ask ahead for a right operand: more of them read it often enough to wait for it once.
inline constexpr std::int64_t most_asking_tiles = 24;

/// How many of `count` tiles of rows share a copy. With each of the `panels` and each pass, a tile reads
/// `bytes` of the left operand.
std::int64_t packed_row_tiles(std::int64_t count, std::int64_t bytes, std::int64_t panels,
                              const Target& target);

/// How many of them pass by each part of a right operand that lies in panels, before the next panel.
std::int64_t panel_row_tiles(std::int64_t count, std::int64_t bytes, std::int64_t panels,
                             const Target& target);

/// Rows of a right operand (`steps` rows of `row_bytes`) that are read side by side where its elements serve
/// only `tiles_of_rows` tiles; 0 if it fits into the cache, can't be cut so, or serves enough tiles to be
/// packed for them.
std::int64_t streamed_steps(std::int64_t steps, std::int64_t row_bytes, std::int64_t tiles_of_rows,
                            const Target& target);
/// Bytes of such a row that one tile reads at a time: prefetchers follow rows, and pages are visited seldom.
inline constexpr double streamed_bytes = 4096, fewest_streamed_tiles = 4;

/// Is a transformed Winograd kernel too large for the second cache?
bool kernel_is_large(std::int64_t channels, std::int64_t filters, const Target& target);

/// How a Winograd convolution is cut: `tiles` tiles of the image at a time, and `filters` filters.
struct WinogradBlock {
  std::int64_t tiles = 1;
  std::int64_t filters = 1;
};
WinogradBlock winograd_block(std::int64_t tiles, std::int64_t channels, std::int64_t filters, int lanes,
                             const Target& target);

/// Is a Winograd convolution to be computed a few tiles at a time, whose sums are in registers? Where the
/// transformed kernel stays in the first cache, as each of them reads all of it, in whole vectors. In
/// exported code, whose memory counts, also where that is a tenth slower.
bool sums_in_registers(std::int64_t channels, std::int64_t filters, int lanes, const Target& target);

/// How it is cut then: into `tiles` tiles of the image and `vectors` of filters at a time, whose
/// sums at a column's six positions have a register each.
struct WinogradRegisters {
  std::int64_t tiles = 1, vectors = 1;
};
WinogradRegisters winograd_registers(std::int64_t tiles, std::int64_t filters, int lanes,
                                     const Target& target);

/// With the batch last: images whose squares the cache holds.
std::int64_t winograd_images(std::int64_t images, std::int64_t channels, std::int64_t filters, int lanes,
                             const Target& target);
/// Would a block's part of `batch` images, which its tiles read again and again, fall out of the cache
/// because it lies in `pieces` of `images` elements, a batch apart? Then it is copied to where they follow
/// one another.
bool copies_images(std::int64_t pieces, std::int64_t images, std::int64_t batch, const Target& target);

/// For the gradient of its kernel: blocks of channels and of filters, which divide them, and tiles that are
/// transformed at a time, of the `tiles` that one sum runs over.
struct WinogradGradBlock {
  std::int64_t tiles = 1;
  std::int64_t channels = 1, filters = 1;
};
WinogradGradBlock winograd_grad_block(std::int64_t tiles, std::int64_t channels, std::int64_t filters);

/// Registers that may hold accumulators, when the rest serve operands.
int accumulator_registers(const Target& target);

/// A reduction's registers: `chains` independent accumulators of `vectors` vectors each.
struct ReductionTile {
  int chains = 1;
  int vectors = 1;
};
/// `steps` is the length of the innermost reduced loop and `states` the registers that one accumulator needs.
/// The number of chains decides the order of a sum: it depends on `steps` and `states` only.
ReductionTile reduction_tile(std::int64_t steps, std::int64_t vectors, int states, bool splits,
                             const Target& target);

/// A float sum with more steps than this is made of partial sums of `partial_steps`, so that its rounding
/// error grows with the length of the parts and not of the whole.
inline constexpr std::int64_t longest_chain = 512;
inline constexpr std::int64_t partial_steps = 256;

}  // namespace kiln::codegen
