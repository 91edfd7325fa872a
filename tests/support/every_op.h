#pragma once
#include "kiln/graph/graph.h"

namespace kiln::graph {

/// A small graph that holds every op at least once: for tests of what must work for all of them.
Graph every_op();

}  // namespace kiln::graph
