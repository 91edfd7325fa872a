#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "kiln/runtime/dtype.h"

namespace kiln::codegen {

/// Which accesses to the first lanes of a vector are one quick instruction.
enum class MaskedAccess : std::uint8_t {
  none,   ///< SSE, NEON
  loads,  ///< AVX2: loads of 32 and 64 bits a lane; its stores take dozens of cycles on some CPUs
  all,    ///< AVX-512
};

/// What lowering and emission need to know of a CPU. Generators ask this object and never name a width.
struct Target {
  std::string triple, cpu, features;  ///< LLVM's
  int vector_bits = 128;              ///< width kernels are written for
  int vector_registers = 16;
  bool has_fma = true;       ///< a * b + c, rounded once, is an instruction
  bool has_rounding = true;  ///< so are floor, ceil and their kin
  bool has_double = true;    ///< so are sums and products of f64
  int pointer_bits = 64;
  bool is_small = false;  ///< a microcontroller, or asked for: short code comes before fast code
  bool has_team = true;   ///< the code may run on several threads
  bool reports_check_values =
      true;  ///< what a failed check found is kept; exported code gives its number only
  MaskedAccess masked_access = MaskedAccess::all;
  long l1_bytes = 32 << 10, l2_bytes = 1 << 20;

  /// Lanes of a vector of `t` (at least 1).
  int lanes(DType t) const { return has_vectors() ? vector_bits / 8 / static_cast<int>(size_of(t)) : 1; }
  bool has_vectors() const { return vector_bits > 32; }
  /// Is a masked load of such elements one quick instruction?
  bool masks_loads(DType t) const {
    return masked_access == MaskedAccess::all || (masked_access == MaskedAccess::loads && size_of(t) >= 4);
  }

  /// This machine, or what is asked of it: a CPU whose instructions it has ("x86-64-v3"; "native" or "": all
  /// that it has, or what the environment variable KILN_CPU says), vectors of at most `vector_bits` (0: the
  /// CPU's widest). Throws ValueError for CPUs that LLVM doesn't know, or this machine can't stand in for.
  static Target host(int vector_bits = 0, std::string_view cpu = "");
  /// A CPU by LLVM's names: Target::of("aarch64-linux-gnu", "generic"). Known are x86-64, AArch64, Arm's
  /// microcontrollers (thumbv7em-none-eabihf, cortex-m4), RISC-V of 32 and 64 bits, and WebAssembly; as
  /// object files ELF and WebAssembly's. `features` are LLVM's, too ("+v,+zba"), beside those of the CPU. An
  /// empty `cpu` means a Cortex-M4, or M33 without DSP; RISC-V with multiplications, floats and short
  /// instructions (rv32imfc, rv64imafdc); WebAssembly with vectors. Throws ValueError for what LLVM doesn't
  /// know, and for CPUs without float32 instructions.
  static Target of(std::string_view triple, std::string_view cpu, int vector_bits = 0,
                   std::string_view features = "");
};

/// All of a target that machine code depends on, in one line: equal texts, equal code.
std::string describe(const Target& target);

}  // namespace kiln::codegen
