#pragma once
#include <string>

#include "kiln/layers/size2.h"
#include "kiln/runtime/shape.h"

/// What convolutions and pooling have in common: padding and the sizes that come out.
namespace kiln::internal {

struct Padding {
  std::int64_t low = 0;
  std::int64_t high = 0;
};

/// Zeros before and after one axis. "same": ceil(n / stride) outputs, the extra zero after.
Padding padding_of(bool same, std::int64_t n, std::int64_t window, std::int64_t stride,
                   std::int64_t dilation);

/// What a layer's window looks like, for checks.
struct WindowSpec {
  std::string layer;        ///< "conv2d"
  std::string class_name;   ///< "Conv2D"
  std::string window_name;  ///< "kernel_size"
  Size2 window = 1, strides = 1, dilation = 1;
  bool same = false;
};

/// Throws ValueError unless the padding is "valid" or "same"; gives whether it is "same".
bool parse_padding(const std::string& class_name, const std::string& padding);
/// Throws ValueError unless all are positive.
void check_positive(const std::string& class_name, const char* argument, Size2 value);
/// Throws ShapeError unless the input is (batch, height, width, channels) and the window fits into it.
void check_window(const WindowSpec& spec, const Shape& input);

}  // namespace kiln::internal
