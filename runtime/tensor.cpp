#include "kiln/runtime/tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "kiln/runtime/convert.h"
#include "runtime/memory.h"

namespace kiln {
namespace {

/// What data() of a tensor without elements points at, so that it is never null.
alignas(runtime::kAlignment) std::byte no_elements[runtime::kAlignment];

std::shared_ptr<void> allocate(const Shape& shape, DType dtype) {
  const std::int64_t elements = shape.elements();
  std::int64_t bytes = 0;
  void* p = nullptr;
  if (!__builtin_mul_overflow(elements, static_cast<std::int64_t>(size_of(dtype)), &bytes))
    p = runtime::allocate(static_cast<std::uint64_t>(bytes));
  if (p == nullptr)
    throw ShapeError(
        fmt::format("Tensor: the shape {} of {} elements of type {} needs {:.1f} GB of memory, which this "
                    "machine doesn't have",
                    shape.to_string(), elements, name(dtype),
                    static_cast<double>(elements) * static_cast<double>(size_of(dtype)) * 1e-9));
  std::memset(p, 0, static_cast<std::size_t>(bytes));
  return {p, std::free};
}

void expect_defined(const Tensor& t, const char* what) {
  if (!t.defined())
    throw StateError(fmt::format("{}: the Tensor is empty (never given a value, or moved from)", what));
}

/// Calls `row(source, n, stride)` for each innermost row of a strided array, in row-major order.
template <class T, class F>
void for_each_row(const T* data, const Shape& shape, const std::vector<std::int64_t>& strides, F&& row) {
  const int outer = shape.rank() - 1;
  if (outer < 0) return row(data, std::int64_t{1}, std::int64_t{1});
  if (shape.elements() == 0) return;
  const auto last = static_cast<std::size_t>(outer);
  std::vector<std::int64_t> index(last, 0);
  while (true) {
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < last; i++) offset += index[i] * strides[i];
    row(data + offset, shape[last], strides[last]);
    int axis = outer - 1;
    for (; axis >= 0; axis--) {
      const auto i = static_cast<std::size_t>(axis);
      if (++index[i] < shape[i]) break;
      index[i] = 0;
    }
    if (axis < 0) return;
  }
}

/// A new row-major tensor with the elements of `t`, converted.
Tensor copy_as(const Tensor& t, DType dtype) {
  Tensor result(t.shape(), dtype);
  visit(t.dtype(), [&](auto from) {
    using From = decltype(from);
    visit(dtype, [&](auto to) {
      using To = decltype(to);
      To* out = result.data<To>();
      for_each_row(t.data<From>(), t.shape(), t.strides(),
                   [&](const From* row, std::int64_t n, std::int64_t stride) {
                     for (std::int64_t i = 0; i < n; i++) *out++ = convert<To>(row[i * stride]);
                   });
    });
  });
  return result;
}

}  // namespace

ElementRef::operator double() const {
  return visit(type_, [&](auto zero) { return convert<double>(*static_cast<decltype(zero)*>(p_)); });
}

ElementRef& ElementRef::operator=(double v) {
  visit(type_, [&](auto zero) {
    using T = decltype(zero);
    *static_cast<T*>(p_) = convert<T>(v);
  });
  return *this;
}

Tensor::Tensor(Shape shape, DType dtype)
    : owner_(allocate(shape, dtype)),
      data_(owner_.get()),
      dtype_(dtype),
      shape_(std::move(shape)),
      strides_(shape_.strides()),
      elements_(shape_.elements()) {}

Tensor::Tensor(Tensor&& other) noexcept
    : owner_(std::move(other.owner_)),
      data_(std::exchange(other.data_, nullptr)),
      dtype_(std::exchange(other.dtype_, DType::f32)),
      shape_(std::exchange(other.shape_, {})),
      strides_(std::exchange(other.strides_, {})),
      elements_(std::exchange(other.elements_, 0)) {}

Tensor& Tensor::operator=(Tensor&& other) noexcept {
  Tensor taken(std::move(other));
  std::swap(owner_, taken.owner_);
  std::swap(data_, taken.data_);
  std::swap(dtype_, taken.dtype_);
  std::swap(shape_, taken.shape_);
  std::swap(strides_, taken.strides_);
  std::swap(elements_, taken.elements_);
  return *this;
}

Tensor Tensor::full(Shape shape, double value, DType dtype) {
  Tensor t(std::move(shape), dtype);
  visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    std::fill_n(t.data<T>(), t.size(), convert<T>(value));
  });
  return t;
}

Tensor Tensor::view(void* data, Shape shape, DType dtype, std::vector<std::int64_t> strides,
                    std::shared_ptr<void> owner) {
  const std::int64_t elements = shape.elements();
  if (strides.empty()) strides = shape.strides();
  if (strides.size() != shape.sizes().size())
    throw ShapeError(
        fmt::format("Tensor::view: {} strides for the shape {} of rank {}; give one for each axis",
                    strides.size(), shape.to_string(), shape.rank()));
  if (elements > 0 && data == nullptr)
    throw ValueError(fmt::format("Tensor::view: null is not the address of {} elements", elements));
  if (reinterpret_cast<std::uintptr_t>(data) % size_of(dtype) != 0)
    throw ValueError(fmt::format("Tensor::view: the address {} is not a multiple of {}, the size of {}", data,
                                 size_of(dtype), name(dtype)));
  Tensor t;
  t.owner_ = std::move(owner);
  t.data_ = data == nullptr ? no_elements : data;
  t.dtype_ = dtype;
  t.shape_ = std::move(shape);
  t.strides_ = std::move(strides);
  t.elements_ = elements;
  return t;
}

