// Branches that write their parts of a concatenation: compiled like interpreted, with the same bits for any
// team and in any batch.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

#include "kiln/codegen/compile.h"
#include "kiln/graph/gradient.h"
#include "kiln/graph/ops.h"
#include "kiln/runtime/executable.h"
#include "tests/codegen/compile_support.h"
#include "tests/support/random_tensor.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

Value relu(Value x) {
  return maximum(x, scalar(x, 0));
}
Value layer(Value x, std::int64_t filters, std::int64_t window) {
  Graph& g = x.graph();
  const auto weight = [&](const Shape& shape) {
    return g.state(fmt::format("w{}", g.states().size()), {x.dtype(), shape});
  };
  const Ints padding(2, window / 2);
  const Value y =
      conv(x, weight({window, window, x.shape().back(), filters}), {.low = padding, .high = padding});
  return relu(y + weight({filters}));
}
/// An Inception block.
Value block(Value x, std::int64_t scale) {
  const Value pooled = window_max(x, {.window = {1, 3, 3, 1}, .low = {0, 1, 1, 0}, .high = {0, 1, 1, 0}});
  const std::vector<Value> branches = {layer(x, 4 * scale, 1), layer(layer(x, 6 * scale, 1), 8 * scale, 3),
                                       layer(layer(x, scale, 1), 2 * scale, 5), layer(pooled, 2 * scale, 1)};
  return concatenate(branches, 3);
}

Graph two_blocks(std::int64_t batch, std::int64_t side, std::int64_t channels, std::int64_t scale,
                 DType dtype = DType::f32) {
  Graph g("blocks");
  const Value x = g.input("x", {dtype, {batch, side, side, channels}});
  g.output("y", block(block(x, scale), scale));
  return g;
}

TEST(CompiledParts, OfInceptionBlocks) {
  expect_compiled_equals_interpreted(two_blocks(2, 12, 24, 4));
  expect_compiled_equals_interpreted(two_blocks(1, 5, 3, 3));
  expect_compiled_equals_interpreted(two_blocks(1, 5, 3, 3, DType::f64));
}

// Long sums are made in several passes and wait in the part meanwhile.
TEST(CompiledParts, OfLongSums) {
  Graph g("long");
  const Value x = g.input("x", {DType::f32, {2, 6, 6, 256}});
  g.output("y", concatenate(std::vector<Value>{layer(x, 40, 3), layer(x, 24, 3)}, 3));
  expect_compiled_equals_interpreted(g);
}

TEST(CompiledParts, AlongOtherAxes) {
  for (int axis = 0; axis < 4; axis++) {
    Graph g("axes");
    const Value x = g.input("x", {DType::f32, {2, 9, 9, 8}});
    const Value first = layer(x, 20, 3);
    const Value all = concatenate(std::vector<Value>{first, layer(x, 20, 1)}, axis);
    g.output("all", all);
    g.output("sum", reduce_sum(first, {1, 2}));
    g.output("largest", reduce_max(all, {0, 1, 2}));
    expect_compiled_equals_interpreted(g);
  }
}

TEST(CompiledParts, OfATrainingStep) {
  Graph g = two_blocks(2, 7, 8, 4);
  const Value y = g.outputs()[0].value;
  std::vector<Value> weights;
  for (const StateSlot& s : g.states()) weights.push_back(s.current);
  const std::vector<Value> gradients = gradient(reduce_sum(y * y), weights);
  for (std::size_t i = 0; i < weights.size(); i++) g.update(weights[i], weights[i] - 0.01 * gradients[i]);
  expect_compiled_equals_interpreted(g, 1e-4);
}

std::string first_image(std::int64_t batch) {
  const Graph g = two_blocks(batch, 12, 24, 4);
  const Arguments arguments = random_arguments(two_blocks(16, 12, 24, 4), 5);
  const auto program = compile(g);
  std::vector<Tensor> inputs{Tensor(program->inputs[0].shape, DType::f32)}, states = arguments.states;
  std::memcpy(inputs[0].raw(), arguments.inputs[0].raw(), inputs[0].nbytes());
  std::vector<Tensor> outputs{Tensor(program->outputs[0].shape, DType::f32)};
  runtime::Executable(program).run(inputs, states, outputs);
  return {static_cast<const char*>(outputs[0].raw()), outputs[0].nbytes() / static_cast<std::size_t>(batch)};
}

TEST(CompiledParts, AreTheSameInAnyBatch) {
  const std::string alone = first_image(1);
  for (std::int64_t batch : {2, 3, 16}) EXPECT_TRUE(first_image(batch) == alone) << batch << " images";
}

// Few filters: for many images the batch is the last axis, and the convolutions' results are no parts.
TEST(CompiledParts, SumsOverThemAreTheSameInAnyBatch) {
  const auto graph = [](std::int64_t batch, std::int64_t axis) {
    Graph g("sums");
    const Value x = g.input("x", {DType::f32, {batch, 26, 5, 3}});
    const Value first = layer(x, 6, 7), second = layer(x, 6, 7), both[] = {first, second},
                all = concatenate(both, axis);
    g.output("means", reduce_sum(all, {1, 2}));
    g.output("total", reduce_sum(first, {1, 2, 3}));
    g.output("windows", window_sum(all, {.window = {1, 3, 3, 1}}));
    g.output("all", all);
    return g;
  };
  for (std::int64_t axis : {1, 2, 3}) {
    const Arguments arguments = random_arguments(graph(128, axis), 4);
    const auto first_rows = [&](std::int64_t batch) {
      const auto program = compile(graph(batch, axis));
      std::vector<Tensor> inputs{Tensor(program->inputs[0].shape, DType::f32)}, states = arguments.states,
                                                                                outputs;
      std::memcpy(inputs[0].raw(), arguments.inputs[0].raw(), inputs[0].nbytes());
      for (const auto& output : program->outputs) outputs.emplace_back(output.shape, output.dtype);
      runtime::Executable(program).run(inputs, states, outputs);
      std::vector<std::string> rows;
      for (const Tensor& t : outputs)
        rows.emplace_back(static_cast<const char*>(t.raw()), t.nbytes() / static_cast<std::size_t>(batch));
      return rows;
    };
    const std::vector<std::string> alone = first_rows(1), among = first_rows(128);
    for (std::size_t i = 0; i < alone.size(); i++)
      EXPECT_TRUE(alone[i] == among[i]) << "axis " << axis << ", output " << i;
  }
}

}  // namespace
}  // namespace kiln::codegen
