#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "kiln/runtime/file.h"
#include "kiln/runtime/tensor.h"

// The .npy format: "\x93NUMPY", version, header length, a Python dict literal such as
//   {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
// padded so that the elements begin at a multiple of 64, then the elements.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

namespace kiln {
namespace {

static_assert(std::endian::native == std::endian::little, "save_npy writes elements as they lie in memory");

constexpr char kMagic[] = "\x93NUMPY";
constexpr std::size_t kMagicSize = 6;

struct Header {
  std::string descr;
  bool fortran_order = false;
  Shape shape;
};

/// Parses the header's dict: string keys; strings, True/False and tuples of integers as values.
class HeaderParser {
 public:
  HeaderParser(const std::string& text, const std::string& path) : text_(text), path_(path) {}

  Header parse() {
    Header header;
    bool descr = false, order = false, shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr") {
        header.descr = string();
        descr = true;
      } else if (key == "fortran_order") {
        header.fortran_order = boolean();
        order = true;
      } else if (key == "shape") {
        header.shape = tuple();
        shape = true;
      } else {
        fail(fmt::format("the header has the unknown key '{}'", key));
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    if (!descr || !order || !shape) fail("the header lacks one of 'descr', 'fortran_order' and 'shape'");
    skip_space();
    if (at_ != text_.size()) fail("something follows the header's closing brace");
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw FileError(fmt::format("{}: not a valid .npy file: {}", path_, reason));
  }
  void skip_space() { at_ = std::min(text_.find_first_not_of(" \t\n", at_), text_.size()); }
  bool accept(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    at_++;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(fmt::format("'{}' expected at byte {} of the header", c, at_));
  }
  std::string string() {
    skip_space();
    if (at_ == text_.size()) fail("the header ends in the middle");
    const char quote = text_[at_];
    if (quote == '[') fail("structured element types can't be read; save one field as an array of its own");
    if (quote != '\'' && quote != '"') fail(fmt::format("a string expected at byte {} of the header", at_));
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string::npos) fail("the header ends in the middle of a string");
    std::string s = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return s;
  }
  bool boolean() {
    skip_space();
    for (bool value : {true, false}) {
      const std::string word = value ? "True" : "False";
      if (text_.compare(at_, word.size(), word) != 0) continue;
      at_ += word.size();
      return value;
    }
    fail("'fortran_order' is neither True nor False");
  }
  Shape tuple() {
    Shape shape;
    expect('(');
    while (!accept(')')) {
      shape.push_back(integer());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return shape;
  }
  std::int64_t integer() {
    skip_space();
    std::int64_t n = 0;
    const std::size_t begin = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; at_++) {
      if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, text_[at_] - '0', &n))
        fail("a size in 'shape' is larger than 2^63 - 1");
    }
    if (at_ == begin) fail("'shape' is not a tuple of sizes");
    accept('L');  // Python 2 wrote long integers so
    return n;
  }

  const std::string& text_;
  const std::string& path_;
  std::size_t at_ = 0;
};

/// The element type of a descr such as "<f4", and whether its bytes are in the other order.
std::pair<DType, bool> element_type(const std::string& descr, const std::string& path) {
  const std::string kind = descr.empty() ? "" : descr.substr(1);
  const char order = descr.empty() ? ' ' : descr[0];
  if (std::string_view("<>=|").find(order) != std::string_view::npos) {
    const bool swapped = order == '>';
    if (kind == "f4") return {DType::f32, swapped};
    if (kind == "f8") return {DType::f64, swapped};
    if (kind == "i4") return {DType::i32, swapped};
    if (kind == "i8") return {DType::i64, swapped};
    if (kind == "u1") return {DType::u8, false};
    if (kind == "b1") return {DType::bool_, false};
  }
  throw FileError(
      fmt::format("{}: elements of numpy's type '{}' can't be read; convert to float32, float64, int32, "
                  "int64, uint8 or bool",
                  path, descr));
}

std::string descr_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "<f4";
    case DType::f64:
      return "<f8";
    case DType::i32:
      return "<i4";
    case DType::i64:
      return "<i8";
    case DType::u8:
      return "|u1";
    case DType::bool_:
      return "|b1";
  }
  return "";
}

