#pragma once
#include <algorithm>
#include <memory>

#include "runtime/threads.h"

/// Programs as the compiler makes them, but with kernels written in C++.
namespace kiln::runtime::testing {

/// Elements that a thread takes at a time.
inline constexpr std::int64_t kTile = 16;

/// Calls `f(i)` for the elements of [0, n) whose tiles are this thread's.
template <class F>
void for_my_tiles(std::int64_t n, std::int64_t thread, std::int64_t threads, F&& f) {
  for (std::int64_t tile = thread; tile * kTile < n; tile += threads) {
    for (std::int64_t i = tile * kTile; i < std::min(n, (tile + 1) * kTile); i++) f(i);
  }
}

inline constexpr std::int64_t kN = 1000;

/// The input must not be negative; then
///   t = 2 x + w   (t in the arena)
///   y[i] = t[i] - 3 t[n - 1 - i]
///   w += 1
/// for n = kN floats each. Its estimated work is worth a team.
std::shared_ptr<Program> mirror_program();

/// One kernel that writes the size of its team to an int64 output of shape (1,), worth `seconds` of work.
std::shared_ptr<Program> probe_program(double seconds);

}  // namespace kiln::runtime::testing
