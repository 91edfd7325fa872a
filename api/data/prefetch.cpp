// A thread that reads ahead.
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "api/data/dataset_node.h"

namespace kiln {
namespace internal {
namespace {

class PrefetchNode final : public StepNode {
 public:
  PrefetchNode(data::Dataset before, std::int64_t size) : StepNode(std::move(before)), size_(size) {}
  std::unique_ptr<Stream> open() const override {
    return std::make_unique<Ahead>(before().open(), static_cast<std::size_t>(size_));
  }

 private:
  class Ahead final : public Stream {
   public:
    Ahead(std::unique_ptr<Stream> input, std::size_t size)
        : input_(std::move(input)), size_(size), thread_([this] { read(); }) {}
    ~Ahead() override { end(); }
    Ahead(const Ahead&) = delete;
    Ahead& operator=(const Ahead&) = delete;

    bool next(Sample& to) override {
      std::unique_lock lock(mutex_);
      filled_.wait(lock, [&] { return !ready_.empty() || ended_; });
      if (!ready_.empty()) {
        to = std::move(ready_.front());
        ready_.pop_front();
        lock.unlock();
        taken_.notify_one();
        return true;
      }
      lock.unlock();
      end();
      // Once: whoever asks again is at the end.
      if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
      return false;
    }

   private:
    // Room is waited for before an item is made, so that no more than `size` of them are ahead at any time.
    void read() {
      try {
        for (;;) {
          {
            std::unique_lock lock(mutex_);
            taken_.wait(lock, [&] { return ready_.size() < size_ || stop_; });
            if (stop_) break;
          }
          Sample sample;
          if (!input_->next(sample)) break;
          {
            const std::lock_guard lock(mutex_);
            ready_.push_back(std::move(sample));
          }
          filled_.notify_one();
        }
      } catch (...) {
        error_ = std::current_exception();
      }
      {
        const std::lock_guard lock(mutex_);
        ended_ = true;
      }
      filled_.notify_one();
    }

    void end() {
      {
        const std::lock_guard lock(mutex_);
        stop_ = true;
      }
      taken_.notify_one();
      if (thread_.joinable()) thread_.join();
    }

    std::unique_ptr<Stream> input_;  // the thread's own while it runs
    std::size_t size_;
    std::mutex mutex_;
    std::condition_variable filled_, taken_;
    std::deque<Sample> ready_;
    bool stop_ = false, ended_ = false;
    std::exception_ptr error_;  // read after the thread has ended
    std::thread thread_;        // last, as it uses all of the above
  };

  std::int64_t size_;
};

}  // namespace
}  // namespace internal

data::Dataset data::Dataset::prefetch(std::int64_t buffer_size) const {
  internal::check_positive("prefetch: buffer_size", buffer_size);
  return internal::make_dataset<internal::PrefetchNode>(*this, buffer_size);
}

}  // namespace kiln
