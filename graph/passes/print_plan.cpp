#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

#include "graph/passes/groups.h"

// The plan as text:
//
//   plan lenet: 14 groups, 3 constants, arena 61440 bytes (of 983040 without reuse)
//   group 0 "conv2d: conv+add+sigmoid" (128, 24, 24, 6)
//     reads  %0 : f32[128,28,28,1] at input 0
//     %9 = conv(%0, %1) {...} : f32[128,24,24,6]
//     ...
//     writes %12 : f32[128,24,24,6] at arena 0
namespace kiln::graph {
namespace {

std::string place(const Location& l) {
  static constexpr std::array<std::string_view, 5> names = {"input", "state", "output", "arena", "constant"};
  const bool arena = l.space == Location::Space::arena;
  std::string text =
      fmt::format("{} {}", names[static_cast<std::size_t>(l.space)], arena ? l.offset : l.index);
  if (l.part)
    text += fmt::format(", from ({}) on in %{}{}", fmt::join(l.part->start, ", "), l.part->whole.node->id,
                        l.part->whole.shape().to_string());
  return text;
}

std::string name_of(Value v) {
  return v.result ? fmt::format("%{}#{}", v.node->id, v.result) : fmt::format("%{}", v.node->id);
}

void append_arrays(std::string& text, std::string_view what, const std::vector<Value>& values,
                   const std::vector<Location>& locations) {
  for (std::size_t i = 0; i < values.size(); i++)
    text += fmt::format("  {} {} : {} at {}\n", what, name_of(values[i]), values[i].type().to_string(),
                        i < locations.size() ? place(locations[i]) : "?");
}

}  // namespace

std::string print(const Plan& plan) {
  std::string text = fmt::format("plan {}: {} groups, {} constants, arena {} bytes (of {} without reuse)\n",
                                 plan.graph->name, plan.schedule.size(), plan.constants.size(),
                                 plan.arena_bytes, plan.intermediate_bytes);
  int number = 0;
  for (const ScheduledGroup& s : plan.schedule) {
    text += fmt::format("group {} \"{}\" {}{}{}\n", number++, s.group.name, s.group.space.to_string(),
                        s.barrier_before ? ", after a barrier" : "",
                        s.leave_on_error ? ", unless a check failed" : "");
    append_arrays(text, "reads ", s.group.inputs, s.input_locations);
    for (const Node* n : s.group.nodes) text += fmt::format("  {}\n", print(*n));
    append_arrays(text, "writes", s.group.outputs, s.output_locations);
  }
  return text;
}

}  // namespace kiln::graph
