#pragma once
#include <functional>
#include <vector>

#include "tests/support/random_graph.h"
#include "tests/support/random_tensor.h"

namespace kiln::graph {

class RandomGraphBuilder;

/// Emits one op (with what it needs) on values of the pool; gives the results that may go into the pool, or
/// nothing if the op can't be applied.
using RandomOp = std::vector<Value> (*)(RandomGraphBuilder&);

/// The state of a random graph in the making: what the makers of random_graph_ops.cpp work with.
class RandomGraphBuilder {
 public:
  RandomGraphBuilder(std::int64_t seed, const RandomProgramOptions& options);
  RandomProgram run();

  RandomNumbers random;

  Shape shape(int min_rank, int max_rank, std::int64_t max_elements = 3000);
  DType number_type();
  DType float_type();

  /// A new input, state or constant with random elements, or with these.
  Value fresh(const Type& type);
  Value leaf(Tensor value);

  /// A value of the pool (or, at times and if there is none, a fresh one).
  Value any_float(int min_rank = 0, int max_rank = 4);
  Value any_number(int min_rank = 0, int max_rank = 4);
  Value any(int min_rank = 0, int max_rank = 4);
  Value like(Value x);           ///< of x's type
  Value broadcastable(Value x);  ///< of x's element type; its shape broadcasts with x's
  Value pick(const std::function<bool(Value)>& fits, const Type& otherwise);

  Graph& graph() { return *graph_; }
  const RandomProgramOptions& options() const { return options_; }

 private:
  Value pick(const std::function<bool(Value)>& fits);
  Tensor data(const Type& type);
  Value state(Tensor value);
  std::vector<Value> apply(RandomOp op);
  void update_states();
  void add_outputs();
  void add_gradient();

  RandomProgramOptions options_;
  std::unique_ptr<Graph> graph_;
  std::unique_ptr<ErrorBound> bound_;
  std::vector<Tensor> inputs_, states_;
  std::vector<Value> pool_;
};

/// One for each op, or for each family of ops that are alike.
const std::vector<RandomOp>& random_ops();
/// Those of convolutions.
const std::vector<RandomOp>& image_ops();

}  // namespace kiln::graph
