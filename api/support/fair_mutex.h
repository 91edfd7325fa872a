#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <shared_mutex>

namespace kiln::internal {

/// A std::shared_mutex that writers get even if readers never cease: glibc's prefers readers, and two threads
/// that predict all the time would keep a third from training. Whoever waits for the lock holds the gate, so
/// that nobody overtakes it.
class FairSharedMutex {
 public:
  void lock() {
    const std::lock_guard gate(gate_);
    mutex_.lock();
    version_.fetch_add(1, std::memory_order_relaxed);
  }
  void unlock() { mutex_.unlock(); }
  void lock_shared() {
    const std::lock_guard gate(gate_);
    mutex_.lock_shared();
  }
  void unlock_shared() { mutex_.unlock_shared(); }

  /// How many writers there have been. The same as before: nothing has changed.
  std::uint64_t version() const { return version_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> version_ = 0;
  std::mutex gate_;
  std::shared_mutex mutex_;
};

}  // namespace kiln::internal
