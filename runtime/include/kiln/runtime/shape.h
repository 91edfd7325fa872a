#pragma once
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

#include "kiln/runtime/error.h"

namespace kiln {

/// A size that is not known before data arrives; prints as `None`. Only the layer graph's shapes (summary,
/// symbolic tensors) hold it: op graphs and tensors are fully static.
inline constexpr std::int64_t None = -1;

/// The sizes of a tensor, outermost first. A value type; compares by its sizes.
class KILN_API Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> sizes) : sizes_(sizes) {}
  explicit Shape(std::vector<std::int64_t> sizes) : sizes_(std::move(sizes)) {}
  explicit Shape(std::span<const std::int64_t> sizes) : sizes_(sizes.begin(), sizes.end()) {}

  int rank() const { return static_cast<int>(sizes_.size()); }
  bool empty() const { return sizes_.empty(); }
  /// Size of one axis; negative axes count from the end. Throws ShapeError when out of range.
  std::int64_t dim(int axis) const;
  std::int64_t operator[](std::size_t i) const { return sizes_[i]; }
  std::int64_t& operator[](std::size_t i) { return sizes_[i]; }
  std::int64_t back() const { return sizes_.back(); }
  auto begin() const { return sizes_.begin(); }
  auto end() const { return sizes_.end(); }
  void push_back(std::int64_t n) { sizes_.push_back(n); }
  const std::vector<std::int64_t>& sizes() const { return sizes_; }

  /// True if no size is None.
  bool is_static() const;
  /// Number of elements; 1 for rank 0. Throws ShapeError if a size is None or the product leaves 63 bits.
  std::int64_t elements() const;
  /// Row-major strides in elements.
  std::vector<std::int64_t> strides() const;
  /// Sizes [first, last) as a shape of their own.
  Shape slice(int first, int last) const;
  /// Without its first axis (the batch).
  Shape tail() const { return slice(1, rank()); }
  /// With `n` in front.
  Shape prepend(std::int64_t n) const;

  /// As Keras prints it: `(None, 28, 28, 1)`, `(10,)`, `()`.
  std::string to_string() const;

  friend KILN_API std::ostream& operator<<(std::ostream& os, const Shape& shape);
  friend bool operator==(const Shape&, const Shape&) = default;
  friend auto operator<=>(const Shape&, const Shape&) = default;

 private:
  std::vector<std::int64_t> sizes_;
};

/// Axis in [0, rank) for an axis in [-rank, rank). Throws ShapeError naming `what` otherwise.
KILN_API int normalize_axis(std::int64_t axis, int rank, const char* what);

}  // namespace kiln
