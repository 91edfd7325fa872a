#pragma once
#include <cstring>

#include "kiln/runtime/tensor.h"

namespace kiln::testing {

/// Shape, type and all elements are equal to the bit: NaN is itself, and -0 isn't 0.
inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         (a.nbytes() == 0 || std::memcmp(a.raw(), b.raw(), a.nbytes()) == 0);
}

}  // namespace kiln::testing
