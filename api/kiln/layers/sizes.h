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

/// A depth, a height and a width: `3`, or `{3, 5, 5}`.
struct Size3 {
  std::int64_t depth = 1;
  std::int64_t height = 1;
  std::int64_t width = 1;

  constexpr Size3(std::int64_t all) : depth(all), height(all), width(all) {}
  constexpr Size3(std::int64_t d, std::int64_t h, std::int64_t w) : depth(d), height(h), width(w) {}
  friend bool operator==(const Size3&, const Size3&) = default;
};

/// What is added to or taken from the two ends of an axis: `1`, or `{1, 2}`.
struct Edges1 {
  std::int64_t before = 0;
  std::int64_t after = 0;

  constexpr Edges1(std::int64_t both) : before(both), after(both) {}
  constexpr Edges1(std::int64_t b, std::int64_t a) : before(b), after(a) {}
  friend bool operator==(const Edges1&, const Edges1&) = default;
};
/// Of two axes: `1`, `{1, 2}`, or `{{1, 0}, {2, 3}}`.
struct Edges2 {
  Edges1 height = 0;
  Edges1 width = 0;

  constexpr Edges2(std::int64_t all) : height(all), width(all) {}
  constexpr Edges2(Edges1 h, Edges1 w) : height(h), width(w) {}
  friend bool operator==(const Edges2&, const Edges2&) = default;
};
struct Edges3 {
  Edges1 depth = 0;
  Edges1 height = 0;
  Edges1 width = 0;

  constexpr Edges3(std::int64_t all) : depth(all), height(all), width(all) {}
  constexpr Edges3(Edges1 d, Edges1 h, Edges1 w) : depth(d), height(h), width(w) {}
  friend bool operator==(const Edges3&, const Edges3&) = default;
};

}  // namespace kiln
