// What hangs on states alone is computed once for each version of the states.
#include <gtest/gtest.h>

#include <algorithm>

#include "kiln/codegen/compile.h"
#include "kiln/graph/ops.h"
#include "kiln/runtime/executable.h"
#include "tests/support/random_tensor.h"
#include "tests/support/sanitized.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

/// y = x exp(w)^8 by squaring, and u = sum of x, whose memory could be what exp(w) leaves.
struct Prepared : ::testing::Test {
  Prepared() {
    Graph g("prepared");
    const Value a = g.input("x", {DType::f32, {48, 40}}), b = g.state("w", {DType::f32, {40, 40}});
    Value power = exp(b);
    for (int i = 0; i < 3; i++) power = matmul(power, power);
    Value y = matmul(a, power);
    for (int i = 0; i < 2; i++) y = matmul(matmul(y, transpose(y, {1, 0})) * 0.01, a);
    g.output("y", y);
    program = compile(g);
    RandomNumbers random(3);
    x = random.tensor({48, 40}, -1, 1, DType::f32);
    w = random.tensor({40, 40}, -3.7, -3.2, DType::f32);  // powers of about 1
  }

  std::vector<float> run(runtime::Executable& executable, std::uint64_t version) {
    Tensor y({48, 40}, DType::f32);
    void *input = x.raw(), *state = w.raw(), *output = y.raw();
    executable.run_raw(&input, &state, &output, version);
    return y.to_vector<float>();
  }

  std::shared_ptr<const runtime::Program> program;
  Tensor x, w;
};

TEST_F(Prepared, StepsComeFirst) {
  const auto& steps = program->steps;
  const auto is_prepared = [](const runtime::Step& s) { return s.prepared; };
  EXPECT_EQ(std::count_if(steps.begin(), steps.end(), is_prepared), 4);
  EXPECT_TRUE(std::is_partitioned(steps.begin(), steps.end(), is_prepared));
}

TEST_F(Prepared, ResultsServeAllRunsOfAVersion) {
#ifdef KILN_SANITIZED
  GTEST_SKIP() << "with red zones the arena begins each run anew";
#endif
  for (int threads : {1, 3}) {
    set_num_threads(threads);
    runtime::Executable executable(program);
    const auto first = run(executable, 1);
    x.data<float>()[7] += 1;
    const auto other_input = run(executable, 0);
    EXPECT_NE(other_input, first);
    EXPECT_EQ(run(executable, 2), other_input);
    const Tensor before = w.clone();
    w.data<float>()[5] -= 1;
    EXPECT_EQ(run(executable, 2), other_input)
        << "the caller says that nothing has changed: nothing is computed";
    const auto changed = run(executable, 3);
    EXPECT_NE(changed, other_input);
    EXPECT_EQ(run(executable, 3), changed);
    w = before;
    EXPECT_EQ(run(executable, 0), other_input) << "0: not known, so everything is computed";
    EXPECT_EQ(run(executable, 0), other_input);
  }
  set_num_threads(0);
}

TEST_F(Prepared, OtherWaysToRunLeaveNothingStale) {
  runtime::Executable executable(program);
  const auto expected = run(executable, 1);
  std::vector<Tensor> states{w}, outputs{Tensor({48, 40}, DType::f32)};
  const std::vector<Tensor> inputs{x};
  executable.run_shuffled(inputs, states, outputs, 3, 1);
  EXPECT_EQ(outputs[0].to_vector<float>(), expected);
  EXPECT_EQ(run(executable, 1), expected);
  (void)executable.profile(inputs, states, outputs);
  EXPECT_EQ(run(executable, 1), expected);
}

/// A result of the program lies in the caller's memory, and a state that changes is no constant.
TEST(PreparedGroups, AreNoResultsAndReadNothingThatChanges) {
  Graph g("g");
  const Value w = g.state("w", {DType::f32, {40, 40}}), v = g.state("v", {DType::f32, {40, 40}});
  g.output("y", matmul(exp(w), exp(v)));
  g.output("z", exp(w));
  g.update(v, v * 0.5);
  const auto program = compile(g);
  for (const runtime::Step& s : program->steps) EXPECT_FALSE(s.prepared) << s.name;
}

}  // namespace
}  // namespace kiln::codegen
