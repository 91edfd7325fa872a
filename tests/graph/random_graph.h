#pragma once
#include <cstdint>
#include <vector>

#include "kiln/graph/graph.h"

namespace kiln::graph::testing {

/// A graph of about `steps` ops, repeatable from the seed, with two inputs, three states (some of them
/// updated, some crosswise), checks that hold, several outputs, and values that are used in many ways; with
/// values for its inputs and states.
struct RandomGraph {
  RandomGraph(std::uint64_t seed, int steps, DType dtype = DType::f32);
  Graph graph{"random"};
  std::vector<Tensor> inputs, states;
};

}  // namespace kiln::graph::testing
