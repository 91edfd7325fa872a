#include "codegen/faults.h"

#include <atomic>

namespace kiln::codegen {
namespace {
std::atomic<Fault> current{Fault::none};
}  // namespace

void plant(Fault fault) { current = fault; }
Fault planted() { return current; }

}  // namespace kiln::codegen
