#include "api/model/backend.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

#include "api/support/names.h"
#include "kiln/codegen/compile.h"
#include "kiln/graph/interpreter.h"

namespace kiln::internal {
namespace {

std::atomic<Backend>& selected() {
  static std::atomic<Backend> backend = parse_backend(std::getenv("KILN_BACKEND"));
  return backend;
}

class Interpreted final : public Runnable {
 public:
  explicit Interpreted(graph::Graph graph) : graph_(std::move(graph)) {}

  void run(void* const* inputs, void* const* states, void* const* outputs, std::uint64_t) override {
    std::vector<Tensor> input_tensors, state_tensors;
    for (std::size_t i = 0; i < graph_.inputs().size(); i++)
      input_tensors.push_back(view(inputs[i], graph_.inputs()[i]));
    for (std::size_t i = 0; i < graph_.states().size(); i++)
      state_tensors.push_back(view(states[i], graph_.states()[i].current));
    const graph::InterpreterResult result = graph::interpret(graph_, input_tensors, state_tensors);
    for (std::size_t i = 0; i < graph_.states().size(); i++)
      if (graph_.states()[i].next) copy(result.states[i], states[i]);
    for (std::size_t i = 0; i < graph_.outputs().size(); i++) copy(result.outputs[i], outputs[i]);
  }

 private:
  static Tensor view(void* data, graph::Value v) { return Tensor::view(data, v.shape(), v.dtype()); }
  static void copy(const Tensor& from, void* to) {
    if (from.nbytes() > 0) std::memcpy(to, from.raw(), from.nbytes());
  }

  graph::Graph graph_;
};

class Compiled final : public Runnable {
 public:
  Compiled(graph::Graph graph, const RunnableOptions& options)
      : program_(codegen::compile(
            graph, {.weights_stay = options.weights_stay, .memory_limit = options.memory_limit})),
        executable_(program_) {
    if (options.keep_graph) kept_.emplace(std::move(graph));
  }
  void run(void* const* inputs, void* const* states, void* const* outputs,
           std::uint64_t states_version) override {
    executable_.run_raw(inputs, states, outputs, states_version);
  }
  std::shared_ptr<const runtime::Program> program() const override { return program_; }

 private:
  std::shared_ptr<const runtime::Program> program_;
  runtime::Executable executable_;
  std::optional<graph::Graph> kept_;
};

}  // namespace

Backend parse_backend(const char* name) {
  static constexpr std::array<std::string_view, 2> known = {"compiled", "interpreter"};
  const std::string_view text = name == nullptr || *name == 0 ? known[0] : name;
  if (text == known[0]) return Backend::compiled;
  if (text == known[1]) return Backend::interpreter;
  unknown_name("the environment's KILN_BACKEND", text, known);
}

void set_backend(Backend backend) {
  selected() = backend;
}

std::unique_ptr<Runnable> make_runnable(graph::Graph graph, const RunnableOptions& options) {
  if (selected() == Backend::compiled) return std::make_unique<Compiled>(std::move(graph), options);
  return std::make_unique<Interpreted>(std::move(graph));
}

std::vector<Tensor> run_once(graph::Graph& graph, std::span<const Tensor> inputs) {
  std::vector<Tensor> outputs;
  std::vector<void*> input_data, output_data;
  for (const Tensor& t : inputs) input_data.push_back(const_cast<void*>(t.raw()));
  for (const graph::Output& o : graph.outputs()) outputs.emplace_back(o.value.shape(), o.value.dtype());
  for (Tensor& t : outputs) output_data.push_back(t.raw());
  make_runnable(std::move(graph))->run(input_data.data(), nullptr, output_data.data(), 0);
  return outputs;
}

}  // namespace kiln::internal
