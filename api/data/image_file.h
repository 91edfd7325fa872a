#pragma once
#include <span>
#include <string>

#include "api/layers/resize.h"
#include "kiln/layers/sizes.h"
#include "kiln/runtime/tensor.h"

namespace kiln::internal {

/// Channels of a color_mode. Throws ValueError for an unknown one; `caller` stands in the message.
int channels_of(const std::string& caller, const std::string& color_mode);

/// Throws FileError: "path: reason".
[[noreturn]] void fail_image(const std::string& path, const std::string& reason);
/// Throws FileError for an image of no or of more than 2^27 pixels (half a GiB), whatever follows in the
/// file.
void check_image_size(const std::string& path, std::uint64_t width, std::uint64_t height);

/// The content of a file, which is named in errors, as uint8 (height, width, channels).
Tensor decode_png(const std::string& path, std::span<const unsigned char> content, int channels);
Tensor decode_jpeg(const std::string& path, std::span<const unsigned char> content, int channels);

/// A uint8 image as float32 of another size, interpolated as Resizing does. With `crop`, what doesn't fit is
/// cut off both sides, instead of distorting.
Tensor resized_image(const Tensor& image, Size2 size, const std::string& interpolation, bool crop);

}  // namespace kiln::internal
