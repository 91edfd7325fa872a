#pragma once
#include "kiln/layer.h"

namespace kiln::layers {

struct FlattenArgs {
  DType dtype = DType::f32;
  std::string name = "";
};
/// (batch, a, b, ...) -> (batch, a * b * ...); (batch,) -> (batch, 1). Whole numbers and truth values keep
/// their type, as in Keras; floats get the layer's.
KILN_API Layer Flatten(FlattenArgs args = {});

struct ReshapeArgs {
  DType dtype = DType::f32;
  std::string name = "";
};
/// (batch, ...) -> (batch, target_shape...); one size may be -1 (or None): it takes what is left. Throws
/// ShapeError if the sizes don't multiply to the input's. Element types as in Flatten.
KILN_API Layer Reshape(Shape target_shape, ReshapeArgs args = {});

}  // namespace kiln::layers
