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

using Order = std::vector<std::size_t>;

std::int64_t end_of(const ArenaBlock& block) {
  return block.offset + round_up(block.bytes);
}

// Each block in turn goes into the smallest gap that holds it.
std::int64_t place_in_order(std::vector<ArenaBlock>& blocks, const Order& order) {
  std::vector<const ArenaBlock*> placed;  // by offset
  std::int64_t total = 0;
  for (std::size_t i : order) {
    ArenaBlock& block = blocks[i];
    std::vector<const ArenaBlock*> busy;
    for (const ArenaBlock* p : placed)
      if (p->first <= block.last && block.first <= p->last) busy.push_back(p);
    block.offset = best_gap(busy, round_up(block.bytes));
    total = std::max(total, end_of(block));
    placed.insert(std::upper_bound(placed.begin(), placed.end(), &block,
                                   [](auto* a, auto* b) { return a->offset < b->offset; }),
                  &block);
  }
  return total;
}

// The most bytes that are in use at one time: no placement needs less.
std::int64_t least_bytes(const std::vector<ArenaBlock>& blocks) {
  std::int64_t most = 0;
  for (const ArenaBlock& at : blocks) {
    std::int64_t sum = 0;
    for (const ArenaBlock& b : blocks)
      if (b.first <= at.first && at.first <= b.last) sum += round_up(b.bytes);
    most = std::max(most, sum);
  }
  return most;
}

}  // namespace

std::int64_t place_blocks(std::vector<ArenaBlock>& blocks) {
  Order order(blocks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(-blocks[a].bytes, a) < std::pair(-blocks[b].bytes, b);
  });
  std::int64_t total = place_in_order(blocks, order);
  constexpr int most_tries = 64;
  const std::int64_t least = least_bytes(blocks);
  std::vector<ArenaBlock> tried = blocks;
  for (int i = 0; i < most_tries && total > least; ++i) {
    // What came to lie on top comes first.
    const auto top = std::max_element(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return end_of(tried[a]) < end_of(tried[b]);
    });
    std::rotate(order.begin(), top, top + 1);
    const std::int64_t bytes = place_in_order(tried, order);
    if (bytes < total) {
      total = bytes;
      blocks = tried;
    }
  }
  return total;
}

}  // namespace kiln::graph
