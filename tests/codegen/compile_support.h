#pragma once
#include <limits>
#include <string>
#include <vector>

#include "kiln/graph/graph.h"

namespace kiln::codegen {

inline constexpr float nan = std::numeric_limits<float>::quiet_NaN();
inline constexpr float inf = std::numeric_limits<float>::infinity();

/// An input of the tensor's type and shape, for its values to be given to later.
inline graph::Value input(graph::Graph& g, const Tensor& t) {
  return g.input("x", {t.dtype(), t.shape()});
}

/// Random inputs and states for a graph; integers are small and may be negative.
struct Arguments {
  std::vector<Tensor> inputs, states;
};
Arguments random_arguments(const graph::Graph& graph, std::int64_t seed);

/// Compiles the graph for this CPU, for older ones that it can stand in for, and once with one node a kernel,
/// and compares all outputs and new states with the interpreter's: `tolerance` times the largest
/// magnitude of the array, or exactly for integers. Shares of 1, 2, 3 and 5 threads must give the same bits.
void expect_compiled_equals_interpreted(const graph::Graph& graph, double tolerance = 1e-5,
                                        std::int64_t seed = 1);

/// The outputs of a graph without states, compiled.
std::vector<Tensor> run_compiled(const graph::Graph& graph, const std::vector<Tensor>& inputs,
                                 bool fuse = true);

/// Every element must lie within `tolerance` times the expected array's largest magnitude of the expected one
/// (float64: a 10^8th of that; integers: be equal).
void expect_close(const Tensor& expected, const Tensor& got, double tolerance, const std::string& what);

/// Every element must have the expected one's bits; NaN equals NaN. `what` stands in messages.
void expect_floats(const Tensor& got, const std::vector<float>& expected, const std::string& what);

}  // namespace kiln::codegen
