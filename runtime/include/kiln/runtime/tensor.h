#pragma once
#include <array>
#include <concepts>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "kiln/runtime/dtype.h"
#include "kiln/runtime/error.h"
#include "kiln/runtime/shape.h"

namespace kiln {

template <class T>
concept Element = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, std::int32_t> ||
                  std::same_as<T, std::int64_t> || std::same_as<T, std::uint8_t> || std::same_as<T, bool>;

/// Whole numbers of C++ types that no tensor holds: a vector of them becomes int32 where that holds every
/// value of the type (`std::int8_t`, `short`), else int64 (`unsigned`, `std::size_t`).
template <class T>
concept OtherInteger = std::integral<T> && !Element<T>;

/// One element of a tensor of any type, as `t(i, j)` gives it: reads as double, assigns with conversion. An
/// int64 beyond 2^53 loses its low bits on the way; `data<std::int64_t>()` gives them all.
class KILN_API ElementRef {
 public:
  ElementRef(void* p, DType t) : p_(p), type_(t) {}
  operator double() const;
  ElementRef& operator=(double v);
  ElementRef& operator=(const ElementRef& o) { return *this = static_cast<double>(o); }
  ElementRef& operator+=(double v) { return *this = *this + v; }
  ElementRef& operator-=(double v) { return *this = *this - v; }
  ElementRef& operator*=(double v) { return *this = *this * v; }
  ElementRef& operator/=(double v) { return *this = *this / v; }

 private:
  void* p_;
  DType type_;
};

/// A dense n-dimensional array. Copying a Tensor is cheap: copies share their elements, as numpy's names do;
/// `clone()` makes new ones. Memory that Kiln allocates is row-major and aligned to 64 bytes; `view` wraps
/// foreign memory, with strides if need be. What needs elements throws StateError on an empty handle.
class KILN_API Tensor {
 public:
  /// An empty handle; `defined()` is false.
  Tensor() = default;
  Tensor(const Tensor&) = default;
  Tensor& operator=(const Tensor&) = default;
  /// The tensor moved from becomes an empty handle.
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(Tensor&& other) noexcept;
  ~Tensor() = default;
  /// Zeros. Throws ShapeError if a size is negative or the element count doesn't fit memory.
  explicit Tensor(Shape shape, DType dtype);
  /// Float32 zeros. Only for what is a Shape already: no list in braces becomes one, for that would be zeros
  /// where `Tensor({n, 3})` with mixed integer types looks like data. Those are `Tensor::zeros({n, 3})`.
  template <std::same_as<Shape> S>
  explicit Tensor(S shape) : Tensor(std::move(shape), DType::f32) {}

  /// A rank-1 tensor of the given elements, whose C++ type decides its own: `Tensor({1.f, 2.f})` is float32,
  /// `Tensor({2, 3})` int32. Zeros of the shape (2, 3) are `Tensor::zeros({2, 3})`.
  template <Element T>
  Tensor(std::initializer_list<T> v) : Tensor(std::span<const T>(v.begin(), v.size())) {}
  /// A rank-2 tensor, row by row. Throws ShapeError if the rows' lengths differ.
  template <Element T>
  Tensor(std::initializer_list<std::initializer_list<T>> rows);
  /// Copies the elements; `shape` gives the form (default: rank 1). Throws ShapeError if the counts differ.
  template <Element T>
  explicit Tensor(std::span<const T> v) : Tensor(v, Shape{static_cast<std::int64_t>(v.size())}) {}
  template <Element T>
  explicit Tensor(std::span<T> v) : Tensor(std::span<const T>(v)) {}
  template <Element T>
  Tensor(std::span<const T> v, Shape shape);
  template <Element T>
  Tensor(std::span<T> v, Shape shape) : Tensor(std::span<const T>(v), std::move(shape)) {}
  template <Element T>
  Tensor(const std::vector<T>& v);
  template <Element T>
  Tensor(const std::vector<T>& v, Shape shape);
  /// Throws ValueError for a number beyond int64.
  template <OtherInteger T>
  Tensor(const std::vector<T>& v) : Tensor(widened(v)) {}
  template <OtherInteger T>
  Tensor(const std::vector<T>& v, Shape shape) : Tensor(widened(v), std::move(shape)) {}

  static Tensor zeros(Shape shape, DType dtype = DType::f32) { return Tensor(std::move(shape), dtype); }
  static Tensor full(Shape shape, double value, DType dtype = DType::f32);
  static Tensor scalar(double value, DType dtype = DType::f32) { return full({}, value, dtype); }
  /// Wraps memory owned by someone else; `strides` in elements (empty: row-major). The memory must outlive
  /// every Tensor that shares it, unless `owner` keeps it alive.
  static Tensor view(void* data, Shape shape, DType dtype, std::vector<std::int64_t> strides = {},
                     std::shared_ptr<void> owner = nullptr);
  template <Element T>
  static Tensor view(T* data, Shape shape, std::vector<std::int64_t> strides = {}) {
    return view(static_cast<void*>(data), std::move(shape), dtype_of<T>, std::move(strides));
  }

