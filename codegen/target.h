#pragma once
#include <string>

#include "kiln/runtime/dtype.h"

namespace kiln::codegen {

/// What lowering and emission need to know of a CPU. Generators ask this object and never name a width.
struct Target {
  std::string triple, cpu, features;  ///< LLVM's
  int vector_bits = 128;              ///< width kernels are written for
  int vector_registers = 16;
  long l1_bytes = 32 << 10, l2_bytes = 1 << 20;

  /// Lanes of a vector of `t` (at least 1).
  int lanes(DType t) const { return vector_bits / 8 / static_cast<int>(size_of(t)); }

  /// This machine; `vector_bits` 0 takes the widest that it has.
  static Target host(int vector_bits = 0);
};

}  // namespace kiln::codegen
