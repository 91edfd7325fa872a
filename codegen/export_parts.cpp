#include "codegen/export_parts.h"

#include <fmt/format.h>
#include <llvm/IR/Instructions.h>
#include <llvm/TargetParser/Triple.h>

#include <algorithm>
#include <limits>
#include <sstream>

#include "codegen/narrow_weights.h"
#include "graph/passes/bake.h"
#include "graph/passes/passes.h"
#include "kiln/codegen/compile.h"

namespace kiln::codegen {
namespace {

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
                          const std::vector<bool>& changing, const graph::PlanOptions& options,
                          WeightStorage storage) {
  const graph::Plan plan = graph::compile_plan(graph, options);
  const std::vector<graph::Value> values = graph::baked_values(plan, changing);
  std::vector<Tensor> tensors = evaluate(*plan.graph, values, states);
  for (Tensor& t : tensors) t = rounded(t, storage);
  return graph::bake(*plan.graph, values, tensors);
}

graph::PlanOptions plan_options(const ExportOptions& options, const Target& target, bool weights_stay) {
  graph::PlanOptions result;
  result.conv = target.is_small ? graph::ConvAlgorithm::direct : options.conv;
  result.weights_stay = weights_stay;
  result.serial = options.max_threads == 1;
  return result;
}

graph::Plan plan_for_device(const graph::Graph& graph, std::span<const Tensor> states,
                            const std::vector<bool>& changing, const ExportOptions& options,
                            const Target& target) {
  const graph::PlanOptions plan = plan_options(options, target, changing.empty());
  return graph::compile_optimized(with_weights(graph, states, changing, plan, options.weight_storage), plan);
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
    } else if (n.op == graph::Op::conv_kernel_grad) {
      const Shape& kernel = n.type().shape;
      total +=
          n.operand(1).shape().elements() * (kernel.elements() / std::max<std::int64_t>(1, kernel.back()));
    }
  }
  return total;
}

void check_complete(const ObjectFacts& facts, const ExportOptions& options, const Target& target) {
  std::vector<std::string> missing;
  for (const std::string& symbol : facts.undefined_symbols)
    if (!(options.max_threads > 1 && (symbol.starts_with("__kmpc_") || symbol.starts_with("omp_"))) &&
        !symbol.starts_with("__linear_memory") && !symbol.starts_with("__stack_pointer") &&
        !symbol.starts_with("_GLOBAL_OFFSET_TABLE_"))
      missing.push_back(symbol);
  if (missing.empty()) return;
  constexpr std::size_t most_named = 3;
  if (missing.size() > most_named) missing.resize(most_named);
  throw ValueError(fmt::format(
      "{}: for {}{}{} the model's code would call {}, functions of a compiler's library, since the CPU has "
      "no "
      "instructions for what they do. That is float64 and its conversions from 64-bit whole numbers: sine "
      "and "
      "cosine are made of it (GaussianNoise, RandomRotation), Adafactor and learning-rate schedules. Compute "
      "in "
      "float32 and int32, compile with another optimizer or a number as learning rate, or take a CPU that "
      "has "
      "them",
      options.caller, target.triple, target.cpu.empty() ? "" : ", ", target.cpu, fmt::join(missing, ", ")));
}

Target target_of(const ExportOptions& options) {
  if (options.target.empty()) {
    if (!options.features.empty()) throw ValueError("features are added to a target's; give the target, too");
    return Target::host(options.vector_bits, options.cpu);
  }
  const llvm::Triple triple(options.target);
  std::string cpu = options.cpu;
  if (cpu.empty() && triple.getArch() == llvm::Triple::x86_64) cpu = "x86-64";
  if (cpu.empty() && triple.isAArch64()) cpu = "generic";
  return Target::of(options.target, cpu, options.vector_bits, options.features);
}

}  // namespace

Target export_target(const ExportOptions& options) {
  if (options.prefix.empty())
    throw ValueError(
        fmt::format("{}: the path ends without a name; give one such as \"out/lenet\"", options.caller));
  if (!is_identifier(options.prefix))
    throw ValueError(
        fmt::format("{}: \"{}\" can't begin the names of C functions; end the path with letters, digits and "
                    "_, no digit first, and no ending",
                    options.caller, options.prefix));
  Target target;
  try {
    target = target_of(options);
  } catch (const ValueError& error) {
    throw ValueError(fmt::format("{}: {}", options.caller, error.what()));
  }
  target.reports_check_values = false;
  target.is_small |= options.small;
  target.has_team = options.max_threads > 1;
  if (options.max_threads > 1 && (target.pointer_bits != 64 || !llvm::Triple(target.triple).isOSLinux()))
    throw ValueError(
        fmt::format("{}: threads are for Linux on CPUs of 64 bits, where there is libomp, not for {}",
                    options.caller, target.triple));
  return target;
}

