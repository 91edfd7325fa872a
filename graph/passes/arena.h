#pragma once
#include <cstdint>
#include <vector>

namespace kiln::graph {

/// Bytes that are in use from the group `first` up to and including the group `last`.
struct ArenaBlock {
  std::int64_t bytes = 0;
  int first = 0, last = 0;
  std::int64_t offset = 0;  ///< set by place_blocks
};

inline constexpr std::int64_t arena_alignment = 64;

/// Gives every block an aligned offset so that blocks in use at the same time don't overlap; returns the
/// bytes needed in all. Largest first, each into the smallest gap that holds it; where that takes more than
/// is in use at any time, also in some orders in which what came to lie on top is placed first.
std::int64_t place_blocks(std::vector<ArenaBlock>& blocks);

}  // namespace kiln::graph
