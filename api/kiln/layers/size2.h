#pragma once
#include <cstdint>

namespace kiln {

/// A height and a width: `3`, or `{3, 5}`.
struct Size2 {
  std::int64_t height = 1;
  std::int64_t width = 1;

  constexpr Size2(std::int64_t both) : height(both), width(both) {}
  constexpr Size2(std::int64_t h, std::int64_t w) : height(h), width(w) {}
  friend bool operator==(const Size2&, const Size2&) = default;
};

}  // namespace kiln
