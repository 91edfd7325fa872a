#pragma once
#include <span>
#include <string>
#include <vector>

#include "codegen/lower_plan.h"
#include "kiln/codegen/export.h"

/// What lies where in the memories of exported code.
namespace kiln::codegen {

/// Of scratch memory and of the memory of a device that trains.
constexpr std::int64_t memory_alignment = 8;

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
    std::string bytes;
    std::int64_t offset = 0;
  };
  std::vector<Constant> constants;
  std::int64_t bytes = 0;  ///< of all
  static constexpr std::int64_t alignment = 64;

  /// Puts those that `storage` can hold into two bytes an element, and says so to the kernels that read them.
  StoredWeights(LoweredPlan& plan, WeightStorage storage);
  std::string file() const;
};

/// The arrays of the memory that a device trains in: the model's weights first, and what is zero at the start
/// last.
struct DeviceMemory {
  std::vector<std::int64_t> offsets;  ///< in the order of the constructor's arrays
  std::int64_t weight_bytes = 0;      ///< of the weights, at its beginning
  std::int64_t bytes = 0;
  std::string image;  ///< its content at the start; zeros behind that

  /// The first `weights` of the arrays are weights.
  DeviceMemory(std::span<const Tensor> arrays, std::size_t weights);
};

}  // namespace kiln::codegen
