#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "kiln/datasets.h"
#include "kiln/runtime/file.h"

namespace kiln::datasets {
namespace {

/// A file that may be compressed with gzip; zlib finds out.
class GzipFile {
 public:
  explicit GzipFile(const std::string& path) : path_(path), file_size_(runtime::InputFile(path).size()) {
    file_ = gzopen(path.c_str(), "rb");
    if (file_ == nullptr) fail("can't open the file");
    gzbuffer(file_, 1 << 17);
  }
  ~GzipFile() { gzclose(file_); }
  GzipFile(const GzipFile&) = delete;
  GzipFile& operator=(const GzipFile&) = delete;

  [[noreturn]] void fail(const std::string& reason) const {
    throw FileError(fmt::format("{}: {}", path_, reason));
  }

  /// Reads n bytes; the file must have them.
  void read(void* to, std::uint64_t n) {
    constexpr std::uint64_t kMost = 1 << 30;  // gzread counts in unsigned and returns int
    auto* p = static_cast<std::byte*>(to);
    while (n > 0) {
      const int got = gzread(file_, p, static_cast<unsigned>(std::min(n, kMost)));
      if (got < 0) fail_reading();
      if (got == 0) fail("not a valid IDX file: it ends early");
      p += got;
      n -= static_cast<std::uint64_t>(got);
    }
  }

  bool at_end() {
    std::byte one;
    const int got = gzread(file_, &one, 1);
    if (got < 0) fail_reading();
    return got == 0;
  }

  /// No more bytes than this can be in it: deflate shortens to 1/1032 at best.
  std::uint64_t most_bytes() const { return (file_size_ + 1) * 1032; }

 private:
  [[noreturn]] void fail_reading() {
    int code = 0;
    const std::string reason = gzerror(file_, &code);  // zlib puts a name in front; ours is enough
    fail("the compressed data is damaged: " + reason.substr(std::min(reason.size(), reason.rfind(": ") + 2)));
  }

  std::string path_;
  std::uint64_t file_size_ = 0;
  gzFile file_ = nullptr;
};

/// Type codes of the format; two of them have no type among tensors.
std::optional<DType> element_type(unsigned char code) {
  switch (code) {
    case 0x08:
      return DType::u8;
    case 0x0C:
      return DType::i32;
    case 0x0D:
      return DType::f32;
    case 0x0E:
      return DType::f64;
  }
  return std::nullopt;
}

}  // namespace

Tensor load_idx(const std::string& path) {
  GzipFile file(path);
  std::array<unsigned char, 4> magic{};
  file.read(magic.data(), magic.size());
  if (magic[0] != 0 || magic[1] != 0) file.fail("not a valid IDX file: it doesn't begin with two zero bytes");
  const std::optional<DType> dtype = element_type(magic[2]);
  if (!dtype)
    file.fail(fmt::format(
        "elements of the IDX type 0x{:02x} can't be read; 0x08 (byte), 0x0c (int), 0x0d (float) and "
        "0x0e (double) can",
        magic[2]));
  Shape shape;
  for (int i = 0; i < magic[3]; i++) {
    std::array<unsigned char, 4> size{};
    file.read(size.data(), size.size());
    shape.push_back(std::int64_t{size[0]} << 24 | size[1] << 16 | size[2] << 8 | size[3]);
  }
  std::int64_t elements = 0;
  try {
    elements = shape.elements();
  } catch (const ShapeError& e) {
    file.fail(fmt::format("not a valid IDX file: {}", e.what()));
  }
  // A damaged header may claim any size: nothing is allocated that the file can't fill.
  if (static_cast<std::uint64_t>(elements) > file.most_bytes() / size_of(*dtype))
    file.fail(fmt::format("not a valid IDX file: it is too short for the shape {} of {}", shape.to_string(),
                          name(*dtype)));
  Tensor t(shape, *dtype);
  file.read(t.raw(), t.nbytes());
  if (!file.at_end())
    file.fail(fmt::format("not a valid IDX file: more data follows the elements of the shape {}",
                          shape.to_string()));
  const auto width = static_cast<std::ptrdiff_t>(size_of(*dtype));
  auto* p = static_cast<std::byte*>(t.raw());
  for (std::int64_t i = 0; width > 1 && i < elements; i++, p += width) std::reverse(p, p + width);
  return t;
}

}  // namespace kiln::datasets
