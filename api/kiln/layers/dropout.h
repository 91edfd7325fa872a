#pragma once
#include <cstdint>
#include <optional>

#include "kiln/layer.h"

namespace kiln::layers {

struct DropoutArgs {
  Shape noise_shape = {};  ///< with the batch; None takes the input's size, 1 shares the draw along an axis
  std::optional<std::int64_t> seed = {};
  DType dtype = DType::f32;
  std::string name = "";
};

/// While training, sets each element to 0 with probability `rate` and multiplies the others by 1 / (1 -
/// rate); otherwise gives its input. Each layer and each step draws other elements; the gradient uses the
/// same ones. With a `seed`, a model's steps draw the same elements whenever it is made anew; without, they
/// come from the global seed (`set_random_seed`). Throws ValueError unless 0 <= rate <= 1.
KILN_API Layer Dropout(double rate, DropoutArgs args = {});

}  // namespace kiln::layers
