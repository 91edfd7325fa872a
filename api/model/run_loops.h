#pragma once
#include <optional>
#include <vector>

#include "api/console/progress_bar.h"
#include "api/model/batch_source.h"
#include "api/model/interrupt.h"
#include "kiln/callbacks.h"

namespace kiln::internal {

/// The callbacks of one call of fit, evaluate or predict.
class CallbackList {
 public:
  CallbackList(std::vector<CallbackHandle> callbacks, ModelImpl& model, const CallbackParams& params);
  template <class F>
  void each(F hook) {
    for (CallbackHandle& callback : callbacks_) hook(*callback);
  }
  /// How much progress to print besides: nothing if one of them does that.
  int verbose(int given) const;

 private:
  std::vector<CallbackHandle> callbacks_;
};

/// Throws ValueError unless it is positive and below 2^31: sizes computed from it don't overflow then.
void check_batch_size(const char* caller, std::int64_t batch_size);

/// How many batches there are, or `steps` if that is fewer. Throws ValueError naming `argument` unless
/// `steps` is positive.
std::int64_t steps_over(const char* argument, std::int64_t rows, std::int64_t batch_size,
                        std::optional<std::int64_t> steps);

/// Throws StateError if the model has several outputs, which `predict` can't return.
void require_one_output(const ModelImpl& model);

/// Resets the metrics and runs evaluation steps, from the first batch on: so many, or as many as there are
/// (0); results are in the model's trainer. With a guard, Ctrl-C ends it after the running step.
void run_evaluation(ModelImpl& model, BatchSource& source, std::int64_t steps, CallbackList* callbacks,
                    ProgressBar* bar, const InterruptGuard* guard = nullptr);

}  // namespace kiln::internal
