#pragma once
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

namespace kiln::testing {

/// Runs `action` in threads of its own until the object dies.
class Background {
 public:
  Background(int threads, const std::function<void()>& action) {
    for (int i = 0; i < threads; i++)
      threads_.emplace_back([this, action] {
        while (!stop_) action();
      });
  }
  ~Background() {
    stop_ = true;
    for (std::thread& t : threads_) t.join();
  }

 private:
  std::atomic<bool> stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace kiln::testing
