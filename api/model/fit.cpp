#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "api/console/console.h"
#include "api/console/progress_bar.h"
#include "api/model/interrupt.h"
#include "api/model/model_impl.h"
#include "api/model/run_loops.h"
#include "api/model/trainer.h"
#include "api/support/random.h"

namespace kiln {
namespace internal {
namespace {

void check_fit_args(const FitArgs& args) {
  check_batch_size("fit", args.batch_size);
  if (args.validation_batch_size) check_batch_size("fit: validation", *args.validation_batch_size);
  if (args.epochs < 0)
    throw ValueError(fmt::format("fit: epochs must not be negative, but it is {}", args.epochs));
  if (args.initial_epoch < 0)
    throw ValueError(
        fmt::format("fit: initial_epoch must not be negative, but it is {}", args.initial_epoch));
  if (!(args.validation_split >= 0 && args.validation_split < 1))
    throw ValueError(
        fmt::format("fit: validation_split must be in [0, 1), the share of rows to validate on, but it is {}",
                    args.validation_split));
  if (args.validation_freq < 1)
    throw ValueError(
        fmt::format("fit: validation_freq must be positive, but it is {}", args.validation_freq));
  if (args.steps_per_epoch && *args.steps_per_epoch < 1)
    throw ValueError(
        fmt::format("fit: steps_per_epoch must be positive, but it is {}", *args.steps_per_epoch));
  const ValidationData& validation = args.validation_data;
  if (validation.x.empty() && (!validation.y.empty() || validation.sample_weight.defined()))
    throw ValueError("fit: validation_data has no x; give its samples, too, as .validation_data = {x, y}");
  if (args.validation_split > 0 && !validation.x.empty())
    throw ValueError("fit: give validation_split or validation_data, not both");
}

// How many rows stay for training: floor(rows (1 - split)) as Keras computes it, but kept at one row at least
// where rounding alone would leave none (10 rows and 0.9: 1 - 0.9 is a little below 0.1 in binary).
std::int64_t training_rows(std::int64_t rows, double split) {
  const double exact = static_cast<double>(rows) * (1 - split);
  const double nearest = std::round(exact);
  const auto kept = static_cast<std::int64_t>(
      std::abs(exact - nearest) < 1e-9 * static_cast<double>(rows) ? nearest : std::floor(exact));
  if (kept < 1 || kept >= rows)
    throw ValueError(
        fmt::format("fit: validation_split={} of {} rows leaves {} for training and {} for validation; both "
                    "need at least one: give more data or another split",
                    split, rows, kept, rows - kept));
  return kept;
}

// The batches of training, epoch after epoch: all rows in a new order each time through, or as they stand.
class TrainingBatches {
 public:
  TrainingBatches(const Dataset& data, std::int64_t batch_size, bool shuffle)
      : data_(data),
        feeder_(data.arrays(), std::min(batch_size, data.rows)),
        batch_size_(batch_size),
        shuffle_(shuffle) {}

  void run_next(Trainer& trainer) {
    if (next_ >= data_.rows || next_ == 0) start_over();
    const std::int64_t count = std::min(batch_size_, data_.rows - next_);
    if (types_count_ != count) {
      types_ = data_.types(count);
      types_count_ = count;
    }
    if (shuffle_) {
      const std::span<const std::int64_t> rows(order_.data() + next_, static_cast<std::size_t>(count));
      trainer.run(Mode::train, types_, feeder_.gathered(rows), next_, rows);
    } else {
      trainer.run(Mode::train, types_, feeder_.consecutive(next_), next_);
    }
    next_ += count;
  }
  /// The next batch starts at the first row, in a new order.
  void rewind() { next_ = 0; }

 private:
  void start_over() {
    next_ = 0;
    if (shuffle_) order_ = permutation(data_.rows, next_seed());
  }

