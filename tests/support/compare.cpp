#include "tests/support/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace kiln::graph {
namespace {

void compare_value(const RandomProgram& program, const std::string& name, Value v, const Tensor& got,
                   Agreement& all) {
  if (got.dtype() != v.dtype() || got.shape() != v.shape()) {
    all.failure = fmt::format("{} is {} {} instead of {}", name, short_name(got.dtype()),
                              got.shape().to_string(), v.type().to_string());
    return;
  }
  const std::vector<double> values = got.to_vector<double>(),
                            expected = program.bound->value(v).to_vector<double>();
  const double* bound = program.bound->error(v).data<double>();
  for (std::size_t i = 0; i < values.size(); i++) {
    if (std::isinf(bound[i])) {
      all.unknown++;
      continue;
    }
    all.checked++;
    const bool same = values[i] == expected[i] || (std::isnan(values[i]) && std::isnan(expected[i]));
    const double error = same ? 0 : std::abs(values[i] - expected[i]);
    if (bound[i] > 0) all.worst = std::max(all.worst, error / bound[i]);
    if (!(error <= bound[i]) && all.failure.empty())
      all.failure =
          fmt::format("{} [{}] of {}: {:.9g}, expected {:.9g}; the error {:.3g} exceeds the bound {:.3g}; {}",
                      name, i, v.type().to_string(), values[i], expected[i], error, bound[i], print(*v.node));
  }
}

}  // namespace

Agreement compare(const RandomProgram& program, const std::vector<Tensor>& outputs,
                  const std::vector<Tensor>& states) {
  Agreement all;
  const Graph& g = *program.graph;
  for (std::size_t i = 0; i < g.outputs().size(); i++)
    compare_value(program, g.outputs()[i].name, g.outputs()[i].value, outputs[i], all);
  for (std::size_t i = 0; i < g.states().size(); i++) {
    const StateSlot& slot = g.states()[i];
    compare_value(program, slot.name, slot.next ? slot.next : slot.current, states[i], all);
  }
  return all;
}

}  // namespace kiln::graph
