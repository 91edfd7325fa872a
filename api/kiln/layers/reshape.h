#pragma once
#include <vector>

#include "kiln/layer.h"

namespace kiln::layers {

struct FlattenArgs {
  std::string data_format =
      "channels_last";  ///< "channels_first": the channels follow the batch, and go last
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

struct PermuteArgs {
  DType dtype = DType::f32;
  std::string name = "";
};
/// Axis i of the result is axis `dims[i]` of the input; axes count from 1, as the batch stays where it is:
/// `Permute({2, 1})` of (batch, a, b) is (batch, b, a). Throws ValueError if `dims` isn't an order of 1, 2,
/// ..., ShapeError if the input has another number of axes.
KILN_API Layer Permute(std::vector<std::int64_t> dims, PermuteArgs args = {});

struct RepeatVectorArgs {
  DType dtype = DType::f32;
  std::string name = "";
};
/// (batch, features) -> (batch, n, features). Throws ValueError for an n below 1, ShapeError for other
/// inputs.
KILN_API Layer RepeatVector(std::int64_t n, RepeatVectorArgs args = {});

}  // namespace kiln::layers
