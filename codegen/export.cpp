#include "kiln/codegen/export.h"

#include <fmt/format.h>
#include <llvm/TargetParser/Triple.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "codegen/digest.h"
#include "codegen/export_module.h"
#include "codegen/forks.h"
#include "codegen/narrow_weights.h"
#include "codegen/object.h"
#include "graph/passes/bake.h"
#include "kiln/codegen/compile.h"

namespace kiln::codegen {
namespace {

Target target_of(const ExportOptions& options) {
  Target target;
  if (options.target.empty()) {
    if (!options.features.empty())
      throw ValueError("export_library: features are added to a target's; give the target, too");
    target = Target::host(options.vector_bits, options.cpu);
  } else {
    const llvm::Triple triple(options.target);
    std::string cpu = options.cpu;
    if (cpu.empty() && triple.getArch() == llvm::Triple::x86_64) cpu = "x86-64";
    if (cpu.empty() && triple.isAArch64()) cpu = "generic";
    target = Target::of(options.target, cpu, options.vector_bits, options.features);
  }
  target.reports_check_values = false;
  return target;
}

bool is_identifier(const std::string& text) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !text.empty() && is_letter(text[0]) && std::all_of(text.begin(), text.end(), [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9');
  });
}

/// The elements of `values`, computed on this machine.
std::vector<Tensor> evaluate(const graph::Graph& graph, std::span<const graph::Value> values,
                             std::span<const Tensor> states) {
  const graph::Graph computed = graph::compute_values(graph, values);
  runtime::Executable executable(compile(computed));
  std::vector<Tensor> inputs, results, states_now(states.begin(), states.end());
  for (graph::Value v : computed.inputs()) inputs.push_back(Tensor::zeros(v.shape(), v.dtype()));
  for (graph::Value v : values) results.emplace_back(v.shape(), v.dtype());
  executable.run(inputs, states_now, results);
  return results;
}

/// The optimised graph with its weights as constants, in the form in which kernels read them.
graph::Graph with_weights(const graph::Graph& graph, std::span<const Tensor> states,
                          const graph::PlanOptions& options, WeightStorage storage) {
  const graph::Plan plan = graph::compile_plan(graph, options);
  const std::vector<graph::Value> values = graph::baked_values(plan);
  std::vector<Tensor> tensors = evaluate(*plan.graph, values, states);
  for (Tensor& t : tensors) t = rounded(t, storage);
  return graph::bake(*plan.graph, values, tensors);
}

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

/// Multiply-adds of products and convolutions.
std::int64_t multiply_adds(const graph::Graph& graph) {
  std::int64_t total = 0;
  for (const graph::Node& n : graph.nodes()) {
    if (n.op == graph::Op::dot) {
      std::int64_t steps = 1;
      for (std::int64_t axis : n.attributes.ints("lhs_contract"))
        steps *= n.operand(0).shape()[static_cast<int>(axis)];
      total += n.type().shape.elements() * steps;
    } else if (n.op == graph::Op::conv || n.op == graph::Op::conv_input_grad) {
      // Each element of the smaller image meets the whole kernel of its group once.
      const graph::Value image = n.op == graph::Op::conv ? n.value() : n.operand(0), kernel = n.operand(1);
      const std::int64_t filters = std::max<std::int64_t>(1, kernel.shape().back());
      total += image.shape().elements() * (kernel.shape().elements() / filters);
    }
  }
  return total;
}

/// Of the graph without labels and names of states, which hang on what else the program has built, the
/// weights, and the target.
std::string digest_of(const graph::Graph& graph, const StoredWeights& weights, const Target& target) {
  DigestOf digest;
  std::istringstream lines(graph::print(graph));
  std::string line;
  std::getline(lines, line);  // the graph's name
  while (std::getline(lines, line)) {
    line = line.substr(0, line.find("  # "));
    if (const std::size_t at = line.find("= state "); at != std::string::npos)
      line = line.substr(0, at) + line.substr(line.find(" : ", at));
    digest.add(line);
  }
  for (const StoredWeights::Constant& c : weights.constants) digest.add(c.bytes);
  digest.add(describe(target));
  std::string text;
  const Digest bytes = digest.result();
  for (std::size_t i = 0; i < 16; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

void check_sizes(const runtime::Program& program, const StoredWeights& weights, const ScratchLayout& scratch,
                 const Target& target) {
  if (target.pointer_bits > 32) return;
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  const auto check = [&](const std::string& what, std::int64_t bytes) {
    if (bytes > most)
      throw ValueError(
          fmt::format("export_library: {} takes {} bytes, but {} has addresses of 32 bits, of which Kiln "
                      "uses those below 2^31; give a smaller batch_size, or another target",
                      what, bytes, target.triple));
  };
  check("the scratch memory", scratch.bytes);
  check("the weights", weights.bytes);
  for (const auto* descriptions : {&program.inputs, &program.outputs})
    for (const runtime::BufferDesc& d : *descriptions)
      check(d.name, d.shape.elements() * static_cast<std::int64_t>(size_of(d.dtype)));
}

void check_complete(const ObjectFacts& facts, const Target& target) {
  std::vector<std::string> missing;
  for (const std::string& symbol : facts.undefined_symbols)
    if (!symbol.starts_with("__linear_memory") && !symbol.starts_with("__stack_pointer") &&
        !symbol.starts_with("_GLOBAL_OFFSET_TABLE_"))
      missing.push_back(symbol);
  if (missing.empty()) return;
  constexpr std::size_t most_named = 3;
  if (missing.size() > most_named) missing.resize(most_named);
  throw ValueError(fmt::format(
      "export_library: for {}{}{} the model's code would call {}, functions of a compiler's library that do "
      "what the "
      "CPU has no instructions for. That is float64, which sine and cosine are made of, too, and some "
      "arithmetic of "
      "64-bit whole numbers: compute in float32 and int32, or give a cpu or features that have it",
      target.triple, target.cpu.empty() ? "" : ", ", target.cpu, fmt::join(missing, ", ")));
}

}  // namespace

ExportedProgram export_program(const graph::Graph& graph, std::span<const Tensor> states,
                               std::span<const Tensor> test_inputs, const ExportOptions& options) {
  if (!is_identifier(options.prefix))
    throw ValueError(
        fmt::format("export_library: \"{}\" can't begin the names of C functions; give letters, digits and _",
                    options.prefix));
  for (const graph::StateSlot& s : graph.states())
    if (s.next)
      throw StateError(
          fmt::format("export_library: the model changes its weight \"{}\" when it predicts, and exported "
                      "weights can't change",
                      s.name));
  const Compiling compiling;
  const Target target = target_of(options);
  graph::PlanOptions plan_options;
  plan_options.conv = target.is_small ? graph::ConvAlgorithm::direct : options.conv;
  plan_options.weights_stay = true;
  plan_options.serial = true;
  const graph::Plan plan = graph::compile_optimized(
      with_weights(graph, states, plan_options, options.weight_storage), plan_options);
  LoweredPlan lowered = lower_plan(plan, std::vector<int>(plan.schedule.size()), target);
  const runtime::Program& program = lowered.program;
  const StoredWeights weights(lowered, options.weight_storage);
  const ScratchLayout scratch(program);
  check_sizes(program, weights, scratch, target);

  std::vector<Tensor> test_outputs;
  std::vector<double> allowed;
  if (options.selftest) {
    test_outputs = run_here(*plan.graph, test_inputs, states);
    allowed = tolerances(test_outputs, run_here(*plan.graph, test_inputs, states, {.vector_bits = 128}));
  }
  const bool separate = options.weights == WeightPlace::separate;
  ObjectMaker maker(target, LinkedInto::program);
  const std::unique_ptr<llvm::Module> module =
      emit_export(lowered, weights, target, {options.prefix, separate, test_inputs, test_outputs, allowed},
                  maker.context());
  maker.optimize(*module, false);

  ExportedProgram result;
  if (options.format == ExportFormat::assembly) result.code = maker.make_assembly(*module);
  if (options.format == ExportFormat::llvm_ir) result.code = text_of(*module);
  const std::string object = maker.make_object(*module);  // also of the others: it shows what is missing
  const ObjectFacts facts = object_facts(object);
  check_complete(facts, target);
  if (options.format == ExportFormat::object) result.code = object;

  result.target = target.triple;
  result.cpu = target.cpu;
  result.inputs = program.inputs;
  result.outputs = program.outputs;
  result.checks = program.checks;
  result.scratch_bytes = scratch.bytes;
  result.scratch_alignment = scratch.alignment;
  result.code_bytes = facts.text_bytes;
  result.multiply_adds = multiply_adds(graph);
  result.digest = digest_of(graph, weights, target);
  if (separate) {
    result.weights = weights.file();
    result.weight_bytes = weights.bytes;
    result.weight_alignment = StoredWeights::alignment;
  } else {
    for (const StoredWeights::Constant& c : weights.constants)
      result.weight_bytes += static_cast<std::int64_t>(c.bytes.size());
  }
  if (options.selftest)
    for (const auto& tensors : {test_inputs, std::span<const Tensor>(test_outputs)})
      for (const Tensor& t : tensors) result.selftest_bytes += static_cast<std::int64_t>(t.nbytes());
  return result;
}

}  // namespace kiln::codegen
