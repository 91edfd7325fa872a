// The search for the fastest tiles: every way to build a kernel gives the same bits, and what is found is
// used.
#include "codegen/autotune.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <set>

#include "codegen/lower.h"
#include "kiln/codegen/compile.h"
#include "kiln/graph/ops.h"
#include "kiln/runtime/executable.h"
#include "tests/codegen/compile_support.h"
#include "tests/codegen/run_kernel.h"
#include "tests/support/errors.h"
#include "tests/support/files.h"

namespace kiln::codegen {
namespace {

using namespace graph;

Graph dense(std::int64_t rows, std::int64_t inputs, std::int64_t units) {
  Graph g("dense");
  const Value x = g.input("x", {DType::f32, {rows, inputs}}), w = g.input("w", {DType::f32, {inputs, units}});
  g.output("y", tanh(matmul(x, w) * 0.05 + g.input("b", {DType::f32, {units}})));
  return g;
}

/// The outputs of the only kernel of a plan, built in that way, by the shares of three threads.
Tensor output_of(const ScheduledGroup& scheduled, int way, const std::vector<Tensor>& inputs) {
  const LoweredGroup lowered = lower(scheduled, Target::host(), -1, way);
  const RunnableKernel kernel(lowered.kernel);
  Tensor output(scheduled.group.outputs[0].shape(), DType::f32);
  constexpr int threads = 3;
  Tensor scratch({threads * lowered.kernel.scratch_stride + 1}, DType::u8);
  std::vector<void*> buffers;
  for (std::size_t i = 0; i < lowered.arguments.size(); i++) {
    const Argument& a = lowered.arguments[i];
    const auto index = static_cast<std::size_t>(a.index);
    if (a.kind == Argument::Kind::scratch)
      buffers.push_back(scratch.raw());
    else if (a.kind == Argument::Kind::output)
      buffers.push_back(output.raw());
    else
      buffers.push_back(
          const_cast<void*>(inputs[static_cast<std::size_t>(scheduled.input_locations[index].index)].raw()));
  }
  kernel(buffers, threads);
  return output;
}

void expect_same_bits_in_all_ways(const Graph& g, std::size_t fewest_kernels) {
  const Plan plan = compile_plan(g);
  ASSERT_EQ(plan.schedule.size(), 1u);
  const std::vector<Tensor> inputs = random_arguments(g, 1).inputs;
  const Tensor expected = output_of(plan.schedule[0], 0, inputs);
  const int ways = lower(plan.schedule[0], Target::host()).ways;
  std::set<std::string> texts;
  for (int way = 0; way < ways; way++) {
    texts.insert(print(lower(plan.schedule[0], Target::host(), -1, way).kernel, false));
    const Tensor got = output_of(plan.schedule[0], way, inputs);
    EXPECT_EQ(std::memcmp(got.raw(), expected.raw(), expected.nbytes()), 0) << "way " << way;
  }
  EXPECT_GE(texts.size(), fewest_kernels);
}

TEST(Autotune, AllWaysToBuildAProductGiveTheSameBits) {
  expect_same_bits_in_all_ways(dense(43, 300, 70), 4);
  expect_same_bits_in_all_ways(dense(1, 90, 33), 2);
  expect_same_bits_in_all_ways(dense(20, 1056, 1101), 6);  // streamed, in passes, or at once
  expect_same_bits_in_all_ways(dense(400, 1200, 300), 5);  // packed, in passes
  expect_same_bits_in_all_ways(dense(200, 330, 1024), 5);  // packed, at once
  Graph g("panels");
  const Value x = g.input("x", {DType::f32, {43, 300}});
  g.output("y", dot_panels(x, g.input("w", {DType::f32, {2, 300, panel_columns}})));
  expect_same_bits_in_all_ways(g, 3);
}

TEST(Autotune, AllWaysToBuildAConvolutionGiveTheSameBits) {
  Graph g("conv");
  const Value x = g.input("x", {DType::f32, {3, 9, 11, 20}});
  const Value kernel = g.input("kernel", {DType::f32, {3, 3, 20, 50}});
  g.output("y", tanh(conv(x, kernel, {.strides = {2, 2}})));
  expect_same_bits_in_all_ways(g, 4);
}

TEST(Autotune, ProgramsGiveTheSameBits) {
  const Graph g = dense(70, 500, 90);
  const Arguments a = random_arguments(g, 1);
  const auto outputs = [&](const CompileOptions& options) {
    runtime::Executable executable(compile(g, options));
    std::vector<Tensor> result{Tensor({70, 90}, DType::f32)}, states;
    executable.run(a.inputs, states, result);
    return result[0];
  };
  const Tensor plain = outputs({}), tuned = outputs({.autotune = true});
  EXPECT_EQ(std::memcmp(plain.raw(), tuned.raw(), plain.nbytes()), 0);
}

struct AutotuneVariable : ::testing::Test {
  void TearDown() override {
    unsetenv("KILN_AUTOTUNE");
    unsetenv("KILN_DUMP");
  }
};

TEST_F(AutotuneVariable, SearchesOnceForEqualKernels) {
  const kiln::testing::TemporaryFolder folder;
  Graph g("two_layers");  // of one size, which no other test has
  Value x = g.input("x", {DType::f32, {37, 410}});
  for (const char* name : {"a", "b"}) x = tanh(matmul(x, g.input(name, {DType::f32, {410, 410}})));
  g.output("y", x);
  setenv("KILN_AUTOTUNE", "1", 1);
  setenv("KILN_DUMP", folder.path().c_str(), 1);
  compile(g);
  const std::string text = kiln::testing::read_file(folder / "autotune_two_layers.txt");
  EXPECT_NE(text.find(": way "), std::string::npos) << text;
  EXPECT_EQ(text.find(": way "), text.rfind(": way ")) << text;
}

TEST_F(AutotuneVariable, MustBeOneOrZero) {
  const Graph g = dense(2, 3, 4);
  setenv("KILN_AUTOTUNE", "yes", 1);
  EXPECT_EQ(kiln::testing::message_of<ValueError>([&] { compile(g); }),
            "the environment's KILN_AUTOTUNE is \"yes\"; give 1 to search for the fastest kernels, or 0");
  setenv("KILN_AUTOTUNE", "", 1);
  EXPECT_NO_THROW(compile(g));
}

}  // namespace
}  // namespace kiln::codegen
