#include "tests/fuzz/differential.h"

#include <fmt/format.h>

#include <cstring>

#include "graph/passes/passes.h"
#include "kiln/runtime/executable.h"

namespace kiln::fuzz {
namespace {

Results prepare(const runtime::Program& program, const graph::RandomProgram& random) {
  Results r;
  for (const runtime::BufferDesc& o : program.outputs) r.outputs.emplace_back(o.shape, o.dtype);
  for (const Tensor& s : random.states) r.states.push_back(s.clone());
  return r;
}

}  // namespace

graph::RandomProgramOptions options_of(std::int64_t seed) {
  return {.ops = 12 + static_cast<int>(seed % 9), .gradient = seed % 3 == 0, .specials = seed % 8 == 7};
}

graph::RandomProgram in_form(const graph::RandomProgram& random, graph::ConvAlgorithm algorithm,
                             bool batch_last) {
  graph::RandomProgram other;
  other.graph = std::make_unique<graph::Graph>(graph::canonicalize(*random.graph, algorithm));
  if (batch_last) *other.graph = graph::layout(*other.graph, /*wherever_possible=*/true);
  for (const Tensor& t : random.inputs) other.inputs.push_back(t);
  for (const Tensor& t : random.states) other.states.push_back(t);
  other.bound = std::make_unique<graph::ErrorBound>(*other.graph);
  for (std::size_t i = 0; i < other.inputs.size(); i++)
    other.bound->set(other.graph->inputs()[i], other.inputs[i]);
  for (std::size_t i = 0; i < other.states.size(); i++)
    other.bound->set(other.graph->states()[i].current, other.states[i]);
  other.bound->extend();
  other.with_gradient = random.with_gradient;
  return other;
}

Results run(const std::shared_ptr<const runtime::Program>& program, const graph::RandomProgram& random,
            int threads) {
  Results r = prepare(*program, random);
  runtime::Executable executable(program);
  set_num_threads(threads);
  executable.run(random.inputs, r.states, r.outputs);
  set_num_threads(0);
  return r;
}

Results run_shuffled(const std::shared_ptr<const runtime::Program>& program,
                     const graph::RandomProgram& random, int threads, std::uint64_t seed) {
  Results r = prepare(*program, random);
  runtime::Executable(program).run_shuffled(random.inputs, r.states, r.outputs, threads, seed);
  return r;
}

std::string difference(const Results& a, const Results& b) {
  const auto compare = [](const std::vector<Tensor>& x, const std::vector<Tensor>& y,
                          const char* what) -> std::string {
    for (std::size_t i = 0; i < x.size(); i++)
      if (x[i].nbytes() > 0 && std::memcmp(x[i].raw(), y[i].raw(), x[i].nbytes()) != 0)
        return fmt::format("{} {} has other bits", what, i);
    return {};
  };
  const std::string outputs = compare(a.outputs, b.outputs, "output");
  return outputs.empty() ? compare(a.states, b.states, "state") : outputs;
}

std::string complaint(const graph::RandomProgram& random, const codegen::CompileOptions& options,
                      graph::Agreement* agreement) {
  const auto program = codegen::compile(*random.graph, options);
  const Results serial = run(program, random, 1);
  const graph::Agreement found = graph::compare(random, serial.outputs, serial.states);
  if (agreement != nullptr) *agreement = found;
  if (!found.failure.empty()) return found.failure;
  for (int threads : {2, 3, 5}) {
    if (const std::string d = difference(serial, run(program, random, threads)); !d.empty())
      return fmt::format("{} at {} threads", d, threads);
    if (const std::string d = difference(serial, run_shuffled(program, random, threads, 17)); !d.empty())
      return fmt::format("{} with the shares of {} threads in random order", d, threads);
  }
  return {};
}

}  // namespace kiln::fuzz
