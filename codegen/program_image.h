#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "codegen/linker.h"
#include "codegen/target.h"
#include "kiln/codegen/compile.h"
#include "kiln/runtime/executable.h"

namespace kiln::codegen {

/// A compiled program that isn't in this process yet: as the compiler makes it, or as the disk keeps it.
struct ProgramImage {
  runtime::Program program;  ///< without addresses
  /// The kernels' by Step::kernel, then the entry's.
  std::vector<std::shared_ptr<const ObjectCode>> objects;
};

/// Compiles a graph for any CPU, this machine's or another's. Throws InternalError for faults of Kiln's own.
ProgramImage make_image(const graph::Graph& graph, const CompileOptions& options, const Target& target);

/// Links the objects and puts the addresses into the program. Throws InternalError if they can't be linked.
std::shared_ptr<runtime::Program> load(const ProgramImage& image);

/// The image as bytes, and back. The bytes are for this machine and this version of Kiln only. `decode`
/// throws FileError if they end early or are too many.
std::string encode(const ProgramImage& image);
ProgramImage decode(std::string_view bytes);

}  // namespace kiln::codegen
