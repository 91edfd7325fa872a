#include <fmt/format.h>

// This one needs FILE and size_t from before.
#include <cstdio>

#include <jpeglib.h>

#include <jerror.h>

#include <array>
#include <csetjmp>

#include "api/data/image_file.h"

namespace kiln::internal {
namespace {

/// The library reports errors through functions that must not return. They jump back to where the library was
/// called, past frames of C only: a call is all that `step` runs, so nothing of C++ is left behind.
class Decoder {
 public:
  explicit Decoder(std::span<const unsigned char> content) {
    info_.err = jpeg_std_error(&errors_);
    info_.client_data = this;
    errors_.error_exit = [](j_common_ptr info) { of(info).give_up(info); };
    errors_.output_message = [](j_common_ptr) {};
    errors_.emit_message = [](j_common_ptr info, int level) {
      if (level < 0 && !harmless(info->err->msg_code)) of(info).give_up(info);
    };
    created_ = step([&] { jpeg_create_decompress(&info_); });
    if (created_) jpeg_mem_src(&info_, content.data(), content.size());
  }
  ~Decoder() {
    if (created_) jpeg_destroy_decompress(&info_);
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  bool read_header() {
    return created_ && step([&] { jpeg_read_header(&info_, TRUE); });
  }
  bool start(J_COLOR_SPACE colors) {
    info_.out_color_space = colors;
    return step([&] { jpeg_start_decompress(&info_); });
  }
  bool read_rows(std::uint8_t* to) {
    const std::size_t row =
        std::size_t{info_.output_width} * static_cast<std::size_t>(info_.output_components);
    return step([&] {
      while (info_.output_scanline < info_.output_height) {
        JSAMPROW line = to + row * info_.output_scanline;
        jpeg_read_scanlines(&info_, &line, 1);
      }
      jpeg_finish_decompress(&info_);
    });
  }
  const jpeg_decompress_struct& info() const { return info_; }
  const char* message() const { return message_.data(); }

 private:
  static Decoder& of(j_common_ptr info) { return *static_cast<Decoder*>(info->client_data); }

  // The library warns where it can go on. Most of it means that pixels are made up; these don't.
  static bool harmless(int code) {
    return code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM ||
           code == JWRN_BOGUS_ICC;
  }

  [[noreturn]] void give_up(j_common_ptr info) {
    info->err->format_message(info, message_.data());
    std::longjmp(back_, 1);
  }

  template <class Call>
  bool step(Call call) {
    if (setjmp(back_) != 0) return false;
    call();
    return true;
  }

  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_{};
  std::jmp_buf back_{};
  std::array<char, JMSG_LENGTH_MAX> message_{};
  bool created_ = false;
};

}  // namespace

Tensor decode_jpeg(const std::string& path, std::span<const unsigned char> content, int channels) {
  Decoder decoder(content);
  const auto check = [&](bool well) {
    if (!well) fail_image(path, fmt::format("the JPEG file is damaged: {}", decoder.message()));
  };
  check(decoder.read_header());
  const jpeg_decompress_struct& info = decoder.info();
  check_image_size(path, info.image_width, info.image_height);
  if (info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK)
    fail_image(path, "a JPEG file with CMYK colours can't be read; save it with RGB colours");
  check(decoder.start(channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_EXT_RGBA));
  Tensor result({info.output_height, info.output_width, channels}, DType::u8);
  check(decoder.read_rows(result.data<std::uint8_t>()));
  return result;
}

}  // namespace kiln::internal
