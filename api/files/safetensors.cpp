#include "kiln/files/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "kiln/runtime/file.h"

namespace kiln::files {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little-endian, as memory is here");

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kLongestHeader = 100'000'000;  // the format's own limit
constexpr int kDeepest = 3;                            // {"name": {"shape": [
constexpr const char* kMetadata = "__metadata__";

struct TypeName {
  std::string_view name;
  DType dtype;
};
constexpr std::array<TypeName, 6> kTypes{{{"F32", DType::f32},
                                          {"F64", DType::f64},
                                          {"I32", DType::i32},
                                          {"I64", DType::i64},
                                          {"U8", DType::u8},
                                          {"BOOL", DType::bool_}}};

std::string_view type_name(DType dtype) {
  return std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeName& t) { return t.dtype == dtype; })
      ->name;
}

/// One tensor as the header describes it.
struct Entry {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::uint64_t begin = 0, end = 0;  ///< bytes, from the end of the header
};

class Reader {
 public:
  explicit Reader(const std::string& path) : file_(path) {}

  Safetensors read() {
    const Json header = read_header();
    Safetensors result;
    std::vector<Entry> entries;
    for (const auto& [name, description] : header.items()) {
      if (name == kMetadata) {
        result.metadata = metadata(description);
      } else {
        entries.push_back(entry(name, description));
      }
    }
    expect_covering(entries);
    for (const Entry& e : entries) result.tensors.push_back({e.name, load(e)});
    return result;
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw FileError(fmt::format("{}: not a valid safetensors file: {}", file_.path(), reason));
  }
  [[noreturn]] void fail(const std::string& tensor, const std::string& reason) const {
    fail(fmt::format("tensor '{}': {}", tensor, reason));
  }

  Json read_header() {
    std::array<unsigned char, kLengthBytes> bytes{};
    if (file_.size() < kLengthBytes) fail(fmt::format("it has {} bytes, too few for a header", file_.size()));
    file_.read(bytes.data(), 0, bytes.size());
    std::uint64_t length = 0;
    for (std::size_t i = 0; i < kLengthBytes; i++) length |= std::uint64_t{bytes[i]} << (8 * i);
    const std::uint64_t rest = file_.size() - kLengthBytes;
    if (length > rest)
      fail(fmt::format(
          "its header should have {} bytes, but only {} follow: it ends early, or isn't a safetensors file",
          length, rest));
    if (length > kLongestHeader) fail(fmt::format("its header of {} bytes is too long", length));
    std::string text(static_cast<std::size_t>(length), '\0');
    file_.read(text.data(), kLengthBytes, text.size());
    data_at_ = kLengthBytes + length;
    data_size_ = rest - length;

    // Of two equal keys the parser would keep one without a word; and what nests deeply takes a deep stack to
    // print.
    std::set<std::string> names;
    std::optional<std::string> twice;
    bool too_deep = false;
    const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
      if (depth == 1 && event == Json::parse_event_t::key && !names.insert(parsed.get<std::string>()).second)
        twice = parsed.get<std::string>();
      if (depth > kDeepest) too_deep = true;
      return depth <= kDeepest;
    };
    Json header;
    try {
      header = Json::parse(text, watch);
    } catch (const Json::exception& e) {
      fail(fmt::format("its header is not JSON: {}", e.what()));
    }
    if (too_deep) fail("its header nests too deeply");
    if (twice) fail(*twice, "is described twice");
    if (!header.is_object()) fail("its header is not a JSON object");
    return header;
  }

  std::map<std::string, std::string> metadata(const Json& description) const {
    std::map<std::string, std::string> result;
    if (!description.is_object()) fail("__metadata__ is not a JSON object");
    for (const auto& [key, value] : description.items()) {
      if (!value.is_string()) fail(fmt::format("the value of '{}' in __metadata__ is not a string", key));
      result[key] = value.get<std::string>();
    }
    return result;
  }

  Entry entry(const std::string& name, const Json& description) const {
    Entry e;
    e.name = name;
    for (const char* key : {"dtype", "shape", "data_offsets"}) {
      if (!description.is_object() || !description.contains(key))
        fail(name, fmt::format("has no \"{}\"", key));
    }
    e.dtype = dtype(name, description["dtype"]);
    e.shape = shape(name, description["shape"]);
    const Json& offsets = description["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned())
      fail(name, fmt::format("its offsets {} are not two byte counts", offsets.dump()));
    e.begin = offsets[0].get<std::uint64_t>();
    e.end = offsets[1].get<std::uint64_t>();
    if (e.begin > e.end) fail(name, fmt::format("its offsets [{}, {}] are not in order", e.begin, e.end));
    if (e.end > data_size_)
      fail(name, fmt::format("its offsets [{}, {}] end after the file's {} bytes of data", e.begin, e.end,
                             data_size_));
    return with_checked_size(std::move(e));
  }

  DType dtype(const std::string& name, const Json& value) const {
    const std::string type = value.is_string() ? value.get<std::string>() : value.dump();
    for (const TypeName& t : kTypes) {
      if (t.name == type) return t.dtype;
    }
    fail(name, fmt::format("its type {} can't be read; F32, F64, I32, I64, U8 and BOOL can", type));
  }

  Shape shape(const std::string& name, const Json& value) const {
    Shape shape;
    if (!value.is_array()) fail(name, "its shape is not a list");
    for (const Json& n : value) {
      if (!n.is_number_unsigned() || n.get<std::uint64_t>() > INT64_MAX)
        fail(name, fmt::format("its shape {} is not a list of sizes", value.dump()));
      shape.push_back(n.get<std::int64_t>());
    }
    return shape;
  }

  Entry with_checked_size(Entry e) const {
    std::uint64_t elements = 0;
    try {
      elements = static_cast<std::uint64_t>(e.shape.elements());
    } catch (const ShapeError& error) {
      fail(e.name, error.what());
    }
    const std::uint64_t bytes = e.end - e.begin;
    const std::uint64_t width = size_of(e.dtype);
    if (bytes % width != 0 || bytes / width != elements)  // no product that could overflow
      fail(e.name,
           fmt::format(
               "its shape {} of {} needs {} elements of {} bytes, but its offsets [{}, {}] hold {} bytes",
               e.shape.to_string(), type_name(e.dtype), elements, width, e.begin, e.end, bytes));
    return e;
  }

  /// Sorts by place; the tensors must fill the data without overlap, gap or rest.
  void expect_covering(std::vector<Entry>& entries) const {
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
    });
    std::uint64_t at = 0;
    for (std::size_t i = 0; i < entries.size(); i++) {
      const Entry& e = entries[i];
      if (e.begin < at) fail(e.name, fmt::format("its bytes overlap those of '{}'", entries[i - 1].name));
      if (e.begin > at) fail(e.name, fmt::format("{} bytes before it belong to no tensor", e.begin - at));
      at = e.end;
    }
    if (at != data_size_) fail(fmt::format("its last {} bytes belong to no tensor", data_size_ - at));
  }

  Tensor load(const Entry& e) const {
    Tensor t(e.shape, e.dtype);
    file_.read(t.raw(), data_at_ + e.begin, t.nbytes());
    if (e.dtype == DType::bool_) {  // C++ allows only 0 and 1 in a bool; a file may hold anything
      auto* p = static_cast<unsigned char*>(t.raw());
      for (std::int64_t i = 0; i < t.size(); i++) p[i] = p[i] != 0;
    }
    return t;
  }

  runtime::InputFile file_;
  std::uint64_t data_at_ = 0, data_size_ = 0;
};

