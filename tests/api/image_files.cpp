#include "tests/api/image_files.h"

#include <cstdio>

#include <jpeglib.h>
#include <png.h>

#include <stdexcept>

namespace kiln::testing {

void write_png(const std::string& path, const Tensor& image) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.height = static_cast<png_uint_32>(image.dim(0));
  png.width = static_cast<png_uint_32>(image.dim(1));
  png.format = image.dim(2) == 1 ? PNG_FORMAT_GRAY : image.dim(2) == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_RGBA;
  if (png_image_write_to_file(&png, path.c_str(), 0, image.raw(), 0, nullptr) == 0)
    throw std::runtime_error(png.message);
}

void write_jpeg(const std::string& path, const Tensor& image, int quality) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) throw std::runtime_error("can't write " + path);
  jpeg_stdio_dest(&info, file);
  info.image_height = static_cast<JDIMENSION>(image.dim(0));
  info.image_width = static_cast<JDIMENSION>(image.dim(1));
  info.input_components = static_cast<int>(image.dim(2));
  info.in_color_space = image.dim(2) == 1 ? JCS_GRAYSCALE : image.dim(2) == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, quality, TRUE);
  jpeg_start_compress(&info, TRUE);
  const auto* pixels = image.data<std::uint8_t>();
  while (info.next_scanline < info.image_height) {
    auto* row = const_cast<JSAMPROW>(pixels + std::int64_t{info.next_scanline} * image.dim(1) * image.dim(2));
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::fclose(file);
}

}  // namespace kiln::testing
