#include "kiln/codegen/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "codegen/export_parts.h"
#include "codegen/forks.h"
#include "kiln/codegen/compile.h"

namespace kiln::codegen {
namespace {

/// What the graph makes of the inputs on this machine.
std::vector<Tensor> run_here(const graph::Graph& graph, std::span<const Tensor> inputs,
                             std::span<const Tensor> states, const CompileOptions& options = {}) {
  runtime::Executable executable(compile(graph, options));
  std::vector<Tensor> outputs, states_now(states.begin(), states.end());
  for (const graph::Output& o : graph.outputs()) outputs.emplace_back(o.value.shape(), o.value.dtype());
  executable.run(inputs, states_now, outputs);
  return outputs;
}

/// How much each output may differ: by little, or by several times as much as sums in another order make it.
std::vector<double> tolerances(std::span<const Tensor> outputs, std::span<const Tensor> others) {
  constexpr double least = 1e-5, times = 8;
  std::vector<double> result;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::vector<double> a = outputs[i].to_vector<double>(), b = others[i].to_vector<double>();
    double largest = 0, difference = 0;
    for (std::size_t k = 0; k < a.size(); ++k) {
      if (!std::isfinite(a[k]) || !std::isfinite(b[k])) continue;
      largest = std::max(largest, std::abs(a[k]));
      difference = std::max(difference, std::abs(a[k] - b[k]));
    }
    result.push_back(std::max(least * largest, times * difference));
  }
  return result;
}

}  // namespace

ExportedProgram export_program(const graph::Graph& graph, std::span<const Tensor> states,
                               std::span<const Tensor> test_inputs, const ExportOptions& options) {
  const Target target = export_target(options);
  for (const graph::StateSlot& s : graph.states())
    if (s.next)
      throw StateError(
          fmt::format("export_library: the model changes its weight \"{}\" when it predicts, and exported "
                      "weights can't change",
                      s.name));
  const Compiling compiling;
  const DeviceProgram program(graph, states, {}, options, target);

  std::vector<Tensor> test_outputs;
  std::vector<double> allowed;
  if (options.selftest) {
    test_outputs = run_here(*program.plan.graph, test_inputs, states);
    allowed =
        tolerances(test_outputs, run_here(*program.plan.graph, test_inputs, states, {.vector_bits = 128}));
  }
  const bool separate = options.weights == WeightPlace::separate;
  ObjectMaker maker(target, LinkedInto::program);
  const ExportFunction functions[] = {{.name = "predict",
                                       .plan = program.lowered,
                                       .weights = program.weights,
                                       .has_selftest = options.selftest}};
  const ExportParts parts = {.prefix = options.prefix,
                             .separate_weights = separate,
                             .test_inputs = test_inputs,
                             .test_outputs = test_outputs,
                             .tolerances = allowed,
                             .max_threads = options.max_threads};
  const CodeOfExport code(emit_export(functions, target, parts, maker.context()), maker, target, options);

  ExportedProgram result;
  static_cast<ExportedCode&>(result) = code.code();
  result.predict = program.facts(graph);
  result.predict.stack_bytes = code.stack_bytes(options.prefix + "_predict");
  if (options.selftest) result.selftest_stack_bytes = code.stack_bytes(options.prefix + "_selftest");
  DigestOf digest;
  add_to(digest, graph, program.weights);
  add_to(digest, options, target);
  result.digest = text_of(digest);
  if (separate) {
    result.weights = program.weights.file();
    result.constant_bytes = program.weights.bytes;
    result.weight_alignment = StoredWeights::alignment;
  } else {
    for (const StoredWeights::Constant& c : program.weights.constants)
      result.constant_bytes += static_cast<std::int64_t>(c.bytes.size());
  }
  if (options.selftest)
    for (const auto& tensors : {test_inputs, std::span<const Tensor>(test_outputs)})
      for (const Tensor& t : tensors) result.selftest_bytes += static_cast<std::int64_t>(t.nbytes());
  return result;
}

}  // namespace kiln::codegen
