#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kiln/runtime/error.h"

namespace kiln {

struct MemoryArgs {
  std::int64_t batch_size = 32;  ///< of predictions, as many of its rows as go through the model at once
};

/// An array that a step holds at the time when it needs the most memory.
struct ArrayMemory {
  std::string kernel;  ///< that makes it, as `Model::profile` names it
  std::string type;    ///< "f32[128,24,24,6]"
  std::int64_t bytes = 0;
  std::int64_t first = 0, last = 0;  ///< the kernels that write it and read it last, counted from 0
};

/// The bytes of one kind of step. Its arena holds what it computes on the way; arrays that aren't needed at
/// the same time share memory there.
struct KILN_API StepMemory {
  std::string mode;  ///< "train", "test" or "predict"
  std::int64_t batch_size = 0;
  std::int64_t weights = 0;
  std::int64_t optimizer = 0;       ///< slots, learning rate, number of steps
  std::int64_t others = 0;          ///< sums of losses and metrics, the random counter
  std::int64_t constants = 0;       ///< arrays of fixed numbers
  std::int64_t inputs = 0;          ///< a batch's x, y and sample weights
  std::int64_t outputs = 0;         ///< a batch's predictions
  std::int64_t arena = 0;           ///< what is taken for the intermediate arrays
  std::int64_t scratch = 0;         ///< the threads' own, for as many as run now
  std::int64_t intermediates = 0;   ///< what they would take without sharing
  std::int64_t kernels = 0;         ///< in all
  std::int64_t peak = 0;            ///< the kernel during which most bytes of the arena are in use
  std::vector<ArrayMemory> arrays;  ///< in use then, the largest first; those that share bytes as one

  std::int64_t total() const {
    return weights + optimizer + others + constants + inputs + outputs + arena + scratch;
  }
};

/// What `Model::memory` returns: the memory of training, evaluation and prediction steps, planned when they
/// were compiled.
struct KILN_API Memory {
  std::vector<StepMemory> steps;

  /// The step of that mode. Throws ValueError if there is none.
  const StepMemory& step(const std::string& mode) const;
  /// A table: MiB of each kind for each step, then the largest arrays at the training step's peak.
  std::string to_string() const;
};

}  // namespace kiln
