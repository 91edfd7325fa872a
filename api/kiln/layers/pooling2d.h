#pragma once
#include <optional>

#include "kiln/layer.h"
#include "kiln/layers/size2.h"

namespace kiln::layers {

struct Pooling2DArgs {
  std::optional<Size2> strides = {};  ///< default: the pool size
  std::string padding = "valid";      ///< "valid" or "same"
  DType dtype = DType::f32;
  std::string name = "";
};

/// Maximum over windows: (batch, height, width, channels) -> (batch, height', width', channels). The gradient
/// goes to the first maximum of each window. Throws ShapeError if the window is larger than the input.
KILN_API Layer MaxPooling2D(Size2 pool_size = 2, Pooling2DArgs args = {});
/// Mean over windows; with "same" padding the zeros don't count.
KILN_API Layer AveragePooling2D(Size2 pool_size = 2, Pooling2DArgs args = {});

struct GlobalPooling2DArgs {
  bool keepdims = false;
  DType dtype = DType::f32;
  std::string name = "";
};
/// Mean over height and width: (batch, height, width, channels) -> (batch, channels), or
/// (batch, 1, 1, channels) with keepdims.
KILN_API Layer GlobalAveragePooling2D(GlobalPooling2DArgs args = {});

/// Keras's other names.
KILN_API Layer MaxPool2D(Size2 pool_size = 2, Pooling2DArgs args = {});
KILN_API Layer AvgPool2D(Size2 pool_size = 2, Pooling2DArgs args = {});
KILN_API Layer GlobalAvgPool2D(GlobalPooling2DArgs args = {});

}  // namespace kiln::layers
