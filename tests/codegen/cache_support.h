#pragma once
#include <gtest/gtest.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kiln/graph/graph.h"
#include "kiln/runtime/executable.h"
#include "tests/support/files.h"

namespace kiln::codegen {

/// KILN_CACHE is a folder of the test's own, not yet there.
struct CacheTest : ::testing::Test {
  void SetUp() override;
  void TearDown() override;

  std::string folder() const { return temporary_ / "cache"; }
  /// Paths of the files in the folder.
  std::vector<std::string> entries() const;
  /// Whether the folder has a good entry for the graph.
  static bool in_cache(const graph::Graph& graph);

 private:
  kiln::testing::TemporaryFolder temporary_;
};

/// A graph with all that a program can have: inputs, states, a check, a constant of several elements (the
/// first is `first`), values in the arena.
graph::Graph step_graph(double first = 0.5);
/// Elements of the output and of the new state. `label` is that of row 2; 0, 1 and 2 are allowed.
std::vector<float> run(const std::shared_ptr<const runtime::Program>& program, int label = 1);

/// Runs `f` in a child process. The child ends well if `f` returns without a test failure.
pid_t start_child(const std::function<void()>& f);
bool ended_well(pid_t child);
inline bool in_child(const std::function<void()>& f) {
  return ended_well(start_child(f));
}

}  // namespace kiln::codegen
