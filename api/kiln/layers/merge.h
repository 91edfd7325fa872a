#pragma once
#include "kiln/axes.h"
#include "kiln/layer.h"

namespace kiln::layers {

struct MergeArgs {
  DType dtype = DType::f32;
  std::string name = "";
};
/// Sum of two or more inputs: `Add()({a, b})`. Of this layer and the next ones: sizes of 1 broadcast, and an
/// input with fewer axes gets axes of size 1 behind the batch. Throw ShapeError for other shapes and fewer
/// inputs.
KILN_API Layer Add(MergeArgs args = {});
/// a - b, of exactly two inputs.
KILN_API Layer Subtract(MergeArgs args = {});
/// The product of two or more inputs.
KILN_API Layer Multiply(MergeArgs args = {});
/// Their sum divided by their number.
KILN_API Layer Average(MergeArgs args = {});
/// The largest of them, element by element; where several are, they share the gradient.
KILN_API Layer Maximum(MergeArgs args = {});
/// The least of them.
KILN_API Layer Minimum(MergeArgs args = {});

struct ConcatenateArgs {
  int axis = -1;
  DType dtype = DType::f32;
  std::string name = "";
};
/// Joins its inputs along an axis: `Concatenate()({a, b})`. Throws ShapeError if other sizes differ.
KILN_API Layer Concatenate(ConcatenateArgs args = {});

struct DotArgs {
  bool normalize = false;  ///< vectors along the axes are scaled to length 1 first
  DType dtype = DType::f32;
  std::string name = "";
};
/// Dot(axes)({a, b}): of each sample, the sums of products along an axis of a and one of b: (batch, 2, 3) and
/// (batch, 3, 4) with axes {2, 1} give (batch, 2, 4), (batch, n) and (batch, n) with axis 1 (batch, 1).
/// Throws ValueError for the batch's axis, ShapeError if sizes differ.
KILN_API Layer Dot(Axes axes, DotArgs args = {});

}  // namespace kiln::layers
