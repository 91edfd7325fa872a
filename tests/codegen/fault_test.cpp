// Faults planted in the compiler: comparison with the interpreter notices each of them.
#include "codegen/faults.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "codegen/sanitize.h"
#include "kiln/codegen/compile.h"
#include "kiln/graph/interpreter.h"
#include "kiln/graph/ops.h"
#include "kiln/runtime/executable.h"

namespace kiln::codegen {
namespace {

using graph::Graph;
using graph::Value;

/// A tensor inside a larger array: a fault may read or write a little beyond it, and that must show in
/// numbers, not end the process.
Tensor roomy(const Shape& shape, DType dtype = DType::f32) {
  constexpr std::int64_t margin = 256;
  return Tensor(Shape{shape.elements() + 2 * margin}, dtype)
      .slice(margin, margin + shape.elements())
      .reshape(shape);
}

/// A graph that uses what the faults break: tails, tiles, reductions, padding, bytes, NaN, select, several
/// kernels that depend on each other.
struct Subject {
  Graph g{"subject"};
  std::vector<Tensor> inputs;

  Subject() {
    const Value x = g.input("x", {DType::f32, Shape{90, 331}});
    const Value w = g.input("w", {DType::f32, Shape{331, 37}});
    const Value bytes = g.input("bytes", {DType::u8, Shape{90, 37}});
    const Value product = matmul(x, w);
    const Value padded = pad(product, scalar(product, 0), {1, 3}, {2, 1});
    const Value chosen = select(compare(product, scalar(product, 0), "gt"), product, product * 0.25);
    const Value pixels = convert(bytes, DType::f32);
    g.output("padded", padded);
    g.output("rows", reduce_sum(x, {1}));
    g.output("columns", reduce_sum(exp(chosen * 0.05), {0}));
    g.output("largest", reduce_max(chosen + pixels, {1}));
    g.output("at_least", maximum(x, reverse(x, {1})));
    std::mt19937 random(11);
    std::normal_distribution<float> normal(0, 1);
    inputs = {roomy(Shape{90, 331}), roomy(Shape{331, 37}), roomy(Shape{90, 37}, DType::u8)};
    for (int i : {0, 1}) {
      float* data = inputs[static_cast<std::size_t>(i)].data<float>();
      for (std::int64_t e = 0; e < inputs[static_cast<std::size_t>(i)].size(); ++e) data[e] = normal(random);
    }
    inputs[0].data<float>()[331 * 89 + 330] = std::numeric_limits<float>::quiet_NaN();
    for (std::int64_t e = 0; e < inputs[2].size(); ++e) {
      inputs[2].data<std::uint8_t>()[e] = static_cast<std::uint8_t>(random());
    }
  }
};

bool agree(const std::vector<Tensor>& got, const std::vector<Tensor>& expected) {
  for (std::size_t i = 0; i < got.size(); ++i) {
    const Tensor a = got[i].astype(DType::f64), b = expected[i].astype(DType::f64);
    for (std::int64_t e = 0; e < a.size(); ++e) {
      const double x = a.data<double>()[e], y = b.data<double>()[e];
      if (std::isnan(x) != std::isnan(y)) return false;
      if (std::fabs(x - y) > 1e-3 * (1 + std::fabs(y))) return false;
    }
  }
  return true;
}

/// Compiled code agrees with the interpreter, in the usual order and in shuffled ones.
bool compiled_agrees(const Subject& s) {
  const std::vector<Tensor> expected = graph::interpret(s.g, s.inputs, {}, {.widen = true}).outputs;
  runtime::Executable e(compile(s.g));
  std::vector<Tensor> outputs;
  for (const Tensor& t : expected) outputs.push_back(roomy(t.shape()));
  e.run(s.inputs, {}, outputs);
  if (!agree(outputs, expected)) return false;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    for (Tensor& t : outputs) std::fill_n(t.data<float>(), t.size(), std::numeric_limits<float>::quiet_NaN());
    e.run_shuffled(s.inputs, {}, outputs, 3, seed);
    if (!agree(outputs, expected)) return false;
  }
  return true;
}

TEST(Faults, WithoutAFaultEverythingAgrees) {
  EXPECT_EQ(planted(), Fault::none);
  EXPECT_TRUE(compiled_agrees(Subject()));
}

TEST(Faults, EachIsNoticed) {
  const Subject subject;
  for (Fault fault : all_faults) {
    // This one reads behind the last array, which the address sanitizer reports by ending the program.
    if (built_with_address_sanitizer && fault == Fault::tail_lane_more) continue;
    const PlantedFault planted_fault(fault);
    EXPECT_FALSE(compiled_agrees(subject)) << name(fault);
  }
  EXPECT_TRUE(compiled_agrees(subject)) << "a planted fault stayed";
}

}  // namespace
}  // namespace kiln::codegen
