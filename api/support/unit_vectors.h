#pragma once
#include "kiln/graph/ops.h"

namespace kiln::internal {

/// x / max(sqrt(sum(x^2)), epsilon), the sum over some axes. The squares are kept from 0 before the root,
/// where its slope is infinite.
inline graph::Value unit_vectors(graph::Value x, const graph::Ints& axes, double epsilon) {
  const graph::Value squares = graph::reduce_sum(x * x, axes, /*keepdims=*/true);
  return x * graph::rsqrt(graph::maximum(squares, graph::scalar(squares, epsilon * epsilon)));
}

}  // namespace kiln::internal
