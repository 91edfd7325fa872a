#include "kiln/graph/interpreter.h"

#include <gtest/gtest.h>

#include "tests/graph/evaluate.h"
#include "tests/support/every_op.h"
#include "tests/support/random_tensor.h"

namespace kiln::graph::testing {
namespace {

TEST(Interpreter, GivesOutputsStatesAndValues) {
  Graph g;
  const Value x = g.input("x", {DType::f32, {2}});
  const Value counter = g.state("counter", {DType::i64, {}}), fixed = g.state("fixed", {DType::f32, {2}});
  g.output("y", x + fixed);
  g.update(counter, counter + 1.0);
  const Tensor inputs[] = {Tensor({1.f, 2.f})};
  const Tensor states[] = {Tensor::scalar(41, DType::i64), Tensor({10.f, 20.f})};
  const InterpreterResult r = interpret(g, inputs, states);
  ASSERT_EQ(r.outputs.size(), 1u);
  expect_tensor(r.outputs[0], {2}, {11, 22});
  ASSERT_EQ(r.states.size(), 2u);
  EXPECT_EQ(r.states[0].item(), 42);
  expect_tensor(r.states[1], {2}, {10, 20});
  EXPECT_EQ(states[0].item(), 41);  // the caller's tensor is left alone
  ASSERT_EQ(r.values.size(), g.nodes().size());
  expect_tensor(r.values[3], {2}, {11, 22});
}

TEST(Interpreter, WidenEvaluatesF32InF64) {
  Graph g;
  const Value x = g.input("x", {DType::f32, {}});
  const Value third = x / 3.0;
  g.output("third", third);
  g.output("int", convert(third, DType::i32));
  g.output("back", convert(convert(third, DType::f64), DType::f32));
  g.output("constant", constant(g, Tensor({0.1f})));
  const Tensor one[] = {Tensor::scalar(1)};
  const auto wide = interpret(g, one, {}, {.widen = true}).outputs;
  EXPECT_EQ(wide[0].dtype(), DType::f64);
  EXPECT_EQ(wide[0].item(), 1.0 / 3);
  EXPECT_EQ(wide[1].dtype(), DType::i32);
  EXPECT_EQ(wide[2].item(), 1.0 / 3);
  EXPECT_EQ(wide[3].item(), double{0.1f});  // what compiled code reads
  EXPECT_EQ(interpret(g, one, {}).outputs[0].dtype(), DType::f32);
  // f64 values for f32 inputs keep their digits.
  const Tensor exact[] = {Tensor::scalar(0.1, DType::f64)};
  EXPECT_EQ(interpret(g, exact, {}, {.widen = true}).outputs[0].item(), 0.1 / 3);
}

TEST(Interpreter, EveryOpRunsInBothWidthsWithTheTypesOfTheGraph) {
  const Graph g = every_op();
  std::vector<Tensor> inputs, states;
  RandomNumbers random(3);
  for (Value v : g.inputs()) inputs.push_back(random.tensor(v.shape(), 0, 3, v.dtype()));
  for (const StateSlot& s : g.states())
    states.push_back(random.tensor(s.current.shape(), 0, 3, s.current.dtype()));
  inputs[0](0, 1) = 5;  // within the label check's bounds
  inputs[0](1, 0) = 5;
  for (bool widen : {false, true}) {
    const InterpreterResult r = interpret(g, inputs, states, {.widen = widen});
    for (const Node& n : g.nodes()) {
      if (n.results.empty()) continue;
      const Tensor& v = r.values[static_cast<std::size_t>(n.id)];
      EXPECT_EQ(v.shape(), n.type().shape) << print(n);
      EXPECT_EQ(v.dtype(), widen && n.type().dtype == DType::f32 ? DType::f64 : n.type().dtype) << print(n);
    }
  }
}

TEST(Interpreter, StridedInputsAreRead) {
  Graph g;
  g.output("y", neg(g.input("x", {DType::f32, {2, 2}})));
  float memory[] = {1, 2, 3, 4};
  const Tensor transposed[] = {Tensor::view(memory, {2, 2}, {1, 2})};
  expect_tensor(interpret(g, transposed, {}).outputs[0], {2, 2}, {-1, -3, -2, -4});
}

TEST(Interpreter, ErrorsNameTheInput) {
  Graph g;
  g.input("pixels", {DType::f32, {2}});
  g.state("bias", {DType::f32, {2}});
  const Tensor two({1.f, 2.f}), three({1.f, 2.f, 3.f}), ints({1, 2});
  const auto run = [&](std::vector<Tensor> inputs, std::vector<Tensor> states) {
    interpret(g, inputs, states);
  };
  expect_error<ShapeError>([&] { run({three}, {two}); }, {"pixels", "(3,)", "(2,)"});
  expect_error<TypeError>([&] { run({ints}, {two}); }, {"pixels", "int32", "float32"});
  expect_error<ShapeError>([&] { run({two}, {three}); }, {"bias"});
  expect_error<ValueError>([&] { run({}, {two}); }, {"0 inputs", "has 1"});
  expect_error<ValueError>([&] { run({two}, {}); }, {"0 states", "has 1"});
  expect_error<ValueError>([&] { run({Tensor()}, {two}); }, {"pixels", "no value"});
}

TEST(FormatCheck, FillsInRowAndValue) {
  EXPECT_EQ(format_check("row {row}: label {value}, again {value}", 7, 12), "row 7: label 12, again 12");
  EXPECT_EQ(format_check("{value}", 0, 0.5), "0.5");
  EXPECT_EQ(format_check("nothing to fill", 1, 2), "nothing to fill");
  EXPECT_EQ(format_check("{value}", 0, nan), "nan");
}

}  // namespace
}  // namespace kiln::graph::testing
