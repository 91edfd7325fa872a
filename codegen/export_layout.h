#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "codegen/lower_plan.h"
#include "kiln/codegen/export.h"

/// What lies where in the memories of exported code.
namespace kiln::codegen {

/// Of scratch memory and of the memory of a device that trains.
constexpr std::int64_t memory_alignment = 8;

constexpr std::uint32_t fnv_start = 2166136261, fnv_prime = 16777619;  ///< FNV-1a of 32 bits

/// An exported program's scratch memory: its arena, and what lives within a kernel's tile. One thread has
/// that wherever no array is alive meanwhile; the threads of a team, behind the arena, each its own.
struct ScratchLayout {
  std::vector<std::int64_t> kernels;  ///< where each step's begins
  std::int64_t bytes = 0, alignment = 1;
  ScratchLayout(const LoweredPlan& plan, int max_threads);
};

/// The constants of a program as they are stored: bytes, and where each begins if they are one file.
struct StoredWeights {
  struct Constant {
    DType dtype = DType::f32;
    Storage storage = Storage::whole;
    int pair_lanes = 0;  ///< as BufferParam's
    std::string bytes;
    std::int64_t offset = 0;
  };
  std::vector<Constant> constants;
  std::int64_t bytes = 0;  ///< of all
  static constexpr std::int64_t alignment = 64;

  /// Puts those that `storage` can hold into two bytes an element, and says so to the kernels that read them.
  StoredWeights(LoweredPlan& plan, WeightStorage storage);
  std::string file() const;
  /// FNV-1a of the file's bytes: of a changed byte it is another.
  std::uint32_t checksum() const;

 private:
  /// Puts bf16 in pairs where all kernels that read them read vectors of the same lanes.
  void pair_vectors(const LoweredPlan& plan);
};

/// The arrays of the memory that a device trains in: the model's weights first, and what is zero at the start
/// last.
struct DeviceMemory {
  std::vector<std::int64_t> offsets;  ///< in the order of the constructor's arrays
  std::int64_t weight_bytes = 0;      ///< of the weights, at its beginning
  std::int64_t bytes = 0;
  std::string image;              ///< its content at the start; zeros behind that
  std::int64_t rate_offset = -1;  ///< of the learning rate; -1: there is none
  DType rate_dtype = DType::f32;

  /// The first `weights` of the arrays are weights, and one is the learning rate, or none (-1).
  DeviceMemory(std::span<const Tensor> arrays, std::size_t weights, int learning_rate);
};

}  // namespace kiln::codegen
