#pragma once
#include "kiln/layer.h"
#include "kiln/layers/sizes.h"

namespace kiln::layers {

struct ResamplingArgs {
  std::string data_format = "channels_last";  ///< or "channels_first": the channels follow the batch
  DType dtype = DType::f32;
  std::string name = "";
};

/// Zeros around the spatial axes: `ZeroPadding2D(1)` on all sides, `ZeroPadding2D({1, 2})` above and below,
/// left and right, `ZeroPadding2D({{1, 0}, {2, 3}})` above, below, left, right. Throws ValueError for
/// negative numbers.
KILN_API Layer ZeroPadding1D(Edges1 padding = 1, ResamplingArgs args = {});
KILN_API Layer ZeroPadding2D(Edges2 padding = 1, ResamplingArgs args = {});
KILN_API Layer ZeroPadding3D(Edges3 padding = 1, ResamplingArgs args = {});

/// Takes elements off both ends of the spatial axes; written as in ZeroPadding2D. Throws ShapeError if
/// nothing would be left.
KILN_API Layer Cropping1D(Edges1 cropping = 1, ResamplingArgs args = {});
KILN_API Layer Cropping2D(Edges2 cropping = 0, ResamplingArgs args = {});
KILN_API Layer Cropping3D(Edges3 cropping = 1, ResamplingArgs args = {});

/// Repeats each step `size` times: (batch, steps, features) -> (batch, steps * size, features).
KILN_API Layer UpSampling1D(std::int64_t size = 2, ResamplingArgs args = {});
struct UpSampling2DArgs {
  std::string data_format = "channels_last";
  std::string interpolation = "nearest";  ///< "bilinear", "bicubic", "lanczos3", "lanczos5"
  DType dtype = DType::f32;
  std::string name = "";
};
/// Enlarges images `size` times: pixels are repeated, or interpolated between. Throws ValueError for a size
/// below 1 or another interpolation.
KILN_API Layer UpSampling2D(Size2 size = 2, UpSampling2DArgs args = {});
/// Repeats each element along the three axes.
KILN_API Layer UpSampling3D(Size3 size = 2, ResamplingArgs args = {});

}  // namespace kiln::layers
