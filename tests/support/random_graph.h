#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kiln/graph/graph.h"
#include "tests/support/error_bound.h"

namespace kiln::graph {

/// A random valid graph with values for its inputs and states, and for every element of every value a bound
/// of what evaluation in the graph's own types may differ by. The same for the same seed, everywhere.
struct RandomProgram {
  std::unique_ptr<Graph> graph;
  std::vector<Tensor> inputs, states;
  std::unique_ptr<ErrorBound> bound;  ///< of all nodes
  bool with_gradient = false;
};

struct RandomProgramOptions {
  int ops = 12;  ///< at least so many that are not leaves or broadcasts, all of which matter to a result
  bool gradient = false;  ///< appends the gradient of a sum over float results by inputs and states
  bool specials = false;  ///< some inputs hold NaN, infinities and -0
  /// Axes of size 0; three states of one type that may take each other's values; few outputs, among them
  /// inputs, states and one value twice, so that some work matters to no result. There may be fewer ops than
  /// asked for.
  bool corners = false;
  /// Convolutions of images by square kernels without strides, which have several algorithms, are frequent.
  bool images = false;
};

RandomProgram random_program(std::int64_t seed, const RandomProgramOptions& options = {});

/// What was generated, counted: ops ("add", "add:i32"), attributes ("slice.stride>1", "dot.batch=2",
/// "pad.low>0", "compare.direction=lt", "cumsum.reverse"), sizes ("size=17"), updates of states ("swap").
class Coverage {
 public:
  void count(const Graph& graph);
  int operator[](const std::string& feature) const;
  /// Of the features that every large set of graphs must have, those that this one lacks.
  std::vector<std::string> missing() const;

 private:
  std::map<std::string, int> counts_;
};

}  // namespace kiln::graph
