#include "runtime/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace kiln::runtime {
namespace {

constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;

std::uint64_t physical_memory() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_size = sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page_size <= 0) return UINT64_MAX;
  return static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_size);
}

}  // namespace

void* allocate(std::uint64_t bytes) {
  static const std::uint64_t available = physical_memory();
  if (bytes > available) return nullptr;
  const bool large = bytes >= 2 * kHugePage;
  void* p = nullptr;
  if (posix_memalign(&p, large ? kHugePage : kAlignment, std::max<std::uint64_t>(bytes, 1)) != 0)
    return nullptr;
  if (large) (void)madvise(p, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);  // only a wish: pages work too
  return p;
}

}  // namespace kiln::runtime
