#pragma once
#include <concepts>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "kiln/runtime/tensor.h"

/// Values as bytes, in the machine's own order: for keys and files that no other machine reads. Every list
/// and text has its length before it, so different values never give the same bytes.
///
/// A structure is written and read by one function, which other files overload and find by their namespace:
///
///     template <class Archive, Either<Point> T>
///     void fields(Archive& archive, T& point) {
///       auto& [x, y] = point;  // doesn't compile once Point has another field
///       archive(x, y);
///     }
namespace kiln::codegen {

/// T or const T.
template <class T, class Structure>
concept Either = std::same_as<std::remove_const_t<T>, Structure>;

template <class T>
concept Plain = std::is_arithmetic_v<T> || std::is_enum_v<T>;

/// Hands the bytes of values to a sink, in blocks.
class BinaryWriter {
 public:
  explicit BinaryWriter(std::function<void(std::string_view)> sink) : sink_(std::move(sink)) {}

  template <class... T>
  void operator()(const T&... values) {
    (put(values), ...);
  }
  /// To be called at the end.
  void flush() {
    sink_(pending_);
    pending_.clear();
  }

 private:
  static constexpr std::size_t kBlock = 1 << 16;

  void put_bytes(const void* data, std::size_t n) {
    if (pending_.size() + n > kBlock) flush();
    if (n > kBlock) {
      sink_({static_cast<const char*>(data), n});
    } else {
      pending_.append(static_cast<const char*>(data), n);
    }
  }
  template <Plain T>
  void put(T value) {
    put_bytes(&value, sizeof value);
  }
  void put(const std::string& text) {
    put(text.size());
    put_bytes(text.data(), text.size());
  }
  template <class T>
  void put(const std::vector<T>& values) {
    put(values.size());
    for (const T& value : values) put(value);
  }
  void put(const Shape& shape) { put(shape.sizes()); }
  void put(const Tensor& tensor) {
    const Tensor dense = tensor.contiguous();
    put(dense.dtype());
    put(dense.shape());
    put_bytes(dense.raw(), dense.nbytes());
  }
  template <class T>
    requires(!Plain<T>)
  void put(const T& structure) {
    fields(*this, structure);
  }

  std::function<void(std::string_view)> sink_;
  std::string pending_;
};

/// Reads what BinaryWriter wrote. Throws FileError where the bytes end too early.
class BinaryReader {
 public:
  explicit BinaryReader(std::string_view bytes) : bytes_(bytes) {}

  template <class... T>
  void operator()(T&... values) {
    (get(values), ...);
  }
  /// Bytes not yet read.
  std::size_t left() const { return bytes_.size(); }

 private:
  std::string_view take(std::size_t n) {
    if (n > bytes_.size()) throw FileError("the bytes of a program end early");
    const std::string_view taken = bytes_.substr(0, n);
    bytes_.remove_prefix(n);
    return taken;
  }
  template <Plain T>
  void get(T& value) {
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
  }
  /// Of something of which each element takes a byte at least.
  std::size_t get_count() {
    std::size_t n = 0;
    get(n);
    if (n > bytes_.size()) throw FileError("the bytes of a program end early");
    return n;
  }
  void get(std::string& text) { text = take(get_count()); }
  template <class T>
  void get(std::vector<T>& values) {
    values.resize(get_count());
    for (T& value : values) get(value);
  }
  void get(Shape& shape) {
    std::vector<std::int64_t> sizes;
    get(sizes);
    shape = Shape(std::move(sizes));
  }
  void get(Tensor& tensor) {
    DType dtype{};
    Shape shape;
    (*this)(dtype, shape);
    if (shape.elements() > static_cast<std::int64_t>(bytes_.size() / size_of(dtype)))
      throw FileError("the bytes of a program end early");
    tensor = Tensor(std::move(shape), dtype);
    const std::string_view elements = take(tensor.nbytes());
    if (!elements.empty()) std::memcpy(tensor.raw(), elements.data(), elements.size());
  }
  template <class T>
    requires(!Plain<T>)
  void get(T& structure) {
    fields(*this, structure);
  }

  std::string_view bytes_;
};

}  // namespace kiln::codegen
