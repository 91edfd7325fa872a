#pragma once
#include <string>

#include "kiln/runtime/tensor.h"

namespace kiln::testing {

/// Writes uint8 (height, width, channels) of 1, 3 or 4 channels as a PNG file.
void write_png(const std::string& path, const Tensor& image);
/// Of 1 or 3 channels (4: CMYK) as a JPEG file.
void write_jpeg(const std::string& path, const Tensor& image, int quality = 95);

}  // namespace kiln::testing
