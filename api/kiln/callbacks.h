#pragma once
#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kiln/logs.h"
#include "kiln/runtime/tensor.h"

namespace kiln {

class Model;
class ModelImpl;

/// What `fit` was called with, as callbacks see it.
struct CallbackParams {
  int verbose = 1;
  std::int64_t epochs = 1;
  std::int64_t steps = 0;  ///< batches an epoch
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
  const std::vector<double>& operator[](const std::string& name) const;

  void on_train_begin(const Logs&) override;
  void on_epoch_end(std::int64_t epoch, Logs& logs) override;
};

namespace callbacks {

using kiln::History;

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
/// Throws ValueError for an unknown mode, and in `fit` if "auto" can't tell the direction.
class KILN_API EarlyStopping : public Callback {
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
  bool improves(double value, std::optional<double> on) const;

  EarlyStoppingArgs args_;
  bool larger_is_better_ = false;
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

}  // namespace callbacks
}  // namespace kiln
