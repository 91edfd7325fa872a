// Whole graphs: compiled and run by an Executable, against the interpreter.
#include "kiln/codegen/compile.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <thread>

#include "codegen/target.h"
#include "kiln/graph/gradient.h"
#include "kiln/graph/interpreter.h"
#include "kiln/graph/ops.h"
#include "kiln/runtime/executable.h"
#include "tests/support/bits.h"

namespace kiln::codegen {
namespace {

using graph::Graph;
using graph::Value;
using kiln::testing::same_bits;

Tensor random_tensor(const Shape& shape, unsigned seed, double scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, static_cast<float>(scale));
  Tensor t(shape);
  for (std::int64_t i = 0; i < t.size(); ++i) t.data<float>()[i] = normal(random);
  return t;
}

struct Training {
  Graph g{"training"};
  std::vector<Tensor> inputs, states;
};

/// A training step of two dense layers with softmax cross-entropy and plain gradient descent.
Training training_step(std::int64_t batch) {
  Training t;
  Graph& g = t.g;
  const std::int64_t in = 37, hidden = 19, classes = 5;
  const Value x = g.input("x", {DType::f32, Shape{batch, in}});
  const Value y = g.input("labels", {DType::i32, Shape{batch}});
  const std::vector<Value> weights = {
      g.state("w1", {DType::f32, Shape{in, hidden}}), g.state("b1", {DType::f32, Shape{hidden}}),
      g.state("w2", {DType::f32, Shape{hidden, classes}}), g.state("b2", {DType::f32, Shape{classes}})};
  const Value ok = bit_and(compare(y, scalar(y, 0), "ge"), compare(y, scalar(y, classes), "lt"));
  check(ok, convert(y, DType::f32), "label {value} in row {row} is out of range");
  const Value h = tanh(matmul(x, weights[0]) + weights[1]);
  const Value z = matmul(h, weights[2]) + weights[3];
  const Value shifted = z - reduce_max(z, {1}, true);
  const Value log_sum = log(reduce_sum(exp(shifted), {1}, true));
  const Value hot =
      convert(compare(expand_dims(y, 1), iota(g, {DType::i32, Shape{1, classes}}, 1), "eq"), DType::f32);
  const Value loss = reduce_mean(reduce_sum((log_sum - shifted) * hot, {1}));
  const std::vector<Value> gradients = graph::gradient(loss, weights);
  for (std::size_t i = 0; i < weights.size(); ++i) g.update(weights[i], weights[i] - gradients[i] * 0.1);
  g.output("loss", loss);
  t.inputs = {random_tensor(Shape{batch, in}, 1), Tensor(Shape{batch}, DType::i32)};
  for (std::int64_t i = 0; i < batch; ++i)
    t.inputs[1].data<std::int32_t>()[i] = static_cast<std::int32_t>(i * 7 % classes);
  t.states = {random_tensor(Shape{in, hidden}, 2, 0.3), random_tensor(Shape{hidden}, 3, 0.3),
              random_tensor(Shape{hidden, classes}, 4, 0.3), random_tensor(Shape{classes}, 5, 0.3)};
  return t;
}

struct Result {
  std::vector<Tensor> outputs, states;
};
Result run(runtime::Executable& e, const Training& t) {
  Result r;
  for (const Tensor& s : t.states) r.states.push_back(s.clone());
  for (const runtime::BufferDesc& o : e.program().outputs) r.outputs.emplace_back(o.shape, o.dtype);
  e.run(t.inputs, r.states, r.outputs);
  return r;
}
void expect_same_bits(const Result& a, const Result& b, const std::string& what) {
  for (std::size_t i = 0; i < a.outputs.size(); ++i)
    EXPECT_TRUE(same_bits(a.outputs[i], b.outputs[i])) << what;
  for (std::size_t i = 0; i < a.states.size(); ++i)
    EXPECT_TRUE(same_bits(a.states[i], b.states[i])) << what << i;
}
void expect_near(const Tensor& got, const Tensor& expected, double tolerance) {
  ASSERT_EQ(got.shape(), expected.shape());
  const Tensor a = got.astype(DType::f64), b = expected.astype(DType::f64);
  for (std::int64_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(a.data<double>()[i], b.data<double>()[i], tolerance * (1 + std::fabs(b.data<double>()[i])));
  }
}

struct Threads {
  explicit Threads(int n) { set_num_threads(n); }
  ~Threads() { set_num_threads(0); }
};

TEST(Compile, TrainingStepAgreesWithTheInterpreter) {
  for (std::int64_t batch : {1, 3, 32, 100}) {
    const Training t = training_step(batch);
    const graph::InterpreterResult expected = graph::interpret(t.g, t.inputs, t.states, {.widen = true});
    runtime::Executable e(compile(t.g));
    const Result r = run(e, t);
    expect_near(r.outputs[0], expected.outputs[0], 1e-5);
    for (std::size_t i = 0; i < r.states.size(); ++i) expect_near(r.states[i], expected.states[i], 1e-5);
  }
}

TEST(Compile, SameBitsForAnyNumberOfThreadsAndAnyOrder) {
  const Training t = training_step(64);
  runtime::Executable e(compile(t.g));
  Result serial;
  {
    const Threads one(1);
    serial = run(e, t);
  }
  for (int threads : {2, 3, 5}) {
    const Threads some(threads);
    expect_same_bits(run(e, t), serial, "threads");
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      Result r;
      for (const Tensor& s : t.states) r.states.push_back(s.clone());
      r.outputs.emplace_back(Shape{});
      e.run_shuffled(t.inputs, r.states, r.outputs, threads, seed);
      expect_same_bits(r, serial, "shuffled");
    }
  }
}

