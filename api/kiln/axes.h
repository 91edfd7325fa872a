#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "kiln/runtime/error.h"

namespace kiln {

/// Axes of an array, one or several: `-1`, or `{1, 2}`. Negative ones count from the end.
class KILN_API Axes {
 public:
  Axes(std::int64_t axis) : values_{axis} {}
  Axes(std::initializer_list<std::int64_t> axes) : values_(axes) {}
  explicit Axes(std::vector<std::int64_t> axes) : values_(std::move(axes)) {}

  std::size_t size() const { return values_.size(); }
  std::int64_t operator[](std::size_t i) const { return values_[i]; }
  const std::vector<std::int64_t>& values() const { return values_; }
  /// Counted from the start, in ascending order, for `rank` axes. Throws ShapeError for an axis that isn't
  /// there or is named twice; `user` stands in the message.
  std::vector<std::int64_t> of_rank(const std::string& user, int rank) const;
  friend bool operator==(const Axes&, const Axes&) = default;

 private:
  std::vector<std::int64_t> values_;
};

}  // namespace kiln
