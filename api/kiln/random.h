#pragma once
#include <cstdint>

#include "kiln/runtime/error.h"

namespace kiln {

/// Seeds everything random that follows: initial weights, shuffling, dropout. The same seed gives the same
/// bits, whatever the number of threads. Without it each process draws a seed of its own.
KILN_API void set_random_seed(std::int64_t seed);

}  // namespace kiln
