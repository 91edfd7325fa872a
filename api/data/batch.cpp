// Samples put together to batches.
#include <fmt/format.h>

#include <cstring>

#include "api/data/dataset_node.h"
#include "api/data/rows.h"

namespace kiln {
namespace internal {
namespace {

/// What is put together at one place of the items: "x", "y[1]", "sample_weight".
struct Place {
  const char* name;
  std::size_t index;
  std::size_t count;
  std::string to_string() const { return count > 1 ? fmt::format("{}[{}]", name, index) : name; }
};

void copy_into(Tensor& batch, std::size_t row, const Tensor& from) {
  const Tensor whole = from.contiguous();
  if (whole.nbytes() > 0)
    std::memcpy(static_cast<std::byte*>(batch.raw()) + row * whole.nbytes(), whole.raw(), whole.nbytes());
}

Tensor stacked(const std::vector<Sample>& samples, const Place& place,
               const std::function<const Tensor&(const Sample&)>& of) {
  const Tensor& first = of(samples[0]);
  const auto check = [&](const Sample& sample, std::size_t i) {
    const Tensor& t = of(sample);
    const char* mend = "; make them alike with map, or batch them one by one";
    if (t.shape() != first.shape())
      throw ShapeError(
          fmt::format("batch: {} of item {} of the batch has shape {}, but that of the first has {}{}",
                      place.to_string(), i, t.shape().to_string(), first.shape().to_string(), mend));
    if (t.dtype() != first.dtype())
      throw TypeError(fmt::format("batch: {} of item {} of the batch is {}, but that of the first is {}{}",
                                  place.to_string(), i, name(t.dtype()), name(first.dtype()), mend));
  };
  for (std::size_t i = 1; i < samples.size(); i++) check(samples[i], i);
  Tensor batch(first.shape().prepend(static_cast<std::int64_t>(samples.size())), first.dtype());
  for (std::size_t i = 0; i < samples.size(); i++) copy_into(batch, i, of(samples[i]));
  return batch;
}

/// Items that aren't rows of the same arrays.
data::Item stacked(std::vector<Sample>& samples) {
  for (Sample& s : samples) {
    s.item = s.take();
    s.arrays = nullptr;
  }
  const data::Item& first = samples[0].item;
  for (std::size_t i = 1; i < samples.size(); i++) {
    const data::Item& item = samples[i].item;
    if (item.x.size() != first.x.size() || item.y.size() != first.y.size() ||
        item.sample_weight.defined() != first.sample_weight.defined())
      throw ShapeError(fmt::format(
          "batch: item {} of the batch has {} x, {} y and {} sample_weight, but the first has {}, "
          "{} and {}; all need the same parts",
          i, item.x.size(), item.y.size(), item.sample_weight.defined() ? "a" : "no", first.x.size(),
          first.y.size(), first.sample_weight.defined() ? "a" : "no"));
  }
  const auto all = [&](const char* name, Tensors data::Item::* part) {
    std::vector<Tensor> out;
    const std::size_t count = (first.*part).size();
    for (std::size_t k = 0; k < count; k++)
      out.push_back(stacked(samples, {name, k, count},
                            [&](const Sample& s) -> const Tensor& { return (s.item.*part)[k]; }));
    return Tensors(std::move(out));
  };
  data::Item batch{all("x", &data::Item::x), all("y", &data::Item::y), {}};
  if (first.sample_weight.defined())
    batch.sample_weight = stacked(samples, {"sample_weight", 0, 1},
                                  [](const Sample& s) -> const Tensor& { return s.item.sample_weight; });
  return batch;
}

data::Item put_together(std::vector<Sample>& samples) {
  const std::int64_t first = samples[0].row, count = static_cast<std::int64_t>(samples.size());
  bool same_arrays = samples[0].arrays != nullptr, consecutive = true;
  std::vector<std::int64_t> rows;
  for (const Sample& s : samples) {
    same_arrays = same_arrays && s.arrays == samples[0].arrays;
    consecutive = consecutive && s.row == first + static_cast<std::int64_t>(rows.size());
    rows.push_back(s.row);
  }
  if (!same_arrays) return stacked(samples);
  return transformed(*samples[0].arrays, [&](const Tensor& t) {
    return consecutive ? t.slice(first, first + count) : picked_rows(t, rows);
  });
}

class BatchNode final : public StepNode {
 public:
  BatchNode(data::Dataset before, std::int64_t size, bool drop)
      : StepNode(std::move(before)), size_(size), drop_(drop) {}
  std::unique_ptr<Stream> open() const override {
    return std::make_unique<Batched>(before().open(), static_cast<std::size_t>(size_), drop_);
  }
  std::int64_t cardinality() const override {
    const std::int64_t n = before().cardinality();
    return n < 0 ? n : n / size_ + (!drop_ && n % size_ != 0 ? 1 : 0);
  }
  Items items() const override { return Items::batches; }

 private:
  class Batched final : public Stream {
   public:
    Batched(std::unique_ptr<Stream> input, std::size_t size, bool drop)
        : input_(std::move(input)), size_(size), drop_(drop) {}
    bool next(Sample& to) override {
      samples_.clear();
      for (Sample sample; samples_.size() < size_ && input_->next(sample);)
        samples_.push_back(std::move(sample));
      if (samples_.empty() || (drop_ && samples_.size() < size_)) return false;
      to.item = put_together(samples_);
      to.arrays = nullptr;
      return true;
    }

   private:
    std::unique_ptr<Stream> input_;
    std::size_t size_;
    bool drop_;
    std::vector<Sample> samples_;
  };

  std::int64_t size_;
  bool drop_;
};

}  // namespace
}  // namespace internal

data::Dataset data::Dataset::batch(std::int64_t batch_size, BatchingArgs args) const {
  internal::check_positive("batch: batch_size", batch_size);
  return internal::make_dataset<internal::BatchNode>(*this, batch_size, args.drop_remainder);
}

}  // namespace kiln
