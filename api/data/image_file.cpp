#include "api/data/image_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "api/support/names.h"
#include "kiln/data/images.h"
#include "kiln/runtime/file.h"

namespace kiln {
namespace internal {

int channels_of(const std::string& caller, const std::string& color_mode) {
  static constexpr std::array<std::string_view, 3> modes = {"grayscale", "rgb", "rgba"};
  static constexpr std::array<int, 3> channels = {1, 3, 4};
  const auto found = std::find(modes.begin(), modes.end(), color_mode);
  if (found == modes.end()) unknown_name(caller + ": color_mode", color_mode, modes);
  return channels[static_cast<std::size_t>(found - modes.begin())];
}

void fail_image(const std::string& path, const std::string& reason) {
  throw FileError(fmt::format("{}: {}", path, reason));
}

void check_image_size(const std::string& path, std::uint64_t width, std::uint64_t height) {
  constexpr std::uint64_t most = std::uint64_t{1} << 27;
  if (width == 0 || height == 0)
    fail_image(path, fmt::format("an image of {} x {} pixels is empty", width, height));
  if (width > most / height)
    fail_image(path, fmt::format("an image of {} x {} pixels is too large: {} pixels can be read", width,
                                 height, most));
}

// ---- resizing ---------------------------------------------------------------------------------------------

namespace {

// The largest part in the middle that has the form of `size`, in whole pixels as Keras counts them.
Tensor middle(const Tensor& image, Size2 size) {
  const std::int64_t height = image.dim(0), width = image.dim(1), channels = image.dim(2);
  const std::int64_t h = std::clamp<std::int64_t>(width * size.height / size.width, 1, height),
                     w = std::clamp<std::int64_t>(height * size.width / size.height, 1, width);
  Tensor part({h, w, channels}, DType::u8);
  const auto* from = image.data<std::uint8_t>() + ((height - h) / 2 * width + (width - w) / 2) * channels;
  auto* to = part.data<std::uint8_t>();
  for (std::int64_t row = 0; row < h; row++, from += width * channels, to += w * channels)
    std::copy(from, from + w * channels, to);
  return part;
}

}  // namespace

Tensor resized_image(const Tensor& image, Size2 size, const std::string& interpolation, bool crop) {
  const Tensor from = crop ? middle(image, size) : image;
  const std::int64_t width = from.dim(1), channels = from.dim(2), row = width * channels;
  if (from.dim(0) == size.height && width == size.width) return from.astype(DType::f32);
  // Rows first, each of which is a sum of few whole ones; then what is left of each row.
  const Interpolation down = interpolation_of(from.dim(0), size.height, interpolation),
                      across = interpolation_of(width, size.width, interpolation);
  Tensor result = Tensor::zeros({size.height, size.width, channels});
  const auto* pixels = from.data<std::uint8_t>();
  float* to = result.data<float>();
  std::vector<float> sums(static_cast<std::size_t>(row));
  for (std::size_t y = 0, k = 0; y < static_cast<std::size_t>(size.height); y++) {
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (int r = 0; r < down.reach; r++, k++) {
      const auto share = static_cast<float>(down.shares[k]);
      const std::uint8_t* source = pixels + down.elements[k] * row;
      for (std::size_t i = 0; share != 0 && i < sums.size(); i++)
        sums[i] += share * static_cast<float>(source[i]);
    }
    for (std::size_t x = 0, j = 0; x < static_cast<std::size_t>(size.width); x++, to += channels)
      for (int r = 0; r < across.reach; r++, j++) {
        const auto share = static_cast<float>(across.shares[j]);
        const float* source = sums.data() + across.elements[j] * channels;
        for (std::int64_t c = 0; share != 0 && c < channels; c++) to[c] += share * source[c];
      }
  }
  return result;
}

}  // namespace internal

namespace data {

Tensor load_image(const std::string& path, LoadImageArgs args) {
  const int channels = internal::channels_of("load_image", args.color_mode);
  const runtime::InputFile file(path);
  std::vector<unsigned char> content(file.size());
  file.read(content.data(), 0, content.size());
  static constexpr std::array<unsigned char, 8> png = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  static constexpr std::array<unsigned char, 3> jpeg = {0xff, 0xd8, 0xff};
  const auto begins_with = [&](const auto& magic) {
    return content.size() >= magic.size() && std::equal(magic.begin(), magic.end(), content.begin());
  };
  if (begins_with(png)) return internal::decode_png(path, content, channels);
  if (begins_with(jpeg)) return internal::decode_jpeg(path, content, channels);
  internal::fail_image(path, content.empty() ? "not an image: the file is empty"
                                             : "not an image: it begins neither as PNG nor as JPEG files do");
}

}  // namespace data
}  // namespace kiln
