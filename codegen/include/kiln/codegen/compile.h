#pragma once
#include <memory>
#include <string>

#include "kiln/graph/graph.h"
#include "kiln/graph/ops.h"
#include "kiln/runtime/executable.h"

namespace kiln::codegen {

struct CompileOptions {
  graph::ConvAlgorithm conv = graph::ConvAlgorithm::automatic;
  bool fuse = true;
  bool reuse_memory = true;
  /// The states that the graph doesn't change stay as they are for many runs, and the runs say so by their
  /// versions (Executable::run_raw): a copy of large ones is kept as products read it best.
  bool weights_stay = false;
  /// Vector width in bits the kernels are written for; 0: the CPU's best. Tests use 128 and 256.
  int vector_bits = 0;
  /// The CPU to compile for, by LLVM's names ("x86-64-v3", "znver4"): this machine must have its
  /// instructions. Equal results on machines of several kinds need one that all of them can stand in for. "":
  /// what the environment variable KILN_CPU says, else this machine's ("native").
  std::string cpu = {};
  /// Bytes that intermediate arrays may take; 0: what they need. Throws ValueError if that isn't possible.
  std::int64_t memory_limit = 0;
  /// Tries several ways to cut each product into tiles on this machine and keeps the fastest: same results to
  /// the bit, and about twice the time. Also if the environment's KILN_AUTOTUNE is 1.
  bool autotune = false;
};

/// Compiles a graph for this CPU: passes, plan, kernels, machine code. Throws ValueError for a CPU that isn't
/// known or can't run here and for a memory limit that can't be kept, InternalError (with the graph's text)
/// for faults of Kiln's own. Thread-safe.
KILN_API std::shared_ptr<const runtime::Program> compile(const graph::Graph& graph,
                                                         const CompileOptions& options = {});

}  // namespace kiln::codegen
