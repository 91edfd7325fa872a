// Callbacks that change what the optimizer has: LearningRateScheduler, SwapEMAWeights.
#include <fmt/format.h>

#include "api/console/console.h"
#include "kiln/model.h"

namespace kiln::callbacks {

// ---- LearningRateScheduler --------------------------------------------------------------------------------

void LearningRateScheduler::on_epoch_begin(std::int64_t epoch, const Logs&) {
  const Optimizer optimizer = model().optimizer();
  const double rate = schedule_(epoch, optimizer.learning_rate());
  optimizer.set_learning_rate(rate);
  if (args_.verbose > 0)
    internal::print(
        fmt::format("\nEpoch {}: LearningRateScheduler setting learning rate to {}.\n", epoch + 1, rate));
}
void LearningRateScheduler::on_epoch_end(std::int64_t, Logs& logs) {
  logs.set("learning_rate", model().optimizer().learning_rate());
}

// ---- SwapEMAWeights ---------------------------------------------------------------------------------------

// The weights are kept here and not in the optimizer's averages, as Keras does it: so the averages stay what
// they are, and `fit` ends with them however it ends.
void SwapEMAWeights::swap_in() {
  if (!weights_.empty()) return;
  OptimizerImpl& optimizer = model().optimizer().impl().inner();
  if (!optimizer.options().use_ema)
    throw ValueError(
        fmt::format("SwapEMAWeights: the optimizer \"{}\" keeps no averages; make it with .use_ema = true",
                    optimizer.name()));
  weights_ = model().get_weights();
  optimizer.finalize_variable_values(model().trainable_weights());
}
void SwapEMAWeights::swap_out() {
  if (weights_.empty()) return;
  model().set_weights(weights_);
  weights_.clear();
}

void SwapEMAWeights::on_epoch_begin(std::int64_t, const Logs&) {
  swap_out();
}
void SwapEMAWeights::on_epoch_end(std::int64_t, Logs&) {
  if (args_.swap_on_epoch) swap_in();
}
void SwapEMAWeights::on_train_end(const Logs&) {
  weights_.clear();  // `fit` has set the averages
}
void SwapEMAWeights::on_test_begin(const Logs&) {
  swap_in();
}
void SwapEMAWeights::on_test_end(const Logs&) {
  swap_out();
}
void SwapEMAWeights::on_predict_begin(const Logs&) {
  swap_in();
}
void SwapEMAWeights::on_predict_end(const Logs&) {
  swap_out();
}

}  // namespace kiln::callbacks
