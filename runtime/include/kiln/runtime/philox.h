#pragma once
#include <array>
#include <cstdint>

namespace kiln {

/// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): four random words
/// as a function of a 128-bit counter and a 64-bit key.
constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> c,
                                                  std::array<std::uint32_t, 2> k) {
  for (int round = 0; round < 10; round++) {
    if (round > 0) {
      k[0] += 0x9E3779B9u;
      k[1] += 0xBB67AE85u;
    }
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
  }
  return c;
}

/// Random word number `index` of the stream (seed, step, stream): word index % 4 of
/// philox4x32({index / 4, stream, step low, step high}, {seed low, seed high}).
constexpr std::uint32_t random_word(std::int64_t seed, std::int64_t step, std::int32_t stream,
                                    std::int64_t index) {
  const auto u = static_cast<std::uint64_t>(step);
  const auto s = static_cast<std::uint64_t>(seed);
  const auto r = philox4x32({static_cast<std::uint32_t>(index / 4), static_cast<std::uint32_t>(stream),
                             static_cast<std::uint32_t>(u), static_cast<std::uint32_t>(u >> 32)},
                            {static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(s >> 32)});
  return r[static_cast<std::size_t>(index % 4)];
}

/// So many counters make so many neighbours among the graph's `random_bits`: first the word 0 of each, then
/// the words 1. So a vector of counters makes four vectors of results.
inline constexpr int random_counters = 16, random_words = 4 * random_counters;

/// Number of the word that element `i` of `random_bits` is.
constexpr std::int64_t random_bits_word(std::int64_t i) {
  return (i / random_words * random_counters + i % random_counters) * 4 + i / random_counters % 4;
}

}  // namespace kiln
