#include "tests/codegen/compile_support.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "codegen/target.h"
#include "kiln/codegen/compile.h"
#include "kiln/graph/interpreter.h"
#include "kiln/runtime/executable.h"
#include "tests/support/bits.h"
#include "tests/support/cpus.h"
#include "tests/support/random_tensor.h"

namespace kiln::codegen {
namespace {

using kiln::testing::same_bits;

Tensor copy(const Tensor& t) {
  Tensor result(t.shape(), t.dtype());
  std::memcpy(result.raw(), t.raw(), static_cast<std::size_t>(t.size()) * size_of(t.dtype()));
  return result;
}
std::vector<Tensor> copies(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> result;
  for (const Tensor& t : tensors) result.push_back(copy(t));
  return result;
}
std::vector<double> numbers(const Tensor& t) {
  std::vector<double> result;
  visit(t.dtype(), [&](auto zero) {
    const auto* p = t.data<decltype(zero)>();
    for (std::int64_t i = 0; i < t.size(); i++) result.push_back(static_cast<double>(p[i]));
  });
  return result;
}

}  // namespace

void expect_close(const Tensor& expected, const Tensor& got, double tolerance, const std::string& what) {
  ASSERT_EQ(expected.size(), got.size()) << what;
  const std::vector<double> a = numbers(expected), b = numbers(got);
  double largest = 0;
  for (double x : a)
    if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
  double bound = is_float(got.dtype()) ? tolerance * std::max(largest, 1e-30) : 0;
  if (got.dtype() == DType::f64) bound *= 1e-8;
  int reported = 0;
  for (std::size_t i = 0; i < a.size() && reported < 3; i++) {
    const bool close =
        (std::isnan(a[i]) && std::isnan(b[i])) || a[i] == b[i] || std::abs(a[i] - b[i]) <= bound;
    if (close) continue;
    ADD_FAILURE() << what << fmt::format("[{}]: expected {}, got {} (bound {})", i, a[i], b[i], bound);
    reported++;
  }
}

namespace {

struct Results {
  std::vector<Tensor> outputs, states;
};

/// For this CPU, for older ones, and with one node a kernel.
std::vector<CompileOptions> ways_to_compile() {
  std::vector<CompileOptions> ways = {
      {}, {.fuse = false, .vector_bits = std::min(256, Target::host().vector_bits)}};
  for (const std::string& cpu : kiln::testing::older_cpus())
    if (cpu != "x86-64-v2") ways.push_back({.cpu = cpu});  // it differs from x86-64 in little
  return ways;
}

}  // namespace

Arguments random_arguments(const graph::Graph& graph, std::int64_t seed) {
  RandomNumbers random(seed);
  const auto make = [&](const graph::Type& type) {
    const double limit = is_float(type.dtype) ? 1 : 20;
    return random.tensor(type.shape, type.dtype == DType::u8 || type.dtype == DType::bool_ ? 0 : -limit,
                         type.dtype == DType::bool_ ? 2 : limit, type.dtype);
  };
  Arguments result;
  for (const graph::Value& v : graph.inputs()) result.inputs.push_back(make(v.type()));
  for (const graph::StateSlot& s : graph.states()) result.states.push_back(make(s.current.type()));
  return result;
}

void expect_compiled_equals_interpreted(const graph::Graph& graph, double tolerance, std::int64_t seed) {
  const Arguments arguments = random_arguments(graph, seed);
  const graph::InterpreterResult expected = graph::interpret(graph, arguments.inputs, arguments.states);
  for (const CompileOptions& options : ways_to_compile()) {
    runtime::Executable executable(compile(graph, options));
    const std::string what = fmt::format("{} {} bits, {}", options.cpu, options.vector_bits,
                                         options.fuse ? "fused" : "one node a kernel");
    const auto run = [&](int threads) {
      Results r;
      r.states = copies(arguments.states);
      for (const graph::Output& o : graph.outputs()) r.outputs.emplace_back(o.value.shape(), o.value.dtype());
      if (threads == 0)
        executable.run(arguments.inputs, r.states, r.outputs);
      else
        executable.run_shuffled(arguments.inputs, r.states, r.outputs, threads,
                                static_cast<std::uint64_t>(threads));
      return r;
    };
    const Results once = run(0);
    for (std::size_t i = 0; i < once.outputs.size(); i++)
      expect_close(expected.outputs[i], once.outputs[i], tolerance,
                   fmt::format("{}: output {} \"{}\"", what, i, graph.outputs()[i].name));
    for (std::size_t i = 0; i < once.states.size(); i++)
      expect_close(expected.states[i], once.states[i], tolerance, fmt::format("{}: state {}", what, i));
    for (int threads : {1, 2, 3, 5}) {
      const Results again = run(threads);
      for (std::size_t i = 0; i < once.outputs.size(); i++)
        EXPECT_TRUE(same_bits(once.outputs[i], again.outputs[i]))
            << what << ": other bits in output " << graph.outputs()[i].name << " with " << threads
            << " threads";
      for (std::size_t i = 0; i < once.states.size(); i++)
        EXPECT_TRUE(same_bits(once.states[i], again.states[i])) << what << ": other bits in state " << i;
    }
    if (::testing::Test::HasFailure()) return;
  }
}

std::vector<Tensor> run_compiled(const graph::Graph& graph, const std::vector<Tensor>& inputs, bool fuse) {
  CompileOptions options;
  options.fuse = fuse;
  runtime::Executable executable(compile(graph, options));
  std::vector<Tensor> outputs;
  for (const graph::Output& o : graph.outputs()) outputs.emplace_back(o.value.shape(), o.value.dtype());
  executable.run(inputs, {}, outputs);
  return outputs;
}

void expect_floats(const Tensor& got, const std::vector<float>& expected, const std::string& what) {
  const std::vector<float> y = got.to_vector<float>();
  ASSERT_EQ(y.size(), expected.size()) << what;
  for (std::size_t i = 0; i < y.size(); i++) {
    const bool same = std::isnan(expected[i]) ? std::isnan(y[i]) : std::memcmp(&y[i], &expected[i], 4) == 0;
    EXPECT_TRUE(same) << what << "[" << i << "]: expected " << expected[i] << ", got " << y[i];
  }
}

}  // namespace kiln::codegen