void swap_bytes(Tensor& t) {
  const auto width = static_cast<std::ptrdiff_t>(size_of(t.dtype()));
  auto* p = static_cast<std::byte*>(t.raw());
  for (std::int64_t i = 0; i < t.size(); i++, p += width) std::reverse(p, p + width);
}

/// C++ allows only 0 and 1 in a bool; a file may hold anything.
void normalize_bools(Tensor& t) {
  auto* p = static_cast<unsigned char*>(t.raw());
  for (std::int64_t i = 0; i < t.size(); i++) p[i] = p[i] != 0;
}

/// A tensor over the elements of `t` in column-major order of `shape`.
Tensor fortran_view(const Tensor& t, const Shape& shape) {
  std::vector<std::int64_t> strides;
  std::int64_t stride = 1;
  for (std::int64_t n : shape) {
    strides.push_back(stride);
    stride *= n;
  }
  Tensor elements = t;
  return Tensor::view(elements.raw(), shape, t.dtype(), std::move(strides)).clone();
}

}  // namespace

Tensor Tensor::load_npy(const std::string& path) {
  const runtime::InputFile file(path);
  unsigned char start[12] = {};  // magic, version (2 bytes), header length (2 or 4 bytes, little-endian)
  file.read(start, 0, static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), sizeof start)));
  if (file.size() < 10 || std::memcmp(start, kMagic, kMagicSize) != 0)
    throw FileError(fmt::format("{}: not a valid .npy file: it doesn't begin with numpy's mark", path));
  const int version = start[6];
  if (version < 1 || version > 3)
    throw FileError(fmt::format("{}: .npy format version {}.{} is not known (1.0, 2.0 and 3.0 are)", path,
                                version, int{start[7]}));
  const std::uint64_t header_at = version == 1 ? 10 : 12;
  std::uint64_t header_size = std::uint64_t{start[8]} | std::uint64_t{start[9]} << 8;
  if (version > 1) header_size |= std::uint64_t{start[10]} << 16 | std::uint64_t{start[11]} << 24;
  if (header_at + header_size > file.size())
    throw FileError(fmt::format("{}: not a valid .npy file: it ends within the header", path));
  std::string text(static_cast<std::size_t>(header_size), '\0');
  file.read(text.data(), header_at, text.size());
  const Header header = HeaderParser(text, path).parse();

  const auto [dtype, swapped] = element_type(header.descr, path);
  const std::uint64_t data_bytes = file.size() - header_at - header_size;
  std::int64_t elements = 0;
  try {
    elements = header.shape.elements();
  } catch (const ShapeError& e) {
    throw FileError(fmt::format("{}: not a valid .npy file: {}", path, e.what()));
  }
  // Compared before anything is allocated: a damaged header may claim any size. The division can't overflow.
  if (data_bytes % size_of(dtype) != 0 || data_bytes / size_of(dtype) != static_cast<std::uint64_t>(elements))
    throw FileError(
        fmt::format("{}: not a valid .npy file: the shape {} of {} needs {} elements of {} bytes, but {} "
                    "bytes follow the header",
                    path, header.shape.to_string(), kiln::name(dtype), elements, size_of(dtype), data_bytes));
  Tensor t(header.shape, dtype);
  file.read(t.raw(), header_at + header_size, t.nbytes());
  if (swapped) swap_bytes(t);
  if (dtype == DType::bool_) normalize_bools(t);
  return header.fortran_order && t.rank() > 1 && elements > 0 ? fortran_view(t, header.shape) : t;
}

void Tensor::save_npy(const std::string& path) const {
  const Tensor t = contiguous();
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}",
                                   descr_of(dtype()), shape().to_string());
  // Version 1 counts the header's length in 16 bits; only a shape of very many axes needs version 2.
  const bool long_header = header.size() > 65000;
  const std::size_t start = kMagicSize + 2 + (long_header ? 4 : 2);
  header.append(63 - (start + header.size()) % 64, ' ');
  header += '\n';
  std::string lead(kMagic, kMagicSize);
  lead += long_header ? '\2' : '\1';
  lead += '\0';
  for (std::size_t i = 0; i < (long_header ? 4u : 2u); i++)
    lead += static_cast<char>(header.size() >> (8 * i) & 0xff);

  runtime::AtomicFile file(path);
  file.write(lead.data(), lead.size());
  file.write(header.data(), header.size());
  file.write(t.raw(), t.nbytes());
  file.commit();
}

}  // namespace kiln
