#pragma once
#include <csignal>

namespace kiln::internal {

/// While it lives, Ctrl-C (SIGINT) only sets a flag, so that a running step can finish. The handler that was
/// there before comes back with the last one. A second Ctrl-C acts as if there were none: it reaches the old
/// handler. Where SIGINT is ignored, it stays so.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  /// True once Ctrl-C was pressed.
  static bool interrupted();
};

}  // namespace kiln::internal
