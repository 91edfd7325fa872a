#pragma once
#include <concepts>
#include <cstdint>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kiln/logs.h"
#include "kiln/runtime/tensor.h"

namespace kiln {

class Model;
class ModelImpl;
namespace internal {
class ProgressBar;
}

/// What `fit` was called with, as callbacks see it.
struct CallbackParams {
  int verbose = 1;
  std::int64_t epochs = 1;
  std::int64_t steps = 0;  ///< batches an epoch; 0: not known
};

/// Hooks into training, evaluation and prediction; derive and override what you need. Logs hold `loss` and
/// the metrics so far (over the epoch), and at an epoch's end the `val_` values. `on_epoch_end` may add to
/// its logs: what is added gets into the history.
class KILN_API Callback {
 public:
  virtual ~Callback();

  virtual void on_train_begin(const Logs&) {}
  virtual void on_train_end(const Logs&) {}
  virtual void on_epoch_begin(std::int64_t /*epoch*/, const Logs&) {}
  virtual void on_epoch_end(std::int64_t /*epoch*/, Logs&) {}
  virtual void on_train_batch_begin(std::int64_t /*batch*/, const Logs&) {}
  virtual void on_train_batch_end(std::int64_t /*batch*/, const Logs&) {}
  virtual void on_test_begin(const Logs&) {}
  virtual void on_test_end(const Logs&) {}
  virtual void on_test_batch_begin(std::int64_t /*batch*/, const Logs&) {}
  virtual void on_test_batch_end(std::int64_t /*batch*/, const Logs&) {}
  virtual void on_predict_begin(const Logs&) {}
  virtual void on_predict_end(const Logs&) {}
  virtual void on_predict_batch_begin(std::int64_t /*batch*/, const Logs&) {}
  virtual void on_predict_batch_end(std::int64_t /*batch*/, const Logs&) {}

  /// The model that is being trained. Throws StateError outside fit, evaluate and predict.
  Model model() const;
  const CallbackParams& params() const { return params_; }
  /// Ends training after the running step.
  void stop_training();

  /// Called by fit, evaluate and predict before the first hook.
  void attach(const std::shared_ptr<ModelImpl>& model, const CallbackParams& params);

 private:
  std::weak_ptr<ModelImpl> model_;
  CallbackParams params_;
};

/// A callback in an argument list. A temporary (`EarlyStopping({...})`) is kept; a variable is referred to,
/// so that its state can be read after `fit`, which it must outlive.
class CallbackHandle {
 public:
  CallbackHandle(std::shared_ptr<Callback> callback) : callback_(std::move(callback)) {}
  template <std::derived_from<Callback> T>
  CallbackHandle(T& callback) : callback_(std::shared_ptr<Callback>(), &callback) {}
  template <class T>
    requires(std::derived_from<T, Callback> && !std::is_lvalue_reference_v<T>)
  CallbackHandle(T&& callback) : callback_(std::make_shared<T>(std::move(callback))) {}

  explicit operator bool() const { return callback_ != nullptr; }
  Callback& operator*() const { return *callback_; }
  Callback* operator->() const { return callback_.get(); }

 private:
  std::shared_ptr<Callback> callback_;
};

/// What `fit` returns: each epoch's loss and metrics.
class KILN_API History : public Callback {
 public:
  /// Name (`loss`, `accuracy`, `val_loss`, ...) to one value for each epoch.
  std::map<std::string, std::vector<double>> history;
  /// The epochs' numbers.
  std::vector<std::int64_t> epoch;

  /// The values of that name. Throws ValueError listing the names there are.
  const std::vector<double>& operator[](const std::string& name) const&;
  std::vector<double> operator[](const std::string& name) && { return std::as_const(*this)[name]; }

  void on_train_begin(const Logs&) override;
  void on_epoch_end(std::int64_t epoch, Logs& logs) override;
};

/// Keras's callbacks (https://keras.io/api/callbacks).
namespace callbacks {

using kiln::History;

/// What callbacks have in common that watch one value of the logs.
class KILN_API MonitorCallback : public Callback {
 protected:
  /// Throws ValueError for a mode other than "auto", "min" and "max". Of `min_delta` only the size counts.
  MonitorCallback(const char* owner, std::string monitor, std::string mode, double min_delta);
  /// Is `value` better by more than min_delta? Any is better than none. Throws ValueError if the mode is
  /// "auto" and it isn't known whether the value should grow or fall.
  bool improves(double value, std::optional<double> on);
  /// The value in the logs; if it isn't there, null, and a warning is printed that begins with `what`.
  const double* monitored(const char* what, const Logs& logs) const;

