#pragma once
#include <cstdint>

#include "codegen/digest.h"
#include "codegen/target.h"
#include "kiln/codegen/compile.h"
#include "kiln/graph/graph.h"

namespace kiln::codegen {

/// Names what compile() makes of its arguments.
struct ProgramKey {
  Digest digest;
  std::uint64_t bytes = 0;  ///< how many the digest is of
  friend bool operator==(const ProgramKey&, const ProgramKey&) = default;
};

/// Made of all that the machine code depends on: the graph with its labels and constants, the options, the
/// target, the sources of Kiln's compiler, and LLVM's library.
ProgramKey program_key(const graph::Graph& graph, const CompileOptions& options, const Target& target);

/// A digest of the sources of runtime, graph and codegen and of how they were compiled (made by the build,
/// cmake/WriteBuildId.cmake).
extern const char* const build_id;

}  // namespace kiln::codegen
