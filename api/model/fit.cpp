#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "api/console/console.h"
#include "api/console/progress_bar.h"
#include "api/model/interrupt.h"
#include "api/model/model_impl.h"
#include "api/model/run_loops.h"
#include "api/model/trainer.h"

namespace kiln {
namespace internal {
namespace {

// What fit's arguments for arrays and for datasets have in common.
template <class Args>
void check_fit_args(const Args& args) {
  if (args.epochs < 0)
    throw ValueError(fmt::format("fit: epochs must not be negative, but it is {}", args.epochs));
  if (args.initial_epoch < 0)
    throw ValueError(
        fmt::format("fit: initial_epoch must not be negative, but it is {}", args.initial_epoch));
  if (args.validation_freq < 1)
    throw ValueError(
        fmt::format("fit: validation_freq must be positive, but it is {}", args.validation_freq));
  if (args.steps_per_epoch && *args.steps_per_epoch < 1)
    throw ValueError(
        fmt::format("fit: steps_per_epoch must be positive, but it is {}", *args.steps_per_epoch));
  const ValidationData& validation = args.validation_data;
  if (validation.dataset && !(validation.x.empty() && validation.y.empty()))
    throw ValueError("fit: validation_data has both arrays and a dataset; give one of them");
  if (validation.x.empty() && (!validation.y.empty() || validation.sample_weight.defined()))
    throw ValueError("fit: validation_data has no x; give its samples, too, as .validation_data = {x, y}");
}

void check_split(const FitArgs& args) {
  if (!(args.validation_split >= 0 && args.validation_split < 1))
    throw ValueError(
        fmt::format("fit: validation_split must be in [0, 1), the share of rows to validate on, but it is {}",
                    args.validation_split));
  if (args.validation_split > 0 && (!args.validation_data.x.empty() || args.validation_data.dataset))
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

// What is evaluated after an epoch, if anything.
class Validation {
 public:
  // Rows of arrays.
  void set(Samples rows, std::int64_t batch_size, std::optional<std::int64_t> steps) {
    rows_ = std::move(rows);
    steps_ = steps_over("fit: validation_steps", rows_.rows, batch_size, steps);
    if (rows_.rows > 0) source_ = std::make_unique<ArrayBatches>(rows_, batch_size, false);
  }
  // What the user gave, if it isn't a part of the training data.
  void set(ModelImpl& model, const ValidationData& given, std::int64_t batch_size,
           std::optional<std::int64_t> steps) {
    if (given.dataset) {
      steps_ = steps_over("fit", "validation_steps", *given.dataset, steps);
      source_ = std::make_unique<DatasetBatches>(model, "fit: validation_data", *given.dataset);
    } else if (!given.x.empty()) {
      set(prepare_samples(model, "fit: validation_data", given.x, given.y, given.sample_weight), batch_size,
          steps);
    } else {
      set({}, batch_size, steps);
    }
  }
  explicit operator bool() const { return source_ != nullptr; }

  void run(ModelImpl& model, CallbackList& callbacks, const InterruptGuard& guard) {
    try {
      run_evaluation(model, *source_, steps_, &callbacks, nullptr, &guard);
    } catch (const DataError& error) {
      throw DataError("fit: in the validation data: " + error.message(), error.row(), error.value());
    } catch (const ShapeError& error) {  // targets that don't fit are found when the step is made
      const std::string text = error.what(), begin = "fit: ";
      throw ShapeError(text.starts_with(begin) ? text : "fit: in the validation data: " + text);
    }
  }

 private:
  Samples rows_;
  std::unique_ptr<BatchSource> source_;
  std::int64_t steps_ = 0;
};

struct FitLoop {
  std::int64_t epochs, initial_epoch, validation_freq;
  int verbose;
  std::vector<CallbackHandle> callbacks;
  std::int64_t steps;  ///< an epoch's; 0: until there are no more
  bool anew;           ///< each epoch begins at the first batch

  History run(ModelImpl& model, Trainer& trainer, BatchSource& source, Validation& validation);
};

History FitLoop::run(ModelImpl& model, Trainer& trainer, BatchSource& source, Validation& validation) {
  History history;
  callbacks.push_back(history);
  CallbackList hooks(callbacks, model, {verbose, epochs, steps});
  const int shown = hooks.verbose(verbose);
  const InterruptGuard guard;
  const ModelImpl::Fitting fitting(model);
  model.stop_training = false;
  if (Layer(model.shared_from_this()).trainable_weights().empty() && shown != 0)
    print(fmt::format("fit: model \"{}\" has no trainable weights, so nothing is trained\n", model.name()));
  Logs last;
  const auto goes_on = [&] { return !model.stop_training && !InterruptGuard::interrupted(); };
  std::int64_t expected =
      steps;  // what the progress bar shows: the last epoch's, where the number isn't known
  hooks.each([](Callback& c) { c.on_train_begin({}); });
  for (std::int64_t epoch = initial_epoch; epoch < epochs && goes_on(); epoch++) {
    trainer.reset_metrics();
    hooks.each([&](Callback& c) { c.on_epoch_begin(epoch, {}); });
    if (shown != 0 && epochs > 1) print(fmt::format("Epoch {}/{}\n", epoch + 1, epochs));
    ProgressBar bar(expected, shown);
    source.start_epoch(anew);
    std::int64_t step = 0;
    bool ended = false;
    while ((steps == 0 || step < steps) && goes_on()) {
      ended = !source.fetch();
      if (ended) break;
      hooks.each([&](Callback& c) { c.on_train_batch_begin(step, {}); });
      source.run(trainer, Mode::train);
      const Logs so_far = sorted(trainer.logs());
      hooks.each([&](Callback& c) { c.on_train_batch_end(step, so_far); });
      bar.update(++step, so_far);
    }
    if (ended && !anew)
      print(fmt::format(
          "fit: the data ended after {} of {} steps of epoch {}; a dataset goes on with repeat()\n", step,
          steps, epoch + 1));
    Logs logs = sorted(trainer.logs());
    if (!InterruptGuard::interrupted() && validation && (epoch + 1) % validation_freq == 0) {
      validation.run(model, hooks, guard);
      if (!InterruptGuard::interrupted())
        for (const auto& [name, value] : sorted(trainer.logs())) logs.set("val_" + name, value);
    }
    if (InterruptGuard::interrupted()) {
      // The epoch isn't whole, so it doesn't get into the history.
      bar.update(step, logs, true);
      break;
    }
    bar.update(ended ? step : steps, logs, true);
    if (ended) expected = step;
    hooks.each([&](Callback& c) { c.on_epoch_end(epoch, logs); });
    last = logs;
  }
  trainer.finalize_weights();
  hooks.each([&](Callback& c) { c.on_train_end(last); });
  return history;
}

}  // namespace
}  // namespace internal

using namespace internal;

History Model::fit(const Tensors& x, const Tensors& y, FitArgs args) {
  ModelImpl& model = model_impl();
  Trainer& trainer = model.trainer("fit");
  check_batch_size("fit", args.batch_size);
  if (args.validation_batch_size) check_batch_size("fit: validation", *args.validation_batch_size);
  check_fit_args(args);
  check_split(args);
  Samples data = prepare_samples(model, "fit", x, y, args.sample_weight);
  const std::int64_t validation_batch_size = args.validation_batch_size.value_or(args.batch_size);
  Validation validation;
  if (args.validation_split > 0) {
    const std::int64_t kept = training_rows(data.rows, args.validation_split);
    validation.set(data.slice(kept, data.rows), validation_batch_size, args.validation_steps);
    data = data.slice(0, kept);
  } else {
    validation.set(model, args.validation_data, validation_batch_size, args.validation_steps);
  }
  // Only now, as Keras: classes are weighed for training, not for validation.
  apply_class_weight(data, "fit", args.class_weight);
  trainer.prepare(data);
  const std::int64_t batches = (data.rows + args.batch_size - 1) / args.batch_size;
  ArrayBatches source(data, args.batch_size, args.shuffle);
  FitLoop loop{.epochs = args.epochs,
               .initial_epoch = args.initial_epoch,
               .validation_freq = args.validation_freq,
               .verbose = args.verbose,
               .callbacks = std::move(args.callbacks),
               .steps = args.steps_per_epoch.value_or(batches),
               .anew = !args.steps_per_epoch};
  return loop.run(model, trainer, source, validation);
}

History Model::fit(const data::Dataset& batches, FitDatasetArgs args) {
  ModelImpl& model = model_impl();
  Trainer& trainer = model.trainer("fit");
  check_batch_size("fit: validation", args.validation_batch_size);
  check_fit_args(args);
  const std::int64_t steps = steps_over("fit", "steps_per_epoch", batches, args.steps_per_epoch);
  DatasetBatches source(model, "fit", batches, args.class_weight);
  Validation validation;
  // The first batch builds a model without Input, and tells what the steps will be like.
  source.fetch();
  trainer.prepare(source.batch());
  validation.set(model, args.validation_data, args.validation_batch_size, args.validation_steps);
  FitLoop loop{.epochs = args.epochs,
               .initial_epoch = args.initial_epoch,
               .validation_freq = args.validation_freq,
               .verbose = args.verbose,
               .callbacks = std::move(args.callbacks),
               .steps = steps,
               .anew = !args.steps_per_epoch};
  return loop.run(model, trainer, source, validation);
}

}  // namespace kiln
