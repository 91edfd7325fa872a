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

void* aligned(std::uint64_t bytes, std::uint64_t alignment) {
  static const std::uint64_t available = physical_memory();
  void* p = nullptr;
  if (bytes > available || posix_memalign(&p, alignment, std::max<std::uint64_t>(bytes, 1)) != 0)
    return nullptr;
  return p;
}

/// All but what is left behind the last whole one.
void* in_huge_pages(std::uint64_t bytes) {
  void* p = aligned(bytes, kHugePage);
  if (p != nullptr)
    (void)madvise(p, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);  // a wish: small ones work too
  return p;
}

}  // namespace

void* allocate(std::uint64_t bytes) {
  return bytes < 2 * kHugePage ? aligned(bytes, kAlignment) : in_huge_pages(bytes);
}

void* allocate_scratch(std::uint64_t bytes) {
  // A quarter of the second caches that we know best. Less than that seldom meets in one set too often, and
  // would hardly fill the page.
  constexpr std::uint64_t worth_a_page = std::uint64_t{256} << 10;
  if (bytes < worth_a_page || bytes > UINT64_MAX - kHugePage) return allocate(bytes);
  return in_huge_pages((bytes + kHugePage - 1) / kHugePage * kHugePage);
}

}  // namespace kiln::runtime
