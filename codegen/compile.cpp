#include "kiln/codegen/compile.h"

#include <fmt/format.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "codegen/autotune.h"
#include "codegen/entry.h"
#include "codegen/faults.h"
#include "codegen/forks.h"
#include "codegen/jit.h"
#include "codegen/lower.h"
#include "codegen/program_cache.h"
#include "codegen/program_image.h"
#include "codegen/sanitize.h"
#include "graph/op_def.h"
#include "graph/plan.h"

namespace kiln::codegen {
namespace {

using graph::Location;
using runtime::BufferRef;

BufferRef to_buffer(const Location& location) {
  BufferRef ref;
  ref.index = location.index;
  ref.offset = location.offset;
  switch (location.space) {
    case Location::Space::input:
      ref.space = BufferRef::Space::input;
      break;
    case Location::Space::state:
      ref.space = BufferRef::Space::state;
      break;
    case Location::Space::output:
      ref.space = BufferRef::Space::output;
      break;
    case Location::Space::arena:
      ref.space = BufferRef::Space::arena;
      break;
    case Location::Space::constant:
      ref.space = BufferRef::Space::constant;
      break;
  }
  return ref;
}

BufferRef to_buffer(const Argument& argument, const graph::ScheduledGroup& scheduled) {
  const auto index = static_cast<std::size_t>(argument.index);
  switch (argument.kind) {
    case Argument::Kind::input:
      return to_buffer(scheduled.input_locations.at(index));
    case Argument::Kind::output:
      return to_buffer(scheduled.output_locations.at(index));
    case Argument::Kind::error:
      return {BufferRef::Space::error};
    case Argument::Kind::scratch:
      break;
  }
  return {BufferRef::Space::scratch};
}

bool is_serial(const Kernel& kernel) {
  return std::none_of(kernel.body.begin(), kernel.body.end(),
                      [](const Stmt& s) { return s.kind == StmtKind::loop && s.loop == LoopKind::parallel; });
}

/// Inputs, states and outputs of the program, as its callers see them.
void describe(const graph::Graph& graph, runtime::Program& program) {
  const auto desc = [](std::string name, const graph::Type& type) {
    return runtime::BufferDesc{std::move(name), type.dtype, type.shape};
  };
  program.name = graph.name;
  for (std::size_t i = 0; i < graph.inputs().size(); ++i) {
    program.inputs.push_back(desc(graph.input_name(static_cast<int>(i)), graph.inputs()[i].type()));
  }
  for (const graph::StateSlot& state : graph.states()) {
    program.states.push_back(desc(state.name, state.current.type()));
  }
  for (const graph::Output& output : graph.outputs()) {
    program.outputs.push_back(desc(output.name, output.value.type()));
  }
  program.graph_nodes =
      static_cast<int>(std::count_if(graph.nodes().begin(), graph.nodes().end(), [](const graph::Node& n) {
        return graph::definition(n.op).op_class != graph::OpClass::leaf;
      }));
}

/// The values in the arena and when they live. Those without elements have no place of their own: the planner
/// lets their offsets fall on other values.
std::vector<runtime::ArenaValue> arena_values(const graph::Plan& plan) {
  std::vector<runtime::ArenaValue> values;
  std::unordered_map<std::int64_t, std::size_t> newest;        // by offset
  std::unordered_map<const graph::Node*, std::size_t> wholes;  // written in parts, by node
  const auto lies_in_arena = [](const Location& location, const graph::Value& value) {
    return location.space == Location::Space::arena && value.shape().elements() > 0;
  };
  for (std::size_t step = 0; step < plan.schedule.size(); ++step) {
    const graph::ScheduledGroup& scheduled = plan.schedule[step];
    for (std::size_t i = 0; i < scheduled.group.inputs.size(); ++i) {
      const Location& location = scheduled.input_locations[i];
      if (lies_in_arena(location, scheduled.group.inputs[i])) values[newest.at(location.offset)].last = step;
    }
    for (std::size_t i = 0; i < scheduled.group.outputs.size(); ++i) {
      const Location& location = scheduled.output_locations[i];
      const graph::Value value = scheduled.group.outputs[i];
      if (!lies_in_arena(location, value)) continue;
      const graph::Value whole = location.part ? location.part->whole : value;
      if (location.part) {
        const auto [begun, is_first] = wholes.emplace(whole.node, values.size());
        if (!is_first) {
          values[begun->second].last = step;
          continue;
        }
      }
      newest[location.offset] = values.size();
      const auto size = static_cast<std::int64_t>(size_of(whole.dtype()));
      values.push_back(
          {location.offset, whole.shape().elements() * size, step, step, whole.type().to_string()});
    }
  }
  return values;
}

struct Lowered {
  std::vector<Kernel> kernels;
  std::vector<EntryStep> entry;  ///< parallel to kernels
};

/// One step and one kernel for each group of the plan; `ways` numbers the ways to lower them.
Lowered lower_all(const graph::Plan& plan, std::span<const int> ways, const Target& target,
                  runtime::Program& program) {
  Lowered result;
  for (std::size_t g = 0; g < plan.schedule.size(); ++g) {
    const graph::ScheduledGroup& scheduled = plan.schedule[g];
    const graph::Node* root = scheduled.group.root;
    const bool is_check = root != nullptr && root->op == graph::Op::check;
    const int check = is_check ? static_cast<int>(program.checks.size()) : -1;
    if (is_check) program.checks.push_back(root->attributes.string("message"));

    LoweredGroup lowered = lower(scheduled, target, check, ways[g]);
    runtime::Step step;
    step.name = scheduled.group.name;
    for (const Argument& argument : lowered.arguments) step.buffers.push_back(to_buffer(argument, scheduled));
    step.barrier_before = scheduled.barrier_before && planted() != Fault::dropped_barrier;
    step.serial = is_serial(lowered.kernel);
    step.prepared = scheduled.group.prepared;
    step.leave_on_error = scheduled.leave_on_error;
    step.flops = lowered.flops;
    step.bytes = lowered.bytes;

    EntryStep entry;
    entry.buffers = static_cast<int>(step.buffers.size());
    entry.barrier_before = step.barrier_before;
    entry.serial = step.serial;
    entry.prepared = step.prepared;
    if (step.leave_on_error) entry.leave_after = static_cast<int>(program.checks.size()) - 1;
    result.entry.push_back(std::move(entry));
    program.scratch_bytes = std::max(program.scratch_bytes, lowered.kernel.scratch_stride);
    result.kernels.push_back(std::move(lowered.kernel));
    program.steps.push_back(std::move(step));
  }
  // One thread may be at the next step already: where its scratch lies can't depend on the step.
  for (Kernel& kernel : result.kernels)
    if (kernel.scratch_stride > 0) kernel.scratch_stride = program.scratch_bytes;
  return result;
}

/// Object files of the kernels and of the entry that calls them.
void generate(Lowered lowered, const Target& target, ProgramImage& image) {
  runtime::Program& program = image.program;
  const EntryMaker entry = [&](std::span<const std::string> kernels, llvm::LLVMContext& context,
                               const std::string& symbol) {
    for (std::size_t i = 0; i < kernels.size(); ++i) lowered.entry[i].symbol = kernels[i];
    return emit_entry(lowered.entry, target, symbol, context);
  };
  const ProgramObjects objects = compile_program(program.name, lowered.kernels, entry, target);
  std::unordered_map<const ObjectCode*, int> numbers;
  for (std::size_t i = 0; i < objects.kernels.size(); ++i) {
    const auto& kernel = objects.kernels[i];
    const auto [number, is_new] = numbers.try_emplace(kernel.get(), static_cast<int>(numbers.size()));
    if (is_new) image.objects.push_back(kernel);
    program.steps[i].kernel = number->second;
  }
  program.distinct_kernels = static_cast<int>(numbers.size());
  image.objects.push_back(objects.entry);
}

}  // namespace

ProgramImage make_image(const graph::Graph& graph, const CompileOptions& options, const Target& target) {
  graph::PlanOptions plan_options;
  plan_options.conv = options.conv;
  plan_options.fuse = options.fuse;
  plan_options.reuse = options.reuse_memory;
  plan_options.weights_stay = options.weights_stay;
  plan_options.memory_limit = options.memory_limit;
  // The runtime poisons what lies between the values, and so accesses outside an array show.
  plan_options.red_zone = built_with_address_sanitizer ? 64 : 0;
  graph::Plan plan = graph::compile_plan(graph, plan_options);
  ProgramImage image;
  runtime::Program& program = image.program;
  describe(*plan.graph, program);
  program.constants = plan.constants;
  program.arena_bytes = plan.arena_bytes;
  program.intermediate_bytes = plan.intermediate_bytes;
  program.red_zones = plan_options.red_zone > 0;
  program.arena_values = arena_values(plan);
  const std::vector<int> ways =
      options.autotune ? find_fastest_ways(plan, target) : std::vector<int>(plan.schedule.size());
  generate(lower_all(plan, ways, target, program), target, image);
  return image;
}

namespace {

/// The environment's KILN_AUTOTUNE.
bool autotune_wanted() {
  const char* value = std::getenv("KILN_AUTOTUNE");
  const std::string_view text = value == nullptr || *value == 0 ? "0" : value;
  if (text != "0" && text != "1")
    throw ValueError(fmt::format(
        "the environment's KILN_AUTOTUNE is \"{}\"; give 1 to search for the fastest kernels, or 0", text));
  return text == "1";
}

}  // namespace

std::shared_ptr<const runtime::Program> compile(const graph::Graph& graph, const CompileOptions& wanted) {
  CompileOptions options = wanted;
  options.autotune = options.autotune || autotune_wanted();
  const auto start = std::chrono::steady_clock::now();
  const Compiling compiling;
  const Target target = Target::host(options.vector_bits, options.cpu);
  const std::optional<ProgramCache> cache = ProgramCache::of(graph, options, target);
  std::shared_ptr<runtime::Program> program = cache ? cache->find() : nullptr;
  if (program == nullptr) {
    try {
      const ProgramImage image = make_image(graph, options, target);
      program = load(image);
      if (cache) cache->store(image);
    } catch (const InternalError& e) {
      throw InternalError(fmt::format("{}\nwhile compiling\n{}", e.what(), graph::print(graph)));
    }
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  program->compile_seconds = elapsed.count();
  return program;
}

}  // namespace kiln::codegen
