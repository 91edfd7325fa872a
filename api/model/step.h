#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "api/model/backend.h"
#include "api/model/samples.h"
#include "kiln/variable.h"

namespace kiln::internal {

/// A graph made ready, with the storage of its states: one training step, one evaluation step, or one
/// prediction, for one batch size.
class Step {
 public:
  /// Changes of the `counted` weights are counted. If the step reads other states as well (those that it
  /// writes itself aside), such as a weight that a custom layer took from elsewhere, no count tells whether
  /// all of them are unchanged.
  Step(graph::Graph graph, std::vector<Tensor> storage, std::span<const Variable> counted = {},
       std::int64_t memory_limit = 0, bool keep_graph = false);
  /// `weights_version`: WeightGuards::version of the counted weights, while they are held.
  void run(void* const* inputs, void* const* outputs = nullptr, std::uint64_t weights_version = 0) {
    runnable_->run(inputs, states_.data(), outputs, counted_ ? weights_version : 0);
  }
  std::shared_ptr<const runtime::Program> program() const { return runnable_->program(); }
  /// The states' storage, in the program's order.
  const std::vector<Tensor>& states() const { return storage_; }
  /// Copies of the states.
  std::vector<Tensor> copied_states() const;

 private:
  std::unique_ptr<Runnable> runnable_;
  std::vector<Tensor> storage_;
  std::vector<void*> states_;
  bool counted_ = true;  ///< all states that the graph doesn't update are
};

enum class Mode : std::uint8_t { train, test, predict };

/// Steps made so far, by mode and types; the ones used longest ago are dropped beyond `capacity`, so that
/// ever new batch sizes don't fill the memory.
class StepCache {
 public:
  static constexpr std::size_t capacity = 64;
  /// The step, made by `make` if there is none. Safe to call from several threads.
  std::shared_ptr<Step> get(Mode mode, const BatchTypes& types,
                            const std::function<std::unique_ptr<Step>()>& make);
  /// The types of the step used last, for batches of another size; nothing if there is none.
  std::optional<BatchTypes> newest_types(std::int64_t batch_size);
  /// The programs of the steps there are, oldest first.
  std::vector<std::shared_ptr<const runtime::Program>> programs();
  /// Drops all.
  void clear();

 private:
  struct Entry {
    Mode mode;
    BatchTypes types;
    std::shared_ptr<Step> step;
    std::uint64_t used;
  };
  std::mutex mutex_;
  std::vector<Entry> entries_;
  std::uint64_t clock_ = 0;
};

}  // namespace kiln::internal
