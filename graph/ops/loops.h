#pragma once
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "graph/ops/support.h"

/// Loops of the reference evaluations: they are written to be read, not to be fast.
namespace kiln::graph {

/// Calls `f(index)` for every multi-index of `shape` in row-major order: once for rank 0, never if a size is
/// 0.
template <class F>
void for_each_index(const Shape& shape, F&& f) {
  Ints index(static_cast<std::size_t>(shape.rank()), 0);
  for (std::int64_t left = shape.elements(); left > 0; left--) {
    f(static_cast<const Ints&>(index));
    for (std::size_t axis = index.size(); axis-- > 0;) {
      if (++index[axis] < shape[axis]) break;
      index[axis] = 0;
    }
  }
}

/// A row-major array seen along one axis: element (outer, i, inner) lies at (outer * size + i) * inners +
/// inner.
struct AxisView {
  std::int64_t outers = 1, size = 1, inners = 1;
  AxisView(const Shape& shape, std::int64_t axis) : size(shape[static_cast<std::size_t>(axis)]) {
    for (std::size_t i = 0; i < shape.sizes().size(); i++) {
      if (static_cast<std::int64_t>(i) < axis) outers *= shape[i];
      if (static_cast<std::int64_t>(i) > axis) inners *= shape[i];
    }
  }
  std::int64_t at(std::int64_t outer, std::int64_t i, std::int64_t inner) const {
    return (outer * size + i) * inners + inner;
  }
};

/// Integers are never NaN.
template <class T>
bool is_nan(T v) {
  if constexpr (std::is_floating_point_v<T>)
    return std::isnan(v);
  else
    return false;
}

/// a + b; integers wrap around, as the graph's do (signed overflow would be undefined in C++).
template <class T>
T wrapping_add(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
  } else {
    return a + b;
  }
}

}  // namespace kiln::graph
