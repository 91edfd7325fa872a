#pragma once
#include <limits>
#include <type_traits>

namespace kiln {

/// Converts one element between any two element types. Defined for every value, unlike C++'s own conversion,
/// and the rule for tensors (`astype`), for the graph's `convert`, and for compiled code:
///  - floating to integer truncates towards zero, saturates at the ends of the range, and makes NaN 0;
///  - integer to narrower integer keeps the low bits;
///  - anything to bool is `x != 0` (so NaN is true), bool to anything is 0 or 1;
///  - the rest rounds to nearest, ties to even.
template <class To, class From>
constexpr To convert(From x) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != From{};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // The bounds are powers of two (or zero), so they are exact in From: [-2^(n-1), 2^(n-1)) or [0, 2^n).
    constexpr auto lowest = static_cast<From>(std::numeric_limits<To>::min());
    constexpr auto end = static_cast<From>(std::numeric_limits<To>::max() / 2 + 1) * 2;
    if (x != x) return To{0};
    if (x <= lowest) return std::numeric_limits<To>::min();
    if (x >= end) return std::numeric_limits<To>::max();
    return static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

}  // namespace kiln
