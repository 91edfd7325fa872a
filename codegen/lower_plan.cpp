#include "codegen/lower_plan.h"

#include <algorithm>
#include <unordered_map>

#include "codegen/faults.h"
#include "codegen/lower.h"
#include "graph/op_def.h"

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

}  // namespace

LoweredPlan lower_plan(const graph::Plan& plan, std::span<const int> ways, const Target& target) {
  LoweredPlan result;
  runtime::Program& program = result.program;
  describe(*plan.graph, program);
  program.constants = plan.constants;
  program.arena_bytes = plan.arena_bytes;
  program.intermediate_bytes = plan.intermediate_bytes;
  program.arena_values = arena_values(plan);
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
    result.scratch_bytes.push_back(lowered.kernel.scratch_stride);
    program.scratch_bytes = std::max(program.scratch_bytes, lowered.kernel.scratch_stride);
    result.kernels.push_back(std::move(lowered.kernel));
    program.steps.push_back(std::move(step));
  }
  // One thread may be at the next step already: where its scratch lies can't depend on the step.
  for (Kernel& kernel : result.kernels)
    if (kernel.scratch_stride > 0) kernel.scratch_stride = program.scratch_bytes;
  return result;
}

}  // namespace kiln::codegen
