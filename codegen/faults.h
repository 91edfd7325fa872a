#pragma once
#include <cstdint>

/// For tests only: makes the compiler produce wrong code on purpose, to show that the comparison of compiled
/// code with the interpreter notices. One switch for the process; nothing is planted unless a test asks.
namespace kiln::codegen {

enum class Fault : std::uint8_t {
  none,
  tail_lane_less,        ///< a vector loop's tail leaves out its last lane
  tail_lane_more,        ///< a vector loop's tail has one lane too many
  last_tile_skipped,     ///< the last iteration of every parallel loop is left out
  swapped_select,        ///< select takes the other operand
  reduction_start,       ///< accumulators of reductions start at one more
  fold_half,             ///< folding the lanes of an accumulator forgets its upper half
  unguarded_load,        ///< a predicate's false lanes read as 1 instead of 0
  shifted_unroll,        ///< unrolled loops do one iteration less
  dropped_barrier,       ///< the entry leaves out every barrier
  signed_zero_extension, ///< u8 is converted as if it had a sign
  nan_to_number,         ///< maximum and minimum prefer the number to NaN
};

/// Plants a fault into the code compiled from now on; kernels compiled before are not reused while it lasts.
void plant(Fault fault);
Fault planted();

/// Plants for a scope.
class PlantedFault {
 public:
  explicit PlantedFault(Fault fault) { plant(fault); }
  ~PlantedFault() { plant(Fault::none); }
  PlantedFault(const PlantedFault&) = delete;
  PlantedFault& operator=(const PlantedFault&) = delete;
};

}  // namespace kiln::codegen
