#pragma once
#include <vector>

#include "api/model/step.h"

namespace kiln::internal {

/// Runs a model forward. Batches are padded up to 1, 2, 4, ... rows, so that many batch sizes need few
/// graphs, and large ones are cut; a row's result doesn't depend on its batch. Any number of threads may use
/// one.
class Predictor {
 public:
  explicit Predictor(ModelImpl& model) : model_(model) {}

  /// Outputs for all rows of prepared inputs. `after_batch` is called after each batch with their number.
  std::vector<Tensor> predict(const std::vector<Tensor>& x, std::int64_t batch_size,
                              const std::function<void(std::int64_t)>& after_batch = {});
  /// The same into tensors of the right shapes and types.
  void predict_into(std::span<const Tensor> x, std::span<Tensor> out, std::int64_t batch_size,
                    const std::function<void(std::int64_t)>& after_batch = {});
  /// How many rows of a batch go through the model at once: all, or as many as the cores' caches hold what
  /// one layer hands to the next for.
  std::int64_t rows_at_once(std::int64_t batch_size) const;
  /// Shape and type of output `i` for that many rows of x.
  graph::Type output_type(std::size_t i, std::span<const Tensor> x);

  /// The step for `rows` rows like those of x, made at the first call; `types` is filled in.
  std::shared_ptr<Step> step_for(std::span<const Tensor> x, std::int64_t rows, BatchTypes& types);
  /// The same for inputs of these types.
  std::shared_ptr<Step> step(const BatchTypes& types) {
    return steps_.get(Mode::predict, types, [&] { return make_step(types); });
  }
  /// The types that inputs may be expected to have: those of the newest step, or else the model's own.
  BatchTypes expected_types(std::int64_t batch_size);
  std::vector<std::shared_ptr<const runtime::Program>> programs() { return steps_.programs(); }

 private:
  struct Scratch;
  std::unique_ptr<Step> make_step(const BatchTypes& types);

  ModelImpl& model_;
  StepCache steps_;
};

}  // namespace kiln::internal
