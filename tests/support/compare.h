#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/random_graph.h"

namespace kiln::graph {

/// How results lie against the bounds of a random program.
struct Agreement {
  std::int64_t checked = 0;  ///< elements with a finite bound
  std::int64_t unknown = 0;  ///< elements that rounding decides
  double worst = 0;          ///< largest error, as a part of its bound
  std::string failure;       ///< of the first element outside its bound; empty: none
};

/// Compares outputs and new states (in the graph's types) with the f64 values of the program.
Agreement compare(const RandomProgram& program, const std::vector<Tensor>& outputs,
                  const std::vector<Tensor>& states);

}  // namespace kiln::graph
