#include "graph/passes/bake.h"

#include <gtest/gtest.h>

#include "kiln/graph/interpreter.h"
#include "kiln/graph/ops.h"
#include "tests/graph/pass_testing.h"

namespace kiln::graph::testing {
namespace {

// A prediction: w is transposed and b taken as it is, s is repeated by the kernel that uses it.
constexpr const char* source = R"(graph g {
  %0 = input "x" : f32[2,3]
  %1 = state "w" : f32[2,3]
  %2 = state "b" : f32[2,2]
  %3 = state "s" : f32[2]
  %4 = transpose(%1) {permutation=[1, 0]} : f32[3,2]
  %5 = dot(%0, %4) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[2,2]
  %6 = add(%5, %2) : f32[2,2]
  %7 = broadcast(%3) {dims=[1], shape=[2, 2]} : f32[2,2]
  %8 = mul(%6, %7) : f32[2,2]
  output "y" = %8
}
)";

const std::vector<Tensor> weights = {Tensor({{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}}),
                                     Tensor({{1.f, 2.f}, {3.f, 4.f}}), Tensor({10.f, 100.f})};

struct Baked {
  Plan plan;
  std::vector<Value> values;
  std::vector<Tensor> tensors;
};

// The weights' values come from the interpreter here.
Baked compute(const Graph& graph) {
  Baked result{compile_plan(graph, {.weights_stay = true}), {}, {}};
  result.values = baked_values(result.plan);
  const Graph computed = compute_values(*result.plan.graph, result.values);
  std::vector<Tensor> inputs;
  for (Value v : computed.inputs()) inputs.push_back(Tensor::zeros(v.shape(), v.dtype()));
  result.tensors = interpret(computed, inputs, weights).outputs;
  return result;
}

TEST(Bake, WeightsBecomeConstantsInTheFormThatKernelsRead) {
  const Baked b = compute(parse(source));
  const Graph result = bake(*b.plan.graph, b.values, b.tensors);
  verify(result);
  EXPECT_EQ(print(result), print(parse(R"(graph g {
  %0 = input "x" : f32[2,3]
  %1 = state "w" : f32[2,3]
  %2 = state "b" : f32[2,2]
  %3 = state "s" : f32[2]
  %4 = constant {value=f32[2,2] [1, 2, 3, 4]} : f32[2,2]
  %5 = constant {value=f32[2] [10, 100]} : f32[2]
  %6 = constant {value=f32[3,2] [1, 4, 2, 5, 3, 6]} : f32[3,2]
  %7 = dot(%0, %6) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[2,2]
  %8 = add(%7, %4) : f32[2,2]
  %9 = broadcast(%5) {dims=[1], shape=[2, 2]} : f32[2,2]
  %10 = mul(%8, %9) : f32[2,2]
  output "y" = %10
}
)")));
  const std::vector<Tensor> x = {Tensor({{1.f, 0.f, 2.f}, {0.f, 1.f, 1.f}})};
  const std::vector<Tensor> nothing = {Tensor::zeros({2, 3}), Tensor::zeros({2, 2}), Tensor::zeros({2})};
  EXPECT_EQ(interpret(result, x, nothing).outputs[0].to_vector<float>(),
            interpret(parse(source), x, weights).outputs[0].to_vector<float>());
}

// What a step changes is no constant, nor is what hangs on it.
TEST(Bake, StatesThatChangeStay) {
  const Plan plan = compile_plan(parse(R"(graph g {
  %0 = input "x" : f32[4]
  %1 = state "w" : f32[4]
  %2 = state "v" : f32[4]
  %3 = mul(%0, %1) : f32[4]
  %4 = add(%3, %2) : f32[4]
  update %1 = %4
  output "y" = %4
}
)"));
  const std::vector<Value> values = baked_values(plan);
  ASSERT_EQ(values.size(), 1u);
  EXPECT_EQ(values[0], plan.graph->states()[1].current);
}

// Of a state that may be another in the next run nothing is baked, even if the graph doesn't change it; what
// hangs on it is computed of weights that are.
TEST(Bake, StatesThatMayChangeStay) {
  const Plan plan = compile_plan(parse(source));
  const auto states = plan.graph->states();
  const std::vector<Value> values = baked_values(plan, {true, false, false});
  ASSERT_EQ(values.size(), 2u);
  EXPECT_EQ(values[0], states[1].current);
  EXPECT_EQ(values[1], states[2].current);
}

}  // namespace
}  // namespace kiln::graph::testing
