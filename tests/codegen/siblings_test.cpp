// Narrow products of one operand are computed as one: the same bits as each alone, for any team, in any
// batch.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

#include "graph/passes/passes.h"
#include "kiln/codegen/compile.h"
#include "kiln/graph/gradient.h"
#include "kiln/graph/ops.h"
#include "kiln/runtime/executable.h"
#include "tests/codegen/compile_support.h"
#include "tests/support/random_tensor.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

Value weight(Graph& g, const Shape& shape) {
  return g.state(fmt::format("w{}", g.states().size()), {DType::f32, shape});
}
Value dense(Value x, std::int64_t units) {
  const std::int64_t width = x.shape().back();
  return matmul(x, weight(x.graph(), {width, units})) + weight(x.graph(), {units});
}
Value relu(Value x) {
  return maximum(x, scalar(x, 0));
}

/// Attention of one head of ten dimensions, then a layer.
Graph attention(std::int64_t batch) {
  Graph g("attention");
  const Value x = g.input("x", {DType::f32, {batch, 12, 40}});
  const Value q = dense(x, 10), k = dense(x, 10), v = dense(x, 10);
  const Value scores = exp(dot(q, k, {0}, {0}, {2}, {2}));
  const Value mixed = dot(scores / reduce_sum(scores, {2}, true), v, {0}, {0}, {2}, {1});
  g.output("y", dense(mixed, 40));
  return g;
}
/// Heads, of which only the given ones are computed.
Graph heads(std::int64_t batch, const std::vector<int>& which) {
  Graph g("heads");
  const Value x = g.input("x", {DType::f32, {batch, 300}});
  static constexpr std::int64_t units[] = {4, 20, 10};
  std::vector<Value> all;
  for (std::int64_t n : units) all.push_back(relu(dense(x, n)));
  for (int i : which) g.output(fmt::format("y{}", i), all[static_cast<std::size_t>(i)] * 2.0);
  return g;
}

int products(const Graph& g) {
  int count = 0;
  const Graph optimized = optimize(g);
  for (const Node& n : optimized.nodes()) count += n.op == Op::dot;
  return count;
}

TEST(CompiledSiblings, QueriesKeysAndValues) {
  EXPECT_EQ(products(attention(3)), 4);
  expect_compiled_equals_interpreted(attention(3));
}

TEST(CompiledSiblings, Heads) {
  EXPECT_EQ(products(heads(50, {0, 1, 2})), 1);
  expect_compiled_equals_interpreted(heads(50, {0, 1, 2}));
}

TEST(CompiledSiblings, OfATrainingStep) {
  Graph g = attention(5);
  const Value y = g.outputs()[0].value;
  std::vector<Value> weights;
  for (const StateSlot& s : g.states()) weights.push_back(s.current);
  const std::vector<Value> gradients = gradient(reduce_mean(y * y), weights);
  for (std::size_t i = 0; i < weights.size(); i++) g.update(weights[i], weights[i] - gradients[i]);
  expect_compiled_equals_interpreted(g, 1e-4);
}

/// The first rows of every output, of a batch that begins like any other.
std::vector<std::string> first_rows(const Graph& g) {
  const bool is_attention = g.inputs()[0].rank() == 3;
  const Arguments arguments = random_arguments(is_attention ? attention(200) : heads(200, {0, 1, 2}), 7);
  const auto program = compile(g);
  std::vector<Tensor> inputs{Tensor(program->inputs[0].shape, DType::f32)}, states = arguments.states,
                                                                            outputs;
  std::memcpy(inputs[0].raw(), arguments.inputs[0].raw(), inputs[0].nbytes());
  for (const auto& o : program->outputs) outputs.emplace_back(o.shape, o.dtype);
  runtime::Executable(program).run(inputs, states, outputs);
  std::vector<std::string> rows;
  for (const Tensor& t : outputs)
    rows.emplace_back(static_cast<const char*>(t.raw()), t.nbytes() / static_cast<std::size_t>(t.shape()[0]));
  return rows;
}

TEST(CompiledSiblings, HaveTheBitsOfEachAlone) {
  for (std::int64_t batch : {1, 7, 200}) {
    const std::vector<std::string> together = first_rows(heads(batch, {0, 1, 2}));
    for (int i = 0; i < 3; i++)
      EXPECT_TRUE(first_rows(heads(batch, {i}))[0] == together[static_cast<std::size_t>(i)])
          << "head " << i << " of " << batch;
  }
}

TEST(CompiledSiblings, AreTheSameInAnyBatch) {
  for (std::int64_t batch : {2, 5, 33, 200}) {
    EXPECT_TRUE(first_rows(heads(batch, {0, 1, 2})) == first_rows(heads(1, {0, 1, 2}))) << batch;
    EXPECT_TRUE(first_rows(attention(batch)) == first_rows(attention(1))) << batch;
  }
}

}  // namespace
}  // namespace kiln::codegen
