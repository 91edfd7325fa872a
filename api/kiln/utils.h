#pragma once
#include <optional>

#include "kiln/runtime/tensor.h"

/// Keras's utilities (https://keras.io/api/utils).
namespace kiln::utils {

/// Class numbers as rows of zeros with a one: shape (...) -> (..., num_classes), float32; a last axis of size
/// 1 is left out. Without `num_classes`, as many as the largest number needs. Throws ValueError for what is
/// no whole number in [0, num_classes), ShapeError if there are no numbers to count classes from.
KILN_API Tensor to_categorical(const Tensor& x, std::optional<std::int64_t> num_classes = {});

/// x divided by its length along an axis: the sum of |x|^order, to the power of 1/order (order 1, 2, ... or
/// infinity: the largest). What has length 0 stays 0. float64 stays so, other types become float32. Throws
/// ShapeError for an axis that isn't there, ValueError for orders below 1.
KILN_API Tensor normalize(const Tensor& x, std::int64_t axis = -1, double order = 2);

}  // namespace kiln::utils
