#include "runtime/memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace kiln::runtime {
namespace {

constexpr std::uintptr_t huge_page = std::uintptr_t{2} << 20;

struct Free {
  void operator()(void* p) const { std::free(p); }
};
using Memory = std::unique_ptr<void, Free>;

std::uintptr_t address(const Memory& memory) {
  return reinterpret_cast<std::uintptr_t>(memory.get());
}

TEST(Memory, BeginsWithACacheLine) {
  for (const std::uint64_t bytes : {0, 1, 100, 300'000})
    for (const auto from : {allocate, allocate_scratch}) {
      const Memory memory(from(bytes));
      ASSERT_NE(memory, nullptr) << bytes;
      EXPECT_EQ(address(memory) % kAlignment, 0u) << bytes;
    }
}

TEST(Memory, OfScratchFillsHugePages) {
  for (const std::uint64_t bytes : {256 << 10, 3 << 20, 9 << 20}) {
    const Memory memory(allocate_scratch(bytes));
    ASSERT_NE(memory, nullptr) << bytes;
    EXPECT_EQ(address(memory) % huge_page, 0u) << bytes;
  }
}

TEST(Memory, BeyondTheMachinesIsNone) {
  for (const std::uint64_t bytes : {UINT64_MAX, UINT64_MAX - huge_page, UINT64_MAX / 2}) {
    EXPECT_EQ(allocate(bytes), nullptr) << bytes;
    EXPECT_EQ(allocate_scratch(bytes), nullptr) << bytes;
  }
}

}  // namespace
}  // namespace kiln::runtime
