#pragma once
#include "kiln/runtime/tensor.h"

/// Checks that what is fitted to columns has in common. `name` is its class, `method` what was called.
namespace kiln::internal {

/// Throws ShapeError unless x has that many rows.
void check_to_fit(const char* name, const Tensor& x, std::int64_t fewest);
/// Throws ShapeError unless x has rows of that shape.
void check_row(const char* name, const char* method, const Tensor& x, const Shape& row);
/// float64 stays so; all else becomes float32.
DType scaled_type(const Tensor& x);

}  // namespace kiln::internal
