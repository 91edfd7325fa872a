// Steps that pass items on as they are: in another order, some of them, several times.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <limits>

#include "api/data/dataset_node.h"
#include "api/support/random.h"

namespace kiln {
namespace internal {
namespace {

class ShuffleNode final : public StepNode {
 public:
  ShuffleNode(data::Dataset before, std::int64_t buffer_size, std::int64_t seed, bool reshuffle)
      : StepNode(std::move(before)), buffer_size_(buffer_size), seed_(seed), reshuffle_(reshuffle) {}
  std::unique_ptr<Stream> open() const override {
    const std::int64_t iteration = reshuffle_ ? iterations_++ : 0;
    return std::make_unique<Shuffled>(before().open(), buffer_size_, derived_seed(seed_, iteration));
  }

 private:
  class Shuffled final : public Stream {
   public:
    Shuffled(std::unique_ptr<Stream> input, std::int64_t size, std::int64_t seed)
        : input_(std::move(input)), size_(static_cast<std::size_t>(size)), random_(seed) {}
    bool next(Sample& to) override {
      for (Sample sample; !ended_ && buffer_.size() < size_;) {
        ended_ = !input_->next(sample);
        if (!ended_) buffer_.push_back(std::move(sample));
      }
      if (buffer_.empty()) return false;
      const auto drawn = static_cast<std::size_t>(random_.below(static_cast<std::int64_t>(buffer_.size())));
      std::swap(buffer_[drawn], buffer_.back());
      to = std::move(buffer_.back());
      buffer_.pop_back();
      return true;
    }

   private:
    std::unique_ptr<Stream> input_;
    std::size_t size_;
    RandomSequence random_;
    std::vector<Sample> buffer_;
    bool ended_ = false;
  };

  std::int64_t buffer_size_, seed_;
  bool reshuffle_;
  mutable std::atomic<std::int64_t> iterations_ = 0;
};

class RepeatNode final : public StepNode {
 public:
  RepeatNode(data::Dataset before, std::int64_t count) : StepNode(std::move(before)), count_(count) {}
  std::unique_ptr<Stream> open() const override { return std::make_unique<Repeated>(before(), count_); }
  std::int64_t cardinality() const override {
    const std::int64_t n = before().cardinality();
    if (n == 0 || count_ == 0) return 0;
    if (n == data::infinite_cardinality || count_ < 0) return data::infinite_cardinality;
    if (n == data::unknown_cardinality) return n;
    if (n > std::numeric_limits<std::int64_t>::max() / count_) return data::infinite_cardinality;
    return n * count_;
  }

 private:
  class Repeated final : public Stream {
   public:
    Repeated(const DatasetNode& node, std::int64_t count) : node_(node), left_(count) {}
    bool next(Sample& to) override {
      while (left_ != 0) {
        if (!input_) input_ = node_.open();
        if (input_->next(to)) {
          empty_ = false;
          return true;
        }
        input_ = nullptr;
        if (left_ > 0) left_--;
        if (empty_) left_ = 0;  // nothing forever would never return
        empty_ = true;
      }
      return false;
    }

   private:
    const DatasetNode& node_;
    std::int64_t left_;  ///< negative: without end
    std::unique_ptr<Stream> input_;
    bool empty_ = true;  ///< nothing came in this pass yet
  };

  std::int64_t count_;
};

class TakeNode final : public StepNode {
 public:
  TakeNode(data::Dataset before, std::int64_t count) : StepNode(std::move(before)), count_(count) {}
  std::unique_ptr<Stream> open() const override { return std::make_unique<Taken>(before().open(), count_); }
  std::int64_t cardinality() const override {
    const std::int64_t n = before().cardinality();
    if (count_ == 0) return 0;
    if (n == data::unknown_cardinality) return n;
    return n == data::infinite_cardinality ? count_ : std::min(n, count_);
  }

 private:
  class Taken final : public Stream {
   public:
    Taken(std::unique_ptr<Stream> input, std::int64_t count) : input_(std::move(input)), left_(count) {}
    bool next(Sample& to) override {
      if (left_ == 0) {
        input_ = nullptr;  // its threads may end
        return false;
      }
      left_--;
      return input_->next(to);
    }

   private:
    std::unique_ptr<Stream> input_;
    std::int64_t left_;
  };

  std::int64_t count_;
};

class SkipNode final : public StepNode {
 public:
  SkipNode(data::Dataset before, std::int64_t count) : StepNode(std::move(before)), count_(count) {}
  std::unique_ptr<Stream> open() const override { return std::make_unique<Rest>(before().open(), count_); }
  std::int64_t cardinality() const override {
    const std::int64_t n = before().cardinality();
    return n < 0 ? n : std::max<std::int64_t>(0, n - count_);
  }

 private:
  class Rest final : public Stream {
   public:
    Rest(std::unique_ptr<Stream> input, std::int64_t count) : input_(std::move(input)), left_(count) {}
    bool next(Sample& to) override {
      for (; left_ > 0; left_--)
        if (!input_->next(to)) left_ = 1;
      return input_->next(to);
    }

   private:
    std::unique_ptr<Stream> input_;
    std::int64_t left_;
  };

  std::int64_t count_;
};

void check_count(const char* step, std::int64_t count, const char* all) {
  if (count < -1)
    throw ValueError(fmt::format("{}: count is {}; give a number of items, or -1 for {}", step, count, all));
}

}  // namespace
}  // namespace internal

namespace data {

using namespace internal;

Dataset Dataset::shuffle(std::int64_t buffer_size, ShuffleArgs args) const {
  check_positive("shuffle: buffer_size", buffer_size);
  // Drawn now: a thread that reads ahead draws nothing from the global sequence.
  const std::int64_t seed = args.seed ? *args.seed : next_seed();
  return make_dataset<ShuffleNode>(*this, buffer_size, seed, args.reshuffle_each_iteration);
}

Dataset Dataset::repeat(std::int64_t count) const {
  if (count < -1)
    throw ValueError(fmt::format("repeat: count is {}; give a number of times, or -1 for ever", count));
  return make_dataset<RepeatNode>(*this, count);
}

Dataset Dataset::take(std::int64_t count) const {
  check_count("take", count, "all");
  return count < 0 ? *this : make_dataset<TakeNode>(*this, count);
}

Dataset Dataset::skip(std::int64_t count) const {
  check_count("skip", count, "all");
  return count < 0 ? make_dataset<TakeNode>(*this, std::int64_t{0}) : make_dataset<SkipNode>(*this, count);
}

}  // namespace data
}  // namespace kiln
