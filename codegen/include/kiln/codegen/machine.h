#pragma once
#include <cstdint>

#include "kiln/runtime/error.h"

namespace kiln::codegen {

/// What no kernel can exceed on this machine: the two lines of the roofline (Williams, Waterman, Patterson:
/// "Roofline: an insightful visual performance model", 2009).
struct MachineLimits {
  double flops_per_second = 0;  ///< float32 multiply-adds in registers, two operations each
  double bytes_per_second = 0;  ///< reading memory beyond the caches
};

/// Measured with that many threads at the first call, about half a second; the same figures afterwards.
/// Thread-safe.
KILN_API const MachineLimits& machine_limits(int threads);

/// Bytes of the cache that each core has for itself (the second level).
KILN_API std::int64_t cache_bytes();

}  // namespace kiln::codegen