  const Dataset& data_;
  Feeder feeder_;
  std::int64_t batch_size_;
  bool shuffle_;
  std::vector<std::int64_t> order_;
  std::int64_t next_ = 0;
  BatchTypes types_;
  std::int64_t types_count_ = -1;
};

}  // namespace
}  // namespace internal

using namespace internal;

History Model::fit(const Tensors& x, const Tensors& y, FitArgs args) {
  ModelImpl& model = model_impl();
  Trainer& trainer = model.trainer("fit");
  check_fit_args(args);
  Dataset data = prepare_dataset(model, "fit", x, y, args.sample_weight);
  Dataset validation;
  if (args.validation_split > 0) {
    const std::int64_t kept = training_rows(data.rows, args.validation_split);
    validation = data.slice(kept, data.rows);
    data = data.slice(0, kept);
  } else if (!args.validation_data.x.empty()) {
    validation = prepare_dataset(model, "fit: validation_data", args.validation_data.x,
                                 args.validation_data.y, args.validation_data.sample_weight);
  }
  // Only now, as Keras: classes are weighed for training, not for validation.
  apply_class_weight(data, "fit", args.class_weight);
  trainer.prepare(data);

  const std::int64_t batches = (data.rows + args.batch_size - 1) / args.batch_size;
  const std::int64_t steps = args.steps_per_epoch.value_or(batches);
  const std::int64_t validation_batch_size = args.validation_batch_size.value_or(args.batch_size);
  const std::int64_t validation_steps =
      steps_over("fit: validation_steps", validation.rows, validation_batch_size, args.validation_steps);
  History history;
  std::vector<CallbackHandle> handles = args.callbacks;
  handles.push_back(history);
  CallbackList callbacks(handles, model, {args.verbose, args.epochs, steps});
  const int verbose = callbacks.verbose(args.verbose);
  TrainingBatches source(data, args.batch_size, args.shuffle);
  const InterruptGuard guard;
  const ModelImpl::Fitting fitting(model);
  model.stop_training = false;
  Logs last;
  callbacks.each([](Callback& c) { c.on_train_begin({}); });
  for (std::int64_t epoch = args.initial_epoch;
       epoch < args.epochs && !model.stop_training && !InterruptGuard::interrupted(); epoch++) {
    trainer.reset_metrics();
    callbacks.each([&](Callback& c) { c.on_epoch_begin(epoch, {}); });
    if (verbose != 0 && args.epochs > 1) print(fmt::format("Epoch {}/{}\n", epoch + 1, args.epochs));
    ProgressBar bar(steps, verbose);
    if (!args.steps_per_epoch) source.rewind();
    std::int64_t step = 0;
    while (step < steps && !model.stop_training && !InterruptGuard::interrupted()) {
      callbacks.each([&](Callback& c) { c.on_train_batch_begin(step, {}); });
      source.run_next(trainer);
      const Logs so_far = sorted(trainer.logs());
      callbacks.each([&](Callback& c) { c.on_train_batch_end(step, so_far); });
      bar.update(++step, so_far);
    }
    Logs logs = sorted(trainer.logs());
    if (!InterruptGuard::interrupted() && validation.rows > 0 && (epoch + 1) % args.validation_freq == 0) {
      try {
        run_evaluation(model, validation, validation_batch_size, validation_steps, &callbacks, nullptr,
                       &guard);
      } catch (const DataError& error) {
        throw DataError("fit: in the validation data: " + error.message(), error.row(), error.value());
      } catch (const ShapeError& error) {  // targets that don't fit are found when the step is made
        throw ShapeError(std::string("fit: in the validation data: ") + error.what());
      }
      if (!InterruptGuard::interrupted())
        for (const auto& [name, value] : sorted(trainer.logs())) logs.set("val_" + name, value);
    }
    if (InterruptGuard::interrupted()) {
      // The epoch isn't whole, so it doesn't get into the history.
      bar.update(step, logs, true);
      break;
    }
    bar.update(steps, logs, true);
    callbacks.each([&](Callback& c) { c.on_epoch_end(epoch, logs); });
    last = logs;
  }
  trainer.finalize_weights();
  callbacks.each([&](Callback& c) { c.on_train_end(last); });
  return history;
}

}  // namespace kiln
