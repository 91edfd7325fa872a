#include "codegen/forks.h"

#include <pthread.h>

#include <condition_variable>
#include <mutex>

namespace kiln::codegen {
namespace {

/// Those who compile, or one who forks.
class Gate {
 public:
  void enter() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !forking_; });
    ++compiling_;
  }
  void leave() {
    const std::lock_guard lock(mutex_);
    if (--compiling_ == 0) changed_.notify_all();
  }
  /// `own`: whether the thread that forks is itself among those who compile.
  void close(bool own) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !forking_; });
    forking_ = true;
    changed_.wait(lock, [&] { return compiling_ == (own ? 1 : 0); });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    forking_ = false;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int compiling_ = 0;
  bool forking_ = false;
};

// Never destroyed: threads may compile, and code be freed, until the process ends.
Gate* gate = nullptr;
thread_local int depth = 0;  // Compilings of this thread

/// In the child nobody waits at the gate, whatever its parent's says.
void after_fork_in_child() {
  gate = new Gate;
  if (depth > 0) gate->enter();
}

void make_gate() {
  static const bool made = [] {
    gate = new Gate;
    pthread_atfork([] { gate->close(depth > 0); }, [] { gate->open(); }, after_fork_in_child);
    return true;
  }();
  (void)made;
}

}  // namespace

Compiling::Compiling() {
  make_gate();
  if (depth++ == 0) gate->enter();
}

Compiling::~Compiling() {
  if (--depth == 0) gate->leave();
}

}  // namespace kiln::codegen
