#include "codegen/faults.h"

#include <atomic>

namespace kiln::codegen {
namespace {
std::atomic<Fault> current{Fault::none};
}  // namespace

const char* name(Fault fault) {
  switch (fault) {
    case Fault::none:
      return "none";
    case Fault::tail_lane_less:
      return "tail_lane_less";
    case Fault::tail_lane_more:
      return "tail_lane_more";
    case Fault::last_tile_skipped:
      return "last_tile_skipped";
    case Fault::swapped_select:
      return "swapped_select";
    case Fault::reduction_start:
      return "reduction_start";
    case Fault::fold_half:
      return "fold_half";
    case Fault::unreversed_load:
      return "unreversed_load";
    case Fault::shifted_unroll:
      return "shifted_unroll";
    case Fault::dropped_barrier:
      return "dropped_barrier";
    case Fault::signed_bytes:
      return "signed_bytes";
    case Fault::nan_to_number:
      return "nan_to_number";
  }
  return "?";
}

void plant(Fault fault) {
  current = fault;
}
Fault planted() {
  return current;
}

}  // namespace kiln::codegen