 private:
  std::string owner_, monitor_, mode_;
  double min_delta_;
};

struct EarlyStoppingArgs {
  std::string monitor = "val_loss";
  double min_delta = 0;
  std::int64_t patience = 0;
  int verbose = 0;
  std::string mode = "auto";  ///< "min", "max", or "auto": by the metric's nature
  std::optional<double> baseline = {};
  bool restore_best_weights = false;
  std::int64_t start_from_epoch = 0;
};

/// Stops training when a value no longer improves by more than `min_delta` for `patience` epochs. With
/// `restore_best_weights` the weights of the best epoch are set at the end, whether it was stopped or not.
/// A `baseline` is a value to be beaten within `patience` epochs; the first `start_from_epoch` epochs count
/// as if they hadn't been. Throws ValueError for an unknown mode or a negative number of epochs, and in `fit`
/// if "auto" can't tell the direction.
class KILN_API EarlyStopping : public MonitorCallback {
 public:
  explicit EarlyStopping(EarlyStoppingArgs args = {});

  /// The epoch (from 0) after which training was stopped, or 0.
  std::int64_t stopped_epoch() const { return stopped_epoch_; }
  std::int64_t best_epoch() const { return best_epoch_; }
  std::optional<double> best() const { return best_; }

  void on_train_begin(const Logs&) override;
  void on_epoch_end(std::int64_t epoch, Logs& logs) override;
  void on_train_end(const Logs&) override;

 private:
  EarlyStoppingArgs args_;
  std::int64_t wait_ = 0, stopped_epoch_ = 0, best_epoch_ = 0;
  std::optional<double> best_;
  std::vector<Tensor> best_weights_;
};

struct LambdaCallbackArgs {
  std::function<void(std::int64_t epoch, const Logs&)> on_epoch_begin = {};
  std::function<void(std::int64_t epoch, const Logs&)> on_epoch_end = {};
  std::function<void(const Logs&)> on_train_begin = {};
  std::function<void(const Logs&)> on_train_end = {};
  std::function<void(std::int64_t batch, const Logs&)> on_train_batch_begin = {};
  std::function<void(std::int64_t batch, const Logs&)> on_train_batch_end = {};
};

/// Hooks given as functions.
class KILN_API LambdaCallback : public Callback {
 public:
  explicit LambdaCallback(LambdaCallbackArgs args) : args_(std::move(args)) {}

  void on_train_begin(const Logs& logs) override {
    if (args_.on_train_begin) args_.on_train_begin(logs);
  }
  void on_train_end(const Logs& logs) override {
    if (args_.on_train_end) args_.on_train_end(logs);
  }
  void on_epoch_begin(std::int64_t epoch, const Logs& logs) override {
    if (args_.on_epoch_begin) args_.on_epoch_begin(epoch, logs);
  }
  void on_epoch_end(std::int64_t epoch, Logs& logs) override {
    if (args_.on_epoch_end) args_.on_epoch_end(epoch, logs);
  }
  void on_train_batch_begin(std::int64_t batch, const Logs& logs) override {
    if (args_.on_train_batch_begin) args_.on_train_batch_begin(batch, logs);
  }
  void on_train_batch_end(std::int64_t batch, const Logs& logs) override {
    if (args_.on_train_batch_end) args_.on_train_batch_end(batch, logs);
  }

 private:
  LambdaCallbackArgs args_;
};

struct CSVLoggerArgs {
  std::string separator = ",";
  bool append = false;  ///< keep what the file holds
};
/// Writes a line for each epoch into a file of comma-separated values: `epoch`, then loss and metrics in
/// alphabetical order, first a line of names. If the first epoch has no `val_` values, each has a column for
/// them that says NA until one comes, as Keras does. Throws FileError if the file can't be written.
class KILN_API CSVLogger : public Callback {
 public:
  explicit CSVLogger(std::string filename, CSVLoggerArgs args = {});

  void on_train_begin(const Logs&) override;
  void on_epoch_end(std::int64_t epoch, Logs& logs) override;
  void on_train_end(const Logs&) override;

 private:
  void write(const std::vector<std::string>& cells);

  std::string filename_;
  CSVLoggerArgs args_;
  std::ofstream file_;
  bool header_ = true;
  std::vector<std::string> keys_;
};

struct LearningRateSchedulerArgs {
  int verbose = 0;
};
/// Sets the learning rate at the start of each epoch to `schedule(epoch, learning_rate)`, or
/// `schedule(epoch)`; epochs count from 0. The rate gets into the history as `learning_rate`. In `fit`,
/// throws ValueError for a rate that is negative or not finite, TypeError if the optimizer follows a schedule
/// of its own.
class KILN_API LearningRateScheduler : public Callback {
 public:
  template <class F>
    requires(std::is_invocable_r_v<double, F, std::int64_t, double>)
  explicit LearningRateScheduler(F schedule, LearningRateSchedulerArgs args = {})
      : schedule_(std::move(schedule)), args_(args) {}
  template <class F>
    requires(std::is_invocable_r_v<double, F, std::int64_t>)
  explicit LearningRateScheduler(F schedule, LearningRateSchedulerArgs args = {})
      : schedule_([schedule](std::int64_t epoch, double) { return schedule(epoch); }), args_(args) {}