bool overlap(const Tensor& a, const Tensor& b) {
  const auto* p = static_cast<const std::byte*>(a.raw());
  const auto* q = static_cast<const std::byte*>(b.raw());
  return a.size() > 0 && b.size() > 0 && std::less<>()(p, q + b.nbytes()) && std::less<>()(q, p + a.nbytes());
}

bool Tensor::is_contiguous() const {
  if (elements_ == 0) return true;
  std::int64_t expected = 1;
  for (std::size_t i = strides_.size(); i-- > 0;) {
    if (shape_[i] == 1) continue;  // a stride matters only on an axis that has several elements
    if (strides_[i] != expected) return false;
    expected *= shape_[i];
  }
  return true;
}

void Tensor::expect_type(DType t) const {
  expect_defined(*this, "Tensor::data");
  if (t != dtype_)
    throw TypeError(
        fmt::format("Tensor: elements asked for as {} but their type is {}; convert with astype()", name(t),
                    name(dtype_)));
}

ElementRef Tensor::at(std::span<const std::int64_t> index) {
  expect_defined(*this, "Tensor::at");
  if (index.size() != shape_.sizes().size())
    throw ShapeError(fmt::format("Tensor: {} indices into the shape {} of rank {}", index.size(),
                                 shape_.to_string(), rank()));
  std::int64_t offset = 0;
  for (std::size_t axis = 0; axis < index.size(); axis++) {
    const std::int64_t i = index[axis] < 0 ? index[axis] + shape_[axis] : index[axis];
    if (i < 0 || i >= shape_[axis])
      throw ShapeError(fmt::format("Tensor: index {} is out of range for axis {} of the shape {}",
                                   index[axis], axis, shape_.to_string()));
    offset += i * strides_[axis];
  }
  return {static_cast<std::byte*>(data_) + offset * static_cast<std::int64_t>(size_of(dtype_)), dtype_};
}

double Tensor::item() const {
  expect_defined(*this, "Tensor::item");
  if (elements_ != 1)
    throw ShapeError(
        fmt::format("Tensor::item: the shape {} has {} elements, not one", shape_.to_string(), elements_));
  return ElementRef(data_, dtype_);
}

Tensor Tensor::operator[](std::int64_t i) const {
  expect_defined(*this, "Tensor::operator[]");
  if (rank() == 0) throw ShapeError("Tensor: a scalar can't be indexed; item() gives its value");
  const std::int64_t row = i < 0 ? i + shape_[0] : i;
  if (row < 0 || row >= shape_[0])
    throw ShapeError(
        fmt::format("Tensor: index {} is out of range for axis 0 of the shape {}", i, shape_.to_string()));
  Tensor t = slice(row, row + 1);
  t.shape_ = shape_.tail();
  t.strides_.erase(t.strides_.begin());
  return t;
}

Tensor Tensor::slice(std::int64_t first, std::int64_t last) const {
  expect_defined(*this, "Tensor::slice");
  if (rank() == 0) throw ShapeError("Tensor::slice: a scalar has no rows");
  const std::int64_t rows = shape_[0];
  const auto bound = [rows](std::int64_t i) {
    return std::clamp<std::int64_t>(i < 0 ? i + rows : i, 0, rows);
  };
  first = bound(first);
  last = std::max(first, bound(last));
  Tensor t = *this;
  t.shape_[0] = last - first;
  t.elements_ = t.shape_.elements();
  if (t.elements_ > 0)  // an empty slice keeps the address: first may lie past the end
    t.data_ =
        static_cast<std::byte*>(data_) + first * strides_[0] * static_cast<std::int64_t>(size_of(dtype_));
  return t;
}

Tensor Tensor::reshape(Shape shape) const {
  expect_defined(*this, "Tensor::reshape");
  std::int64_t known = 1;
  int unknown = -1;
  for (int i = 0; i < shape.rank(); i++) {
    if (shape.dim(i) != None) continue;
    if (unknown >= 0)
      throw ShapeError(fmt::format("Tensor::reshape: only one size of {} may be None", shape.to_string()));
    unknown = i;
  }
  if (unknown >= 0) {
    Shape others = shape;
    others[static_cast<std::size_t>(unknown)] = 1;
    known = others.elements();
    if (known == 0 || elements_ % known != 0)
      throw ShapeError(fmt::format("Tensor::reshape: {} elements of the shape {} can't be divided into {}",
                                   elements_, shape_.to_string(), shape.to_string()));
    shape[static_cast<std::size_t>(unknown)] = elements_ / known;
  }
  if (shape.elements() != elements_)
    throw ShapeError(fmt::format("Tensor::reshape: the shape {} has {} elements, {} has {}",
                                 shape_.to_string(), elements_, shape.to_string(), shape.elements()));
  Tensor t = contiguous();
  t.strides_ = shape.strides();
  t.shape_ = std::move(shape);
  return t;
}

Tensor Tensor::clone() const {
  expect_defined(*this, "Tensor::clone");
  return copy_as(*this, dtype_);
}

Tensor Tensor::contiguous() const {
  expect_defined(*this, "Tensor::contiguous");
  return is_contiguous() ? *this : clone();
}

Tensor Tensor::astype(DType dtype) const {
  expect_defined(*this, "Tensor::astype");
  return dtype == dtype_ ? *this : copy_as(*this, dtype);
}

}  // namespace kiln
