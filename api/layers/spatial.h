#pragma once
#include <string>
#include <vector>

#include "kiln/graph/ops.h"
#include "kiln/layers/sizes.h"
#include "kiln/runtime/shape.h"

/// What convolutions, pooling and their like have in common: one to three spatial axes between the batch and
/// the channels, windows, and the sizes that come out.
namespace kiln::internal {

using graph::Ints;

inline Ints ints(std::int64_t n) {
  return {n};
}
inline Ints ints(Size2 s) {
  return {s.height, s.width};
}
inline Ints ints(Size3 s) {
  return {s.depth, s.height, s.width};
}

/// "(3, 3)", "(3,)"
std::string text(const Ints& sizes);

struct Padding {
  std::int64_t low = 0;
  std::int64_t high = 0;
};

/// Zeros before and after one axis. "same": ceil(n / stride) outputs, the extra zero after. "causal": all of
/// them before. "valid": none.
Padding padding_of(const std::string& padding, std::int64_t n, std::int64_t window, std::int64_t stride,
                   std::int64_t dilation);

/// A window over the spatial axes.
struct WindowSpec {
  std::string class_name;   ///< "Conv2D"
  std::string window_name;  ///< "kernel_size"
  Ints window = {}, strides = {}, dilation = {};
  std::string padding = "valid";
  std::string data_format = "channels_last";
};
/// Throws ValueError unless all sizes are positive and the padding is "valid", "same" or, with `causal`,
/// "causal".
void check_window_arguments(const WindowSpec& spec, bool causal = false);
/// Throws ShapeError unless the input has the spatial axes and the window fits into it.
void check_window(const WindowSpec& spec, const std::string& layer, const Shape& input);

/// Throws ValueError unless all are positive.
void check_positive(const std::string& class_name, const char* argument, const Ints& sizes);
/// Throws ValueError unless there is one for each of so many axes.
void check_axes(const std::string& class_name, const char* argument, const Ints& sizes, int axes);
/// Throws ValueError for another data format than "channels_last" and "channels_first".
void check_data_format(const std::string& class_name, const std::string& data_format);
/// Throws ShapeError unless the input has a batch, so many spatial axes, and channels.
void check_spatial_axes(const std::string& layer, int axes, const std::string& data_format,
                        const Shape& input);

/// The input with its channels last, and a result as the layer's data format has it.
graph::Value channels_last(const std::string& data_format, graph::Value x);
graph::Value from_channels_last(const std::string& data_format, graph::Value y);
Shape channels_last(const std::string& data_format, const Shape& x);

}  // namespace kiln::internal
