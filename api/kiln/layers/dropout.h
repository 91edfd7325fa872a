#pragma once
#include "kiln/layer.h"

namespace kiln::layers {

struct DropoutArgs {
  Shape noise_shape = {};  ///< with the batch; None takes the input's size, 1 shares the draw along an axis
  DType dtype = DType::f32;
  std::string name = "";
};

/// While training, sets each element to 0 with probability `rate` and multiplies the others by 1 / (1 -
/// rate); otherwise gives its input. Each layer and each step draws other elements; the gradient uses the
/// same ones. Throws ValueError unless 0 <= rate <= 1.
KILN_API Layer Dropout(double rate, DropoutArgs args = {});

}  // namespace kiln::layers
