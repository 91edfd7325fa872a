#pragma once
#include <memory>

#include "kiln/graph/graph.h"
#include "kiln/graph/ops.h"
#include "kiln/runtime/executable.h"

namespace kiln::codegen {

struct CompileOptions {
  graph::ConvAlgorithm conv = graph::ConvAlgorithm::automatic;
  bool fuse = true;
  bool reuse_memory = true;
  /// Vector width in bits the kernels are written for; 0: the host CPU's best. Tests use 128 and 256.
  int vector_bits = 0;
};

/// Compiles a graph for this CPU: passes, plan, kernels, machine code. Throws InternalError (with the graph's
/// text) for faults of Kiln's own. Thread-safe.
KILN_API std::shared_ptr<const runtime::Program> compile(const graph::Graph& graph, const CompileOptions& options = {});

}  // namespace kiln::codegen
