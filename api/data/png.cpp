#include <fmt/format.h>
#include <png.h>

#include <cmath>
#include <vector>

#include "api/data/image_file.h"

namespace kiln::internal {

Tensor decode_png(const std::string& path, std::span<const unsigned char> content, int channels) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  struct Freed {
    png_image& image;
    ~Freed() { png_image_free(&image); }
  } const freed{image};
  const auto fail = [&] { fail_image(path, fmt::format("the PNG file is damaged: {}", image.message)); };
  if (png_image_begin_read_from_memory(&image, content.data(), content.size()) == 0) fail();
  check_image_size(path, image.width, image.height);
  // With transparency as it is: the library would else mix the colours with a background.
  image.format = PNG_FORMAT_RGBA;
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  const std::size_t pixels = std::size_t{image.width} * image.height;
  std::vector<std::uint8_t> rgba(4 * pixels);
  if (png_image_finish_read(&image, nullptr, rgba.data(), 0, nullptr) == 0) fail();
  Tensor result({image.height, image.width, channels}, DType::u8);
  auto* to = result.data<std::uint8_t>();
  for (std::size_t i = 0; i < pixels; i++) {
    const std::uint8_t* p = &rgba[4 * i];
    if (channels == 1)
      *to++ = static_cast<std::uint8_t>((299 * p[0] + 587 * p[1] + 114 * p[2] + 500) / 1000);
    else
      for (int c = 0; c < channels; c++) *to++ = p[c];
  }
  return result;
}

}  // namespace kiln::internal
