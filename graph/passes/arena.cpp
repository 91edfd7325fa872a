#include "graph/passes/arena.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace kiln::graph {
namespace {

std::int64_t round_up(std::int64_t bytes) {
  return (bytes + arena_alignment - 1) / arena_alignment * arena_alignment;
}

// The start of the smallest gap between `busy` blocks (sorted by offset) that holds `bytes`, or behind them
// all.
std::int64_t best_gap(const std::vector<const ArenaBlock*>& busy, std::int64_t bytes) {
  std::int64_t end = 0, best = -1, best_size = std::numeric_limits<std::int64_t>::max();
  for (const ArenaBlock* b : busy) {
    const std::int64_t size = b->offset - end;
    if (size >= bytes && size < best_size) best = end, best_size = size;
    end = std::max(end, b->offset + round_up(b->bytes));
  }
  return best >= 0 ? best : end;
}

}  // namespace

std::int64_t place_blocks(std::vector<ArenaBlock>& blocks) {
  std::vector<std::size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(-blocks[a].bytes, a) < std::pair(-blocks[b].bytes, b);
  });
  std::vector<const ArenaBlock*> placed;  // by offset
  std::int64_t total = 0;
  for (std::size_t i : order) {
    ArenaBlock& block = blocks[i];
    std::vector<const ArenaBlock*> busy;
    for (const ArenaBlock* p : placed)
      if (p->first <= block.last && block.first <= p->last) busy.push_back(p);
    block.offset = best_gap(busy, round_up(block.bytes));
    total = std::max(total, block.offset + round_up(block.bytes));
    placed.insert(std::upper_bound(placed.begin(), placed.end(), &block,
                                   [](auto* a, auto* b) { return a->offset < b->offset; }),
                  &block);
  }
  return total;
}

}  // namespace kiln::graph
