#include "kiln/runtime/philox.h"

#include <gtest/gtest.h>

namespace kiln {
namespace {

using Counter = std::array<std::uint32_t, 4>;

// The known answers that the authors publish with Random123 (kat_vectors).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, RandomWordTakesEveryPartOfItsStream) {
  const std::int64_t seed = 0x0123456789abcdef, step = 0x0fedcba987654321;
  const Counter block = philox4x32({2, 7, 0x87654321, 0x0fedcba9}, {0x89abcdef, 0x01234567});
  for (int i = 0; i < 4; i++)
    EXPECT_EQ(random_word(seed, step, 7, 8 + i), block[static_cast<std::size_t>(i)]);
}

}  // namespace
}  // namespace kiln
