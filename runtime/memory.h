#pragma once
#include <cstddef>
#include <cstdint>

namespace kiln::runtime {

inline constexpr std::size_t kAlignment = 64;  ///< a cache line, and the widest vector of any target

/// Memory for `bytes` bytes (at least one), to be given to std::free; not cleared. Null if the machine
/// doesn't have it: Linux would hand out more than there is and kill the process that touches it. Large
/// blocks get huge pages where the system offers them.
void* allocate(std::uint64_t bytes);

/// The same for what kernels read and write again and again within a tile: from 256 KiB on, whole huge pages.
/// In small ones, which lines meet in a set of the second cache is the system's choice, another one in each
/// process: with scratch memory of half that cache, kernels took 40 % longer in every other process.
void* allocate_scratch(std::uint64_t bytes);

}  // namespace kiln::runtime
