#pragma once
#include "kiln/layer.h"

namespace kiln::layers {

struct MergeArgs {
  DType dtype = DType::f32;
  std::string name = "";
};
/// Sum of two or more inputs of equal shapes (sizes of 1 broadcast): `Add()({a, b})`.
KILN_API Layer Add(MergeArgs args = {});

struct ConcatenateArgs {
  int axis = -1;
  DType dtype = DType::f32;
  std::string name = "";
};
/// Joins its inputs along an axis: `Concatenate()({a, b})`. Throws ShapeError if other sizes differ.
KILN_API Layer Concatenate(ConcatenateArgs args = {});

}  // namespace kiln::layers