TEST(Compile, SameBitsWithoutFusionOrReuse) {
  const Training t = training_step(17);
  runtime::Executable fused(compile(t.g)), apart(compile(t.g, {.reuse_memory = false}));
  expect_same_bits(run(apart, t), run(fused, t), "without reuse");
  EXPECT_GE(apart.program().arena_bytes, fused.program().arena_bytes);
  EXPECT_LT(fused.program().steps.size(), compile(t.g, {.fuse = false})->steps.size());
}

TEST(Compile, EveryVectorWidth) {
  const Training t = training_step(33);
  const graph::InterpreterResult expected = graph::interpret(t.g, t.inputs, t.states, {.widen = true});
  for (int bits = 128; bits <= Target::host().vector_bits; bits *= 2) {
    runtime::Executable e(compile(t.g, {.vector_bits = bits}));
    expect_near(run(e, t).outputs[0], expected.outputs[0], 1e-5);
  }
  EXPECT_THROW(compile(t.g, {.vector_bits = 96}), ValueError);
  EXPECT_THROW(compile(t.g, {.vector_bits = 4096}), ValueError);
}

TEST(Compile, FailedCheckLeavesStatesAlone) {
  for (int threads : {1, 2, 3}) {
    const Threads some(threads);
    Training t = training_step(40);
    t.inputs[1].data<std::int32_t>()[23] = 7;
    t.inputs[1].data<std::int32_t>()[31] = -1;
    runtime::Executable e(compile(t.g));
    std::vector<Tensor> states, outputs;
    for (const Tensor& s : t.states) states.push_back(s.clone());
    outputs.emplace_back(Shape{});
    try {
      e.run(t.inputs, states, outputs);
      ADD_FAILURE() << "the label was accepted";
    } catch (const ValueError& error) {
      EXPECT_NE(std::string(error.what()).find("label 7 in row 23 is out of range"), std::string::npos)
          << error.what();
    }
    for (std::size_t i = 0; i < states.size(); ++i) EXPECT_TRUE(same_bits(states[i], t.states[i]));
    // And the next run, with good data, works.
    t.inputs[1].data<std::int32_t>()[23] = 1;
    t.inputs[1].data<std::int32_t>()[31] = 1;
    EXPECT_NO_THROW(run(e, t));
  }
}

TEST(Compile, EqualLayersShareMachineCode) {
  Graph g("tower");
  Value x = g.input("x", {DType::f32, Shape{8, 16}});
  for (int layer = 0; layer < 6; ++layer) {
    const Value w = g.state(fmt::format("w{}", layer), {DType::f32, Shape{16, 16}});
    x = tanh(matmul(x, w));
  }
  g.output("y", x);
  const auto program = compile(g);
  EXPECT_EQ(program->steps.size(), 6U);
  EXPECT_EQ(program->distinct_kernels, 1);
  EXPECT_EQ(program->steps[0].fn, program->steps[5].fn);
}

TEST(Compile, ManyThreadsCompileAndRunAtOnce) {
  std::vector<std::thread> threads;
  std::vector<Tensor> losses(4);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    threads.emplace_back([&, i] {
      const Training t = training_step(21);
      runtime::Executable e(compile(t.g));
      losses[i] = run(e, t).outputs[0];
    });
  }
  for (std::thread& t : threads) t.join();
  for (const Tensor& loss : losses) EXPECT_TRUE(same_bits(loss, losses[0]));
}

}  // namespace
}  // namespace kiln::codegen
