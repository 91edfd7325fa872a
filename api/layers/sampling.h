#pragma once
#include <string>

#include "kiln/graph/ops.h"

/// Images read at other places than their pixels'.
namespace kiln::internal {

struct Sampling {
  std::string fill_mode = "reflect";       ///< beyond the image: "constant", "nearest", "wrap", "reflect"
  std::string interpolation = "bilinear";  ///< between pixels: "nearest", "bilinear"
  double fill_value = 0;                   ///< of "constant"
};

/// Throws ValueError for an unknown fill mode or interpolation.
void check_sampling(const std::string& class_name, const Sampling& sampling);

/// Images x (N, H, W, C), read at the rows `ys` and columns `xs`, which count pixels from 0 and are
/// fractions; both broadcast to (N, H', W'): (N, H', W', C). Gradients flow to the pixels, not to the places.
graph::Value sample(graph::Value x, graph::Value ys, graph::Value xs, const Sampling& sampling);

}  // namespace kiln::internal
