#pragma once
#include <string>
#include <vector>

#include "kiln/graph/ops.h"

namespace kiln::internal {

/// Throws ValueError for another interpolation than "nearest", "bilinear", "bicubic", "lanczos3", "lanczos5".
void check_interpolation(const std::string& class_name, const std::string& interpolation);

/// How the elements of a resized axis come from the n there were: of `reach` ones each, and what they count
/// for, element after element.
struct Interpolation {
  int reach = 1;
  std::vector<std::int32_t> elements;
  std::vector<double> shares;  ///< their sum is 1 for each element
};
Interpolation interpolation_of(std::int64_t n, std::int64_t size, const std::string& interpolation);

/// x with `size` elements along an axis, each of which is interpolated between its neighbours; the outer
/// edges of both stay where they are. When x gets smaller, elements between may count for nothing; with
/// `antialias` (but for "nearest"), each counts.
graph::Value resize_axis(graph::Value x, int axis, std::int64_t size, const std::string& interpolation,
                         bool antialias = false);

}  // namespace kiln::internal
