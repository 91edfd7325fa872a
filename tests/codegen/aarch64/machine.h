#pragma once
#include <vector>

#include "codegen/program_image.h"
#include "kiln/graph/graph.h"
#include "tests/support/files.h"

namespace kiln::codegen {

/// A program compiled for AArch64, linked with start.c into an executable that qemu-aarch64 runs. What links
/// and runs it (clang-19, lld-19, qemu-user) must be installed: std::runtime_error says what failed.
class AArch64Program {
 public:
  explicit AArch64Program(const graph::Graph& graph, const CompileOptions& options = {});

  struct Results {
    int failed = 0;  ///< what the entry returned: 1 if a check failed
    std::vector<Tensor> outputs, states;
  };
  Results run(const std::vector<Tensor>& inputs, const std::vector<Tensor>& states) const;

 private:
  ProgramImage image_;
  kiln::testing::TemporaryFolder folder_;
};

}  // namespace kiln::codegen
