#include "kiln/runtime/shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <ostream>

namespace kiln {

std::int64_t Shape::dim(int axis) const {
  const int i = axis < 0 ? axis + rank() : axis;
  if (i < 0 || i >= rank())
    throw ShapeError(
        fmt::format("axis {} is out of range for the shape {} of rank {}", axis, to_string(), rank()));
  return sizes_[static_cast<std::size_t>(i)];
}

bool Shape::is_static() const {
  return std::find(begin(), end(), None) == end();
}

std::int64_t Shape::elements() const {
  for (std::int64_t n : sizes_) {
    if (n == None)
      throw ShapeError(
          fmt::format("the shape {} has no element count: a size is not known yet", to_string()));
    if (n < 0) throw ShapeError(fmt::format("the shape {} holds the negative size {}", to_string(), n));
  }
  if (std::find(begin(), end(), 0) != end()) return 0;  // whatever the others are: no overflow then
  std::int64_t product = 1;
  for (std::int64_t n : sizes_) {
    if (__builtin_mul_overflow(product, n, &product))
      throw ShapeError(fmt::format("the shape {} has more than 2^63 - 1 elements", to_string()));
  }
  return product;
}

std::vector<std::int64_t> Shape::strides() const {
  std::vector<std::int64_t> strides(sizes_.size());
  std::int64_t stride = 1;
  for (std::size_t i = sizes_.size(); i-- > 0;) {
    strides[i] = stride;
    // An empty tensor has no elements to tell apart; counting a zero as one keeps the strides positive.
    if (__builtin_mul_overflow(stride, std::max<std::int64_t>(sizes_[i], 1), &stride) && i > 0)
      throw ShapeError(fmt::format("the strides of the shape {} leave 63 bits", to_string()));
  }
  return strides;
}

Shape Shape::slice(int first, int last) const {
  if (first < 0 || last > rank() || first > last)
    throw ShapeError(
        fmt::format("the shape {} of rank {} has no sizes [{}, {})", to_string(), rank(), first, last));
  return Shape(std::vector<std::int64_t>(begin() + first, begin() + last));
}

Shape Shape::prepend(std::int64_t n) const {
  std::vector<std::int64_t> sizes;
  sizes.reserve(sizes_.size() + 1);
  sizes.push_back(n);
  sizes.insert(sizes.end(), begin(), end());
  return Shape(std::move(sizes));
}

std::ostream& operator<<(std::ostream& os, const Shape& shape) {
  return os << shape.to_string();
}
std::string Shape::to_string() const {
  std::string s = "(";
  for (std::size_t i = 0; i < sizes_.size(); i++) {
    if (i > 0) s += ", ";
    s += sizes_[i] == None ? std::string("None") : std::to_string(sizes_[i]);
  }
  if (sizes_.size() == 1) s += ",";
  return s + ")";
}

int normalize_axis(std::int64_t axis, int rank, const char* what) {
  const std::int64_t i = axis < 0 ? axis + rank : axis;
  if (i < 0 || i >= rank)
    throw ShapeError(fmt::format("{}: axis {} is out of range for rank {}; it must be in [{}, {})", what,
                                 axis, rank, -rank, rank));
  return static_cast<int>(i);
}

}  // namespace kiln
