#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "kiln/tensors.h"

namespace kiln::internal {

/// The arrays one by one, then none: what `adapt` goes through.
inline std::function<std::optional<Tensor>()> one_by_one(const Tensors& data) {
  return [items = std::vector<Tensor>(data.begin(), data.end()), i = std::size_t{0}]() mutable {
    return i < items.size() ? std::optional(items[i++]) : std::nullopt;
  };
}

}  // namespace kiln::internal
