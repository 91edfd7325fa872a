#pragma once
#include <cstdint>
#include <vector>

#include "kiln/random.h"

namespace kiln::internal {

/// A seed for one use (a weight's initial values, a model's dropout masks, one epoch's order): the next word
/// of the global sequence.
std::int64_t next_seed();

/// The n-th of the seeds that one seed stands for.
std::int64_t derived_seed(std::int64_t seed, std::int64_t n);

/// A sequence of random numbers with a seed of its own, made of Philox words.
class RandomSequence {
 public:
  explicit RandomSequence(std::int64_t seed) : seed_(seed) {}
  std::uint32_t word();
  /// [0, 1), 53 bits
  double uniform();
  /// Standard normal (Box and Muller).
  double normal();
  /// Integer in [0, n), without bias.
  std::int64_t below(std::int64_t n);

 private:
  std::int64_t seed_;
  std::int64_t position_ = 0;
  bool has_spare_ = false;
  double spare_ = 0;
};

/// The numbers 0 .. n-1 in random order (Fisher and Yates).
std::vector<std::int64_t> permutation(std::int64_t n, std::int64_t seed);

}  // namespace kiln::internal
