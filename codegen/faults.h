#pragma once
#include <cstdint>

/// For tests only: makes the compiler produce wrong code on purpose, to show that the comparison of compiled
/// code with the interpreter notices. One switch for the process; nothing is planted unless a test asks.
namespace kiln::codegen {

enum class Fault : std::uint8_t {
  none,
  tail_lane_less,     ///< a vector loop's tail leaves out its last lane
  tail_lane_more,     ///< a vector loop's tail has one lane too many
  last_tile_skipped,  ///< the last iteration of every parallel loop is left out
  swapped_select,     ///< select takes the other operand
  reduction_start,    ///< accumulators of reductions start at one more
  fold_half,          ///< folding the lanes of an accumulator forgets its upper half
  unreversed_load,    ///< loads that run backwards come in the order of memory
  shifted_unroll,     ///< unrolled loops of two or more do one iteration less
  dropped_barrier,    ///< no barriers, neither in the entry nor in Step::barrier_before
  signed_bytes,       ///< u8 is computed with as if it had a sign
  nan_to_number,      ///< maximum and minimum prefer the number to NaN
};

inline constexpr Fault all_faults[] = {
    Fault::tail_lane_less,  Fault::tail_lane_more, Fault::last_tile_skipped, Fault::swapped_select,
    Fault::reduction_start, Fault::fold_half,      Fault::unreversed_load,   Fault::shifted_unroll,
    Fault::dropped_barrier, Fault::signed_bytes,   Fault::nan_to_number,
};
/// `tail_lane_less`, ...
const char* name(Fault fault);

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
