#pragma once
#include <span>
#include <vector>

#include "kiln/graph/graph.h"

namespace kiln::graph {

struct InterpreterOptions {
  /// Evaluate all f32 nodes in f64 (the oracle for compiled f32 code). Constants and inputs are widened.
  bool widen = false;
};

struct InterpreterResult {
  std::vector<Tensor> outputs;
  std::vector<Tensor> states;       ///< the new states (unchanged ones included)
  std::vector<Tensor> values;       ///< result 0 of every node, by id
};

/// Evaluates the graph with plain loops, node by node. Throws DataError if a check fails, with the same text
/// as compiled code.
KILN_API InterpreterResult interpret(const Graph& graph, std::span<const Tensor> inputs, std::span<const Tensor> states,
                            InterpreterOptions options = {});

/// A check's message with row and value filled in.
KILN_API std::string format_check(std::string_view message, std::int64_t row, double value);

}  // namespace kiln::graph
