#include "kiln/axes.h"

#include <fmt/format.h>

#include <algorithm>

namespace kiln {

std::vector<std::int64_t> Axes::of_rank(const std::string& user, int rank) const {
  std::vector<std::int64_t> result;
  for (std::int64_t axis : values_) {
    if (axis >= rank || axis < -rank)
      throw ShapeError(fmt::format("{}: there is no axis {} in an array of {} axes; they go from {} to {}",
                                   user, axis, rank, -rank, rank - 1));
    result.push_back(axis < 0 ? axis + rank : axis);
  }
  std::sort(result.begin(), result.end());
  if (std::adjacent_find(result.begin(), result.end()) != result.end())
    throw ShapeError(fmt::format("{}: an axis is named twice", user));
  return result;
}

}  // namespace kiln
