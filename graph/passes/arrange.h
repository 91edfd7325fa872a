#pragma once
#include "graph/ops/support.h"
#include "kiln/graph/ops.h"

/// Axes in another order or form, by as few nodes as that takes.
namespace kiln::graph {

inline Value reshaped(Value x, const Shape& shape) {
  return x.shape() == shape ? x : reshape(x, shape);
}

/// True if this order of the axes leaves the elements where they are: axes of size 1 may go anywhere.
inline bool keeps_order(const Shape& shape, const Ints& axes) {
  std::int64_t last = -1;
  for (std::int64_t axis : axes) {
    if (shape[at(axis)] == 1) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

/// x with its axes in that order, as `shape`.
inline Value arranged(Value x, const Ints& order, const Shape& shape) {
  return reshaped(keeps_order(x.shape(), order) ? x : transpose(x, order), shape);
}

}  // namespace kiln::graph
