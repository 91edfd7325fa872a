#pragma once
#include "kiln/layer.h"

namespace kiln::layers {

struct NameArgs {
  std::string name = "";
};

/// (batch, a, b, ...) -> (batch, a * b * ...); (batch,) -> (batch, 1).
KILN_API Layer Flatten(NameArgs args = {});
/// (batch, ...) -> (batch, target_shape...); one size may be -1 (or None): it takes what is left. Throws
/// ShapeError if the sizes don't multiply to the input's.
KILN_API Layer Reshape(Shape target_shape, NameArgs args = {});

}  // namespace kiln::layers
