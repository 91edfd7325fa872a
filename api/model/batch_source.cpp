#include "api/model/batch_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/support/random.h"

namespace kiln::internal {

// ---- arrays -----------------------------------------------------------------------------------------------

ArrayBatches::ArrayBatches(const Samples& data, std::int64_t batch_size, bool shuffle)
    : data_(data),
      feeder_(data.arrays(), std::min(batch_size, data.rows)),
      batch_size_(batch_size),
      shuffle_(shuffle) {}

void ArrayBatches::start_epoch(bool at_first) {
  epoch_has_begun_ = false;
  if (!at_first) return;
  next_ = 0;
  ready_ = false;
}

bool ArrayBatches::fetch() {
  if (ready_) return true;
  if (next_ >= data_.rows) {
    if (epoch_has_begun_) return false;
    next_ = 0;
  }
  if (shuffle_ && next_ == 0) order_ = permutation(data_.rows, next_seed());
  return ready_ = data_.rows > 0;
}

void ArrayBatches::run(Trainer& trainer, Mode mode) {
  ready_ = false;
  epoch_has_begun_ = true;
  const std::int64_t count = std::min(batch_size_, data_.rows - next_);
  if (types_count_ != count) types_ = data_.types(types_count_ = count);
  if (shuffle_) {
    const std::span<const std::int64_t> rows(order_.data() + next_, static_cast<std::size_t>(count));
    trainer.run(mode, types_, feeder_.gathered(rows), next_, rows);
  } else {
    trainer.run(mode, types_, feeder_.consecutive(next_), data_.first_row + next_);
  }
  next_ += count;
}

// ---- datasets ---------------------------------------------------------------------------------------------

void check_batches(const std::string& caller, const data::Dataset& dataset) {
  if (dataset.node().items() == Items::samples)
    throw ValueError(fmt::format(
        "{}: the dataset's items are single samples, but a model takes batches; call .batch(32) on it",
        caller));
}

DatasetBatches::DatasetBatches(ModelImpl& model, std::string caller, const data::Dataset& dataset,
                               std::map<std::int64_t, double> class_weight)
    : model_(model), caller_(std::move(caller)), dataset_(dataset), class_weight_(std::move(class_weight)) {
  check_batches(caller_, dataset);
}

void DatasetBatches::start_epoch(bool at_first) {
  // What was fetched ahead of the first epoch is its first batch.
  if (at_first && !(ready_ && number_ == 1)) {
    stream_ = nullptr;
    ready_ = false;
  }
  in_epoch_ = ready_ ? 1 : 0;
}

bool DatasetBatches::fetch() {
  if (ready_) return true;
  const bool fresh = !stream_;
  if (read()) return true;
  if (!fresh && in_epoch_ == 0 && read()) return true;
  if (number_ == 0 && gave_items_)
    throw ValueError(
        fmt::format("{}: the dataset gave items before, but none in this epoch; a generator must start anew "
                    "each time: let it "
                    "capture what it counts by value",
                    caller_));
  if (number_ == 0) throw ValueError(fmt::format("{}: the dataset has no items", caller_));
  return false;
}

bool DatasetBatches::read() {
  if (!stream_) {
    stream_ = dataset_.node().open();
    number_ = 0;
  }
  Sample sample;
  if (!stream_->next(sample)) {
    stream_ = nullptr;
    return false;
  }
  const data::Item item = sample.take();
  const std::string place = fmt::format("{}: batch {} of the dataset", caller_, number_);
  batch_ = prepare_samples(model_, place.c_str(), item.x, item.y, item.sample_weight);
  apply_class_weight(batch_, place.c_str(), class_weight_);
  number_++;
  in_epoch_++;
  gave_items_ = true;
  return ready_ = true;
}

void DatasetBatches::run(Trainer& trainer, Mode mode) {
  ready_ = false;
  Feeder feeder(batch_.arrays(), batch_.rows);
  try {
    trainer.run(mode, batch_.types(batch_.rows), feeder.consecutive(0), 0);
  } catch (const DataError& error) {
    throw DataError(fmt::format("in batch {} of the dataset: ", number_ - 1) + error.message(), error.row(),
                    error.value());
  }
}

std::int64_t steps_over(const char* caller, const char* argument, const data::Dataset& dataset,
                        std::optional<std::int64_t> steps) {
  if (steps && *steps < 1)
    throw ValueError(fmt::format("{}: {} must be positive, but it is {}", caller, argument, *steps));
  const std::int64_t batches = dataset.cardinality();
  if (!steps && batches == data::infinite_cardinality)
    throw ValueError(fmt::format("{}: the dataset has no end; give .{} = ...", caller, argument));
  if (steps) return *steps;
  return batches == data::unknown_cardinality ? 0 : batches;
}

}  // namespace kiln::internal
