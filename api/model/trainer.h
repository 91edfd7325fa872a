#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "api/model/step.h"
#include "kiln/model.h"

namespace kiln::internal {

/// What sums of losses start from.
inline Tensor zero_sum() {
  return Tensor::scalar(0, DType::f64);
}

/// What `compile` makes of a model: optimizer, losses, metrics, and the training and evaluation steps made
/// from them. Everything a step does is inside one graph: forward, loss, gradient, update, metrics.
class Trainer {
 public:
  Trainer(ModelImpl& model, CompileArgs args);

  const Optimizer& optimizer() const { return args_.optimizer; }

  /// Makes what depends on the data's shapes (which accuracy, the optimizer's slots) ready. Called before
  /// steps.
  void prepare(const Samples& data);
  /// The same before there are data. Returns the types that batches may be expected to have: those of the
  /// newest step, or else what the model's inputs and losses say.
  BatchTypes prepare(std::int64_t batch_size);
  /// Runs one step on arrays at these addresses. A failed data check becomes a DataError whose row is the
  /// user's: `rows` gives the numbers of the batch's rows, or they follow `first_row`.
  void run(Mode mode, const BatchTypes& types, std::span<void* const> addresses, std::int64_t first_row,
           std::span<const std::int64_t> rows = {});

  /// The step for such batches, made at the first call.
  std::shared_ptr<Step> step(Mode mode, const BatchTypes& types);
  /// Writes a training step without metrics into the call's graph, whose one output is the loss, for batches
  /// of `standard_types`, with or without weights of samples.
  void emit_training(Call& call, const BatchTypes& types);
  /// The types that batches of the model's inputs, and of labels as the losses want them, have.
  BatchTypes standard_types(std::int64_t batch_size);
  /// Of each output.
  std::vector<bool> has_loss() const {
    std::vector<bool> result;
    for (const Loss& loss : losses_) result.push_back(loss.defined());
    return result;
  }
  /// The counter that random numbers of training steps are made of: {seed, step}.
  const Tensor& random_counter() const { return random_counter_; }

  /// At the end of fit: weights become their averages where the optimizer keeps some.
  void finalize_weights();

  void reset_metrics();
  /// loss, the outputs' losses if there are several, the metrics.
  Logs logs() const;
  std::vector<std::string> metrics_names() const;
  /// The metric of that name (without "val_"), or null.
  const MetricImpl* metric(const std::string& name) const;

  /// Forgets what was made for the model's layers, for they have changed.
  void forget_steps() {
    steps_.clear();
    trackers_.clear();
  }

  std::vector<std::shared_ptr<const runtime::Program>> programs() { return steps_.programs(); }

 private:
  /// A metric that is being accumulated; the loss is one, too.
  struct Tracker {
    std::string name;
    std::shared_ptr<const MetricImpl> metric;  ///< null: a loss
    std::optional<std::size_t> output;         ///< none: the total loss
    bool weighted = false;
    std::vector<Tensor> state;
  };
  std::unique_ptr<Step> make_step(Mode mode, const BatchTypes& types);
  /// What a step computes of a batch before it updates anything.
  struct Forward {
    std::vector<graph::Value> y_true, y_pred;
    graph::Value weight;               ///< of the samples; may be null
    std::vector<graph::Value> losses;  ///< of the outputs, null where there is none
    graph::Value loss;                 ///< the total
  };
  Forward emit_forward(Call& call, const BatchTypes& types);
  void add_total_loss(Call& call, Forward& forward);
  void add_update(Call& call, graph::Value loss);
  /// The gradient for each weight, zeros for those that the loss doesn't depend on. Throws ValueError if it
  /// depends on none.
  std::vector<graph::Value> gradients(Call& call, graph::Value loss) const;
  void track_mean(Call& call, Tracker& tracker, graph::Value mean, std::int64_t rows);
  void track_metric(Call& call, Tracker& tracker, std::span<const graph::Value> y_true,
                    std::span<const graph::Value> y_pred, graph::Value weight);
  void make_trackers(std::span<const graph::Type> labels);
  void choose_losses();
  std::size_t output_named(const std::string& name, const char* argument) const;
  template <class T>
  std::vector<T> for_outputs(const std::vector<T>& given, const std::vector<std::string>& names,
                             const char* argument, const T& standard) const;
  std::vector<MetricList> metrics_of_outputs(const Metrics& metrics, const char* argument) const;
  void prepare_weights();
  BatchTypes expected_types(std::int64_t batch_size);

  ModelImpl& model_;
  CompileArgs args_;
  std::vector<Loss> losses_;  // one for each output, once prepared; empty handles: no loss
  std::vector<double> loss_weights_;
  std::vector<Tracker> trackers_;  // the total loss first
  /// The labels for which the trackers were made before there were any; else empty.
  std::vector<graph::Type> expected_labels_;
  std::vector<Variable> trained_;  // the weights that the training steps change
  Tensor random_counter_;          // {seed, step}
  StepCache steps_;
  std::mutex metrics_mutex_;  // held beside the weights' lock by an evaluation, which only reads weights
};

}  // namespace kiln::internal