  bool defined() const { return data_ != nullptr || owner_ != nullptr; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  std::int64_t dim(int axis) const { return shape_.dim(axis); }
  std::int64_t size() const { return elements_; }
  std::size_t nbytes() const { return static_cast<std::size_t>(elements_) * size_of(dtype_); }
  const std::vector<std::int64_t>& strides() const { return strides_; }
  bool is_contiguous() const;

  /// First element. Throws TypeError if T isn't the element type.
  template <Element T>
  T* data() {
    expect_type(dtype_of<T>);
    return static_cast<T*>(data_);
  }
  template <Element T>
  const T* data() const {
    expect_type(dtype_of<T>);
    return static_cast<const T*>(data_);
  }
  void* raw() { return data_; }
  const void* raw() const { return data_; }
  /// All elements of a contiguous tensor. Throws TypeError, or ShapeError if it isn't contiguous.
  template <Element T>
  std::span<const T> span() const;
  template <Element T>
  std::span<T> span();
  /// Copies all elements, row-major, converted to T.
  template <Element T>
  std::vector<T> to_vector() const;

  /// Element at the given indices (negative ones count from the end). Throws ShapeError when out of range.
  template <std::integral... I>
  ElementRef operator()(I... i) {
    return at(std::array<std::int64_t, sizeof...(I)>{static_cast<std::int64_t>(i)...});
  }
  template <std::integral... I>
  double operator()(I... i) const {
    return const_cast<Tensor*>(this)->at(
        std::array<std::int64_t, sizeof...(I)>{static_cast<std::int64_t>(i)...});
  }
  ElementRef at(std::span<const std::int64_t> index);
  /// The only element. Throws ShapeError if there are more.
  double item() const;

  /// Sub-tensor `t[i]`, sharing elements.
  Tensor operator[](std::int64_t i) const;
  /// Rows [first, last), sharing elements; negative and out-of-range bounds as in Python.
  Tensor slice(std::int64_t first, std::int64_t last) const;
  /// Same elements, another shape; one size may be None (inferred). Copies only if not contiguous.
  Tensor reshape(Shape shape) const;
  /// A row-major copy with elements of its own.
  Tensor clone() const;
  /// This tensor if it is contiguous, else a row-major copy.
  Tensor contiguous() const;
  /// Elements converted to another type by the rules of convert.h (itself if it already is).
  Tensor astype(DType dtype) const;

  /// As numpy prints it.
  std::string to_string() const;
  friend std::ostream& operator<<(std::ostream& os, const Tensor& t) { return os << t.to_string(); }

  /// numpy's .npy format. Errors name the file (FileError). The write is atomic.
  static Tensor load_npy(const std::string& path);
  void save_npy(const std::string& path) const;

 private:
  void expect_type(DType t) const;
  template <OtherInteger T>
  static auto widened(const std::vector<T>& v);

  std::shared_ptr<void> owner_;
  void* data_ = nullptr;
  DType dtype_ = DType::f32;
  Shape shape_;
  std::vector<std::int64_t> strides_;
  std::int64_t elements_ = 0;
};

/// True if two contiguous tensors have bytes of memory in common.
KILN_API bool overlap(const Tensor& a, const Tensor& b);

// ---- templates --------------------------------------------------------------------------------------------

template <Element T>
Tensor::Tensor(std::span<const T> v, Shape shape) : Tensor(std::move(shape), dtype_of<T>) {
  if (static_cast<std::int64_t>(v.size()) != size())
    throw ShapeError("Tensor: " + std::to_string(v.size()) + " elements don't fill the shape " +
                     shape_.to_string());
  if (!v.empty()) std::memcpy(data_, v.data(), v.size() * sizeof(T));
}
template <Element T>
Tensor::Tensor(std::initializer_list<std::initializer_list<T>> rows)
    : Tensor(Shape{static_cast<std::int64_t>(rows.size()),
                   rows.size() ? static_cast<std::int64_t>(rows.begin()->size()) : 0},
             dtype_of<T>) {
  T* p = static_cast<T*>(data_);
  for (const auto& row : rows) {
    if (static_cast<std::int64_t>(row.size()) != shape_[1])
      throw ShapeError("Tensor: the rows have " + std::to_string(shape_[1]) + " and " +
                       std::to_string(row.size()) + " elements; they must be equally long");
    for (T x : row) *p++ = x;
  }
}
template <Element T>
Tensor::Tensor(const std::vector<T>& v) : Tensor(v, Shape{static_cast<std::int64_t>(v.size())}) {}
template <Element T>
Tensor::Tensor(const std::vector<T>& v, Shape shape) : Tensor(std::move(shape), dtype_of<T>) {
  if (static_cast<std::int64_t>(v.size()) != size())
    throw ShapeError("Tensor: " + std::to_string(v.size()) + " elements don't fill the shape " +
                     shape_.to_string());
  T* p = static_cast<T*>(data_);  // std::vector<bool> has no data()
  for (std::size_t i = 0; i < v.size(); i++) p[i] = v[i];
}
template <OtherInteger T>
auto Tensor::widened(const std::vector<T>& v) {
  std::vector<std::conditional_t<(sizeof(T) < sizeof(std::int32_t)), std::int32_t, std::int64_t>> wide;
  wide.reserve(v.size());
  for (T x : v) {
    if (x > 0 && static_cast<std::uint64_t>(x) >> 63 != 0)
      throw ValueError("Tensor: " + std::to_string(x) + " doesn't fit into int64, the widest whole numbers");
    wide.push_back(static_cast<typename decltype(wide)::value_type>(x));
  }
  return wide;
}
template <Element T>
std::span<const T> Tensor::span() const {
  if (!is_contiguous()) throw ShapeError("Tensor::span needs a contiguous tensor; call contiguous() first");
  return {data<T>(), static_cast<std::size_t>(size())};
}
template <Element T>
std::span<T> Tensor::span() {
  const std::span<const T> s = std::as_const(*this).span<T>();
  return {data<T>(), s.size()};
}
template <Element T>
std::vector<T> Tensor::to_vector() const {
  Tensor t = astype(dtype_of<T>).contiguous();
  const T* p = t.data<T>();
  return std::vector<T>(p, p + t.size());
}

}  // namespace kiln