void check_size(const std::string& what, std::int64_t bytes, const ExportOptions& options,
                const Target& target) {
  if (target.pointer_bits <= 32 && bytes > std::numeric_limits<std::int32_t>::max())
    throw ValueError(
        fmt::format("{}: {} takes {} bytes, but {} has addresses of 32 bits, of which Kiln "
                    "uses those below 2^31; give a smaller batch, or another target",
                    options.caller, what, bytes, target.triple));
}

DeviceProgram::DeviceProgram(const graph::Graph& graph, std::span<const Tensor> states,
                             const std::vector<bool>& changing, const ExportOptions& options,
                             const Target& target)
    : plan(plan_for_device(graph, states, changing, options, target)),
      lowered(lower_plan(plan, std::vector<int>(plan.schedule.size()), target)),
      weights(lowered, options.weight_storage),
      max_threads(options.max_threads) {
  check_size("the scratch memory", ScratchLayout(lowered, max_threads).bytes, options, target);
  check_size("the weights", weights.bytes, options, target);
  for (const auto* descriptions : {&lowered.program.inputs, &lowered.program.outputs})
    for (const runtime::BufferDesc& d : *descriptions)
      check_size(d.name, d.shape.elements() * static_cast<std::int64_t>(size_of(d.dtype)), options, target);
}

ExportedFunction DeviceProgram::facts(const graph::Graph& graph) const {
  const runtime::Program& program = lowered.program;
  const ScratchLayout scratch(lowered, max_threads);
  return {.inputs = program.inputs,
          .outputs = program.outputs,
          .checks = program.checks,
          .scratch_bytes = scratch.bytes,
          .scratch_alignment = scratch.alignment,
          .multiply_adds = multiply_adds(graph::dce(graph))};
}

CodeOfExport::CodeOfExport(std::unique_ptr<llvm::Module> module, ObjectMaker& maker, const Target& target,
                           const ExportOptions& options)
    : module_(std::move(module)), return_address_bytes_(target.pointer_bits / 8) {
  // What lies below the stack is an interrupt's, perhaps.
  for (llvm::Function& f : *module_) f.addFnAttr(llvm::Attribute::NoRedZone);
  maker.optimize(*module_, false);
  if (options.format == ExportFormat::assembly) code_.code = maker.make_assembly(*module_);
  if (options.format == ExportFormat::llvm_ir) code_.code = text_of(*module_);
  for (llvm::Function& f : *module_) f.addFnAttr("warn-stack-size", "0");  // so that the maker learns it
  const std::string object = maker.make_object(*module_);  // also of the others: it shows what is missing
  frames_ = maker.frame_bytes();
  const ObjectFacts facts = object_facts(object);
  check_complete(facts, options, target);
  if (options.format == ExportFormat::object) code_.code = object;
  code_.target = target.triple;
  code_.cpu = target.cpu;
  code_.has_scalable_vectors = llvm::Triple(target.triple).isRISCV() && target.has_vectors();
  code_.code_bytes = facts.text_bytes;
}

std::int64_t CodeOfExport::stack_bytes(const std::string& name) const {
  const llvm::Function* function = module_->getFunction(name);
  if (function == nullptr) throw InternalError(fmt::format("there is no exported function {}", name));
  return stack_bytes(*function);
}

std::int64_t CodeOfExport::stack_bytes(const llvm::Function& function) const {
  // The frames don't have what a call pushes. Some arguments are in registers; counted as if all were there.
  constexpr std::int64_t unit = 16;
  const auto of_arguments = [&](const llvm::CallInst& call) {
    std::int64_t bytes = 0;
    for (const llvm::Use& argument : call.args())
      bytes +=
          std::max(return_address_bytes_,
                   static_cast<std::int64_t>(module_->getDataLayout().getTypeAllocSize(argument->getType())));
    return (bytes + 2 * unit - 1) / unit * unit;
  };
  std::int64_t of_calls = 0;
  for (const llvm::BasicBlock& block : function)
    for (const llvm::Instruction& i : block)
      if (const auto* call = llvm::dyn_cast<llvm::CallInst>(&i))
        if (const llvm::Function* callee = call->getCalledFunction(); callee && !callee->isDeclaration())
          of_calls = std::max(of_calls, of_arguments(*call) + stack_bytes(*callee));
  const auto own = frames_.find(function.getName().str());
  return return_address_bytes_ + (own == frames_.end() ? 0 : own->second) + of_calls;
}

void add_to(DigestOf& digest, const graph::Graph& graph, const StoredWeights& weights) {
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
}

void add_to(DigestOf& digest, const ExportOptions& options, const Target& target) {
  digest.add(describe(target));
  digest.add(std::to_string(options.max_threads));
}

std::string text_of(const DigestOf& digest) {
  std::string text;
  const Digest bytes = digest.result();
  for (std::size_t i = 0; i < bytes.size() / 2; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

}  // namespace kiln::codegen
