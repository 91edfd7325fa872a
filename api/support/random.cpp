#include "api/support/random.h"

#include <cmath>
#include <mutex>
#include <numbers>
#include <numeric>
#include <random>
#include <utility>

#include "kiln/runtime/philox.h"

namespace kiln {
namespace {

struct GlobalSeed {
  std::mutex mutex;
  std::int64_t seed = 0;
  std::int64_t used = 0;

  GlobalSeed() {
    std::random_device device;
    seed = static_cast<std::int64_t>((std::uint64_t{device()} << 32) | device());
  }
};

GlobalSeed& global_seed() {
  static GlobalSeed seed;
  return seed;
}

// Streams of Philox: graphs number theirs from 0 upwards, so those of the host start far away.
constexpr std::int32_t seed_stream = 0x7fff0001;
constexpr std::int32_t host_stream = 0x7fff0002;
constexpr std::int32_t derived_stream = 0x7fff0003;

std::int64_t two_words(std::int64_t seed, std::int64_t n, std::int32_t stream) {
  const std::uint64_t high = random_word(seed, n, stream, 0);
  const std::uint64_t low = random_word(seed, n, stream, 1);
  return static_cast<std::int64_t>((high << 32) | low);
}

}  // namespace

void set_random_seed(std::int64_t seed) {
  GlobalSeed& global = global_seed();
  const std::lock_guard lock(global.mutex);
  global.seed = seed;
  global.used = 0;
}

namespace internal {

std::int64_t next_seed() {
  GlobalSeed& global = global_seed();
  const std::lock_guard lock(global.mutex);
  return two_words(global.seed, global.used++, seed_stream);
}

std::int64_t derived_seed(std::int64_t seed, std::int64_t n) {
  return two_words(seed, n, derived_stream);
}

std::uint32_t RandomSequence::word() {
  // The index takes 34 bits of the counter; the step takes the rest.
  const std::int64_t i = position_++;
  return random_word(seed_, i >> 32, host_stream, i & 0xffffffff);
}

double RandomSequence::uniform() {
  const std::uint64_t high = word() >> 5;
  const std::uint64_t low = word() >> 6;
  return static_cast<double>((high << 26) | low) * 0x1p-53;
}

double RandomSequence::normal() {
  if (std::exchange(has_spare_, false)) return spare_;
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  const double angle = 2 * std::numbers::pi * uniform();
  spare_ = radius * std::sin(angle);
  has_spare_ = true;
  return radius * std::cos(angle);
}

std::int64_t RandomSequence::below(std::int64_t n) {
  const std::uint64_t bound = static_cast<std::uint64_t>(n);
  const std::uint64_t limit =
      UINT64_MAX - UINT64_MAX % bound;  // the last, short run of values is drawn again
  for (;;) {
    const std::uint64_t high = word();
    const std::uint64_t value = (high << 32) | word();
    if (value < limit) return static_cast<std::int64_t>(value % bound);
  }
}

std::vector<std::int64_t> permutation(std::int64_t n, std::int64_t seed) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  RandomSequence random(seed);
  for (std::int64_t i = n - 1; i > 0; i--)
    std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(random.below(i + 1))]);
  return order;
}

}  // namespace internal
}  // namespace kiln
