#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "kiln/codegen/export.h"

namespace kiln::codegen {

/// float32 elements rounded to what two bytes can hold (to the nearest, halves to even), still as float32; as
/// they are for WeightStorage::float32. Throws ValueError for those that are too large for float16.
Tensor rounded(const Tensor& weights, WeightStorage storage);

/// The elements in two bytes each, if all of them are such numbers; else nothing.
std::optional<std::vector<std::uint16_t>> narrowed(const Tensor& weights, WeightStorage storage);

}  // namespace kiln::codegen
