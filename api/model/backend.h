#pragma once
#include <memory>
#include <span>
#include <vector>

#include "kiln/graph/graph.h"
#include "kiln/runtime/executable.h"

/// What stands between the API and the machine code: a graph goes in, something that runs comes out.
namespace kiln::internal {

/// A graph made ready to run, many times and from any number of threads.
class Runnable {
 public:
  virtual ~Runnable() = default;
  /// Contiguous arrays of the graph's types, in the order of its inputs, states and outputs. States are
  /// updated in place. Throws DataError if a check fails; no state has changed then.
  /// `states_version` changes whenever a state's elements do, 0 if that isn't known (Executable::run_raw).
  virtual void run(void* const* inputs, void* const* states, void* const* outputs,
                   std::uint64_t states_version) = 0;
  /// What the compiler made of the graph; null if nothing was compiled.
  virtual std::shared_ptr<const runtime::Program> program() const { return nullptr; }
};

/// For what is compiled.
struct RunnableOptions {
  /// States that the graph doesn't change stay the same for many runs, which give a version.
  bool weights_stay = false;
  std::int64_t memory_limit = 0;  ///< bytes for intermediate arrays; 0: what it needs
  /// The graph lives as long as what runs: values of it that somebody kept can be told from others.
  bool keep_graph = false;
};
/// Makes a graph ready by the selected backend. Throws ValueError if the memory limit can't be kept.
std::unique_ptr<Runnable> make_runnable(graph::Graph graph, const RunnableOptions& options = {});

/// Runs a graph without states once.
std::vector<Tensor> run_once(graph::Graph& graph, std::span<const Tensor> inputs);

enum class Backend {
  compiled,     ///< machine code
  interpreter,  ///< plain loops: slow, and the oracle that compiled code is tested against
};
/// The backend that KILN_BACKEND names: "compiled" (also if it is null or empty) or "interpreter". Throws
/// ValueError for any other.
Backend parse_backend(const char* name);
/// The backend of graphs made ready from now on; before, KILN_BACKEND decides.
void set_backend(Backend backend);

}  // namespace kiln::internal