  void on_epoch_begin(std::int64_t epoch, const Logs&) override;
  void on_epoch_end(std::int64_t epoch, Logs& logs) override;

 private:
  std::function<double(std::int64_t, double)> schedule_;
  LearningRateSchedulerArgs args_;
};

/// The progress lines that `fit`, `evaluate` and `predict` print by themselves; given as a callback it takes
/// their place, so that its lines come in the order of the callbacks.
class KILN_API ProgbarLogger : public Callback {
 public:
  void on_train_begin(const Logs&) override;
  void on_train_end(const Logs&) override;
  void on_epoch_begin(std::int64_t epoch, const Logs&) override;
  void on_epoch_end(std::int64_t epoch, Logs& logs) override;
  void on_train_batch_end(std::int64_t batch, const Logs& logs) override;
  void on_test_begin(const Logs&) override;
  void on_test_end(const Logs& logs) override;
  void on_test_batch_end(std::int64_t batch, const Logs& logs) override;
  void on_predict_begin(const Logs&) override;
  void on_predict_end(const Logs&) override;
  void on_predict_batch_end(std::int64_t batch, const Logs&) override;

 private:
  void start();
  void finish(const Logs& logs);

  std::shared_ptr<internal::ProgressBar> bar_;
  bool in_fit_ = false;
};

struct ReduceLROnPlateauArgs {
  std::string monitor = "val_loss";
  double factor = 0.1;
  std::int64_t patience = 10;
  int verbose = 0;
  std::string mode = "auto";  ///< "min", "max", or "auto": by the metric's nature
  double min_delta = 1e-4;
  std::int64_t cooldown = 0;
  double min_lr = 0;
};
/// Multiplies the learning rate by `factor`, down to `min_lr` at most, when a value has not improved by more
/// than `min_delta` for `patience` epochs; then epochs aren't counted for the next `cooldown` ones. The rate
/// gets into the history as `learning_rate`. Throws ValueError for a factor outside [0, 1), an unknown mode
/// or negative numbers, and in `fit` if "auto" can't tell the direction; TypeError if the optimizer follows a
/// schedule.
class KILN_API ReduceLROnPlateau : public MonitorCallback {
 public:
  explicit ReduceLROnPlateau(ReduceLROnPlateauArgs args = {});

  void on_train_begin(const Logs&) override;
  void on_epoch_end(std::int64_t epoch, Logs& logs) override;

 private:
  ReduceLROnPlateauArgs args_;
  std::int64_t wait_ = 0, cooldown_left_ = 0;
  std::optional<double> best_;
};

struct SwapEMAWeightsArgs {
  bool swap_on_epoch =
      false;  ///< the averages are in the model from an epoch's end to the next one's beginning, too
};
/// Puts the averages of an optimizer with `use_ema` into the model while it evaluates or predicts, and the
/// weights back afterwards. Throws ValueError if the optimizer keeps no averages.
class KILN_API SwapEMAWeights : public Callback {
 public:
  explicit SwapEMAWeights(SwapEMAWeightsArgs args = {}) : args_(args) {}

  void on_epoch_begin(std::int64_t epoch, const Logs&) override;
  void on_epoch_end(std::int64_t epoch, Logs& logs) override;
  void on_train_end(const Logs&) override;
  void on_test_begin(const Logs&) override;
  void on_test_end(const Logs&) override;
  void on_predict_begin(const Logs&) override;
  void on_predict_end(const Logs&) override;

 private:
  void swap_in();
  void swap_out();

  SwapEMAWeightsArgs args_;
  std::vector<Tensor> weights_;  ///< what training goes on with, while averages are in the model
};

struct TerminateOnNaNArgs {
  bool raise_error = false;
};
/// Ends training when the loss is NaN or infinite; with `raise_error` by throwing ValueError, which names the
/// batch.
class KILN_API TerminateOnNaN : public Callback {
 public:
  explicit TerminateOnNaN(TerminateOnNaNArgs args = {}) : args_(args) {}

  void on_train_batch_end(std::int64_t batch, const Logs& logs) override;

 private:
  TerminateOnNaNArgs args_;
};

}  // namespace callbacks
}  // namespace kiln