/// The tensors, widest elements first, otherwise in their order.
std::vector<NamedTensor> in_file_order(const std::vector<NamedTensor>& tensors) {
  std::vector<NamedTensor> sorted;
  for (std::size_t width : {8, 4, 1}) {
    for (const NamedTensor& t : tensors) {
      if (!t.value.defined())
        throw StateError(fmt::format("save_safetensors: the Tensor '{}' is empty", t.name));
      if (size_of(t.value.dtype()) == width) sorted.push_back({t.name, t.value.contiguous()});
    }
  }
  return sorted;
}

std::string header_of(const std::vector<NamedTensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  OrderedJson header = OrderedJson::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  std::set<std::string> names{kMetadata};
  std::uint64_t at = 0;
  for (const NamedTensor& t : tensors) {
    if (!names.insert(t.name).second)
      throw ValueError(t.name == kMetadata
                           ? fmt::format("save_safetensors: '{}' can't be the name of a tensor", kMetadata)
                           : fmt::format("save_safetensors: two tensors are called '{}'", t.name));
    const std::uint64_t end = at + t.value.nbytes();
    header[t.name] = {{"dtype", type_name(t.value.dtype())},
                      {"shape", t.value.shape().sizes()},
                      {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception& e) {
    throw ValueError(fmt::format("save_safetensors: a name or metadata is not UTF-8: {}", e.what()));
  }
  text.append((8 - text.size() % 8) % 8, ' ');  // so that the data is aligned
  return text;
}

}  // namespace

const Tensor* Safetensors::find(const std::string& name) const {
  for (const NamedTensor& t : tensors) {
    if (t.name == name) return &t.value;
  }
  return nullptr;
}

Safetensors load_safetensors(const std::string& path) {
  return Reader(path).read();
}

void save_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  const std::vector<NamedTensor> sorted = in_file_order(tensors);
  const std::string header = header_of(sorted, metadata);
  std::string length;
  for (std::size_t i = 0; i < kLengthBytes; i++) length += static_cast<char>(header.size() >> (8 * i) & 0xff);

  runtime::AtomicFile file(path);
  file.write(length.data(), length.size());
  file.write(header.data(), header.size());
  for (const NamedTensor& t : sorted) file.write(t.value.raw(), t.value.nbytes());
  file.commit();
}

}  // namespace kiln::files
