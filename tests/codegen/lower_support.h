#pragma once
#include <string>
#include <vector>

#include "codegen/lower.h"

namespace kiln::codegen {

inline Target test_target(int vector_bits) {
  Target target;
  target.vector_bits = vector_bits;
  target.vector_registers = vector_bits == 512 ? 32 : 16;
  return target;
}

/// The kernels of a graph, in order, each verified.
inline std::vector<LoweredGroup> lower_all(graph::Graph graph, int vector_bits = 512) {
  std::vector<graph::Group> groups = graph::schedule(graph, graph::fuse(graph));
  const graph::Plan plan = graph::plan_memory(std::move(graph), std::move(groups));
  std::vector<LoweredGroup> kernels;
  for (const graph::ScheduledGroup& group : plan.schedule) {
    kernels.push_back(lower(group, test_target(vector_bits), 0));
    verify(kernels.back().kernel);
  }
  return kernels;
}

/// The kernels' texts.
inline std::string lower_text(std::string_view text, int vector_bits = 512) {
  std::vector<LoweredGroup> kernels = lower_all(graph::parse(text), vector_bits);
  std::string result;
  for (const LoweredGroup& k : kernels) result += print(k.kernel);
  return result;
}

}  // namespace kiln::codegen
