#pragma once
#include <span>

#include "kiln/runtime/tensor.h"

namespace kiln::internal {

/// The given rows of an array, in this order.
Tensor picked_rows(const Tensor& array, std::span<const std::int64_t> rows);

}  // namespace kiln::internal
