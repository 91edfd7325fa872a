#pragma once
#include <optional>

#include "kiln/layer.h"
#include "kiln/layers/sizes.h"

namespace kiln::layers {

/// `Size` is std::int64_t, Size2 or Size3.
template <class Size>
struct PoolingArgs {
  std::optional<Size> strides = {};           ///< default: the pool size
  std::string padding = "valid";              ///< "valid" or "same"
  std::string data_format = "channels_last";  ///< or "channels_first": the channels follow the batch
  DType dtype = DType::f32;
  std::string name = "";
};
using Pooling1DArgs = PoolingArgs<std::int64_t>;
using Pooling2DArgs = PoolingArgs<Size2>;
using Pooling3DArgs = PoolingArgs<Size3>;

/// Maximum over windows: (batch, height, width, channels) -> (batch, height', width', channels). The gradient
/// goes to the first maximum of each window. Throws ShapeError if the window is larger than the input.
KILN_API Layer MaxPooling1D(std::int64_t pool_size = 2, Pooling1DArgs args = {});
KILN_API Layer MaxPooling2D(Size2 pool_size = 2, Pooling2DArgs args = {});
KILN_API Layer MaxPooling3D(Size3 pool_size = 2, Pooling3DArgs args = {});
/// Mean over windows; with "same" padding the zeros don't count.
KILN_API Layer AveragePooling1D(std::int64_t pool_size = 2, Pooling1DArgs args = {});
KILN_API Layer AveragePooling2D(Size2 pool_size = 2, Pooling2DArgs args = {});
KILN_API Layer AveragePooling3D(Size3 pool_size = 2, Pooling3DArgs args = {});

struct GlobalPoolingArgs {
  std::string data_format = "channels_last";
  bool keepdims = false;
  DType dtype = DType::f32;
  std::string name = "";
};
using GlobalPooling2DArgs = GlobalPoolingArgs;
/// Mean over all spatial axes: (batch, height, width, channels) -> (batch, channels), or
/// (batch, 1, 1, channels) with keepdims.
KILN_API Layer GlobalAveragePooling1D(GlobalPoolingArgs args = {});
KILN_API Layer GlobalAveragePooling2D(GlobalPoolingArgs args = {});
KILN_API Layer GlobalAveragePooling3D(GlobalPoolingArgs args = {});
/// The maximum; where several elements are the largest, they share the gradient.
KILN_API Layer GlobalMaxPooling1D(GlobalPoolingArgs args = {});
KILN_API Layer GlobalMaxPooling2D(GlobalPoolingArgs args = {});
KILN_API Layer GlobalMaxPooling3D(GlobalPoolingArgs args = {});

struct AdaptivePoolingArgs {
  std::string data_format = "channels_last";
  DType dtype = DType::f32;
  std::string name = "";
};
/// Mean over as many windows as `output_size` says, of nearly equal size: along an axis of n, window i of m
/// is [floor(i n / m), ceil((i + 1) n / m)). Throws ValueError for a size below 1.
KILN_API Layer AdaptiveAveragePooling1D(std::int64_t output_size, AdaptivePoolingArgs args = {});
KILN_API Layer AdaptiveAveragePooling2D(Size2 output_size, AdaptivePoolingArgs args = {});
KILN_API Layer AdaptiveAveragePooling3D(Size3 output_size, AdaptivePoolingArgs args = {});
/// The maximum of the same windows.
KILN_API Layer AdaptiveMaxPooling1D(std::int64_t output_size, AdaptivePoolingArgs args = {});
KILN_API Layer AdaptiveMaxPooling2D(Size2 output_size, AdaptivePoolingArgs args = {});
KILN_API Layer AdaptiveMaxPooling3D(Size3 output_size, AdaptivePoolingArgs args = {});

/// Keras's other names.
KILN_API Layer MaxPool1D(std::int64_t pool_size = 2, Pooling1DArgs args = {});
KILN_API Layer MaxPool2D(Size2 pool_size = 2, Pooling2DArgs args = {});
KILN_API Layer MaxPool3D(Size3 pool_size = 2, Pooling3DArgs args = {});
KILN_API Layer AvgPool1D(std::int64_t pool_size = 2, Pooling1DArgs args = {});
KILN_API Layer AvgPool2D(Size2 pool_size = 2, Pooling2DArgs args = {});
KILN_API Layer AvgPool3D(Size3 pool_size = 2, Pooling3DArgs args = {});
KILN_API Layer GlobalAvgPool1D(GlobalPoolingArgs args = {});
KILN_API Layer GlobalAvgPool2D(GlobalPoolingArgs args = {});
KILN_API Layer GlobalAvgPool3D(GlobalPoolingArgs args = {});
KILN_API Layer GlobalMaxPool1D(GlobalPoolingArgs args = {});
KILN_API Layer GlobalMaxPool2D(GlobalPoolingArgs args = {});
KILN_API Layer GlobalMaxPool3D(GlobalPoolingArgs args = {});

}  // namespace kiln::layers
