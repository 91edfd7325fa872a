// Random words are made four at a time.
#include <gtest/gtest.h>

#include <regex>

#include "codegen/jit.h"
#include "kiln/graph/ops.h"
#include "tests/codegen/compile_support.h"
#include "tests/codegen/lower_support.h"
#include "tests/codegen/run_kernel.h"

namespace kiln::codegen {
namespace {

using graph::Graph;
using graph::Value;

/// A dropout layer's output and mask.
Graph dropout(const Shape& shape) {
  Graph g("dropout");
  const Value x = g.input("x", {DType::f32, shape}), key = g.state("key", {DType::i64, {2}});
  const Value mask = compare(random_uniform(key, shape, 3), graph::scalar(x, 0.25), "ge");
  g.output("mask", mask);
  g.output("y", select(mask, x, x * 0.0));
  return g;
}

/// Products of vectors of words in the code of one kernel. A block of Philox has two in each of ten rounds,
/// of which the first depend on the key alone.
std::ptrdiff_t products(Graph graph, int vector_bits) {
  const std::vector<LoweredGroup> kernels = lower_all(std::move(graph), vector_bits);
  EXPECT_EQ(kernels.size(), 1u);
  const std::string ir = list_kernel(kernels[0].kernel, Target::host(vector_bits)).ir;
  const std::regex product("= mul <");
  return std::distance(std::sregex_iterator(ir.begin(), ir.end(), product), {});
}

TEST(RandomWords, AreMadeFourAtATime) {
  for (const int bits : vector_widths()) {
    const std::ptrdiff_t of_a_block = products(dropout({16}), bits) + 1;  // one is of constants there
    EXPECT_GE(of_a_block, 15);
    EXPECT_LE(of_a_block, 20);
    EXPECT_LE(products(dropout({64 * 100}), bits), of_a_block) << bits;
    EXPECT_LE(products(dropout({30, 128}), bits), of_a_block) << bits;
    // Behind whole blocks comes a rest of which each element has its own.
    const std::ptrdiff_t with_rest = products(dropout({64 * 100 + 16}), bits);
    EXPECT_GT(with_rest, of_a_block) << bits;
    EXPECT_LE(with_rest, 2 * of_a_block) << bits;
  }
}

TEST(RandomWords, AreThoseOfTheInterpreter) {
  for (const Shape& shape :
       {Shape{64 * 100}, {30, 128}, {6416}, {3, 70}, {5, 4, 32}, {2, 96}, {7}, {130'000}})
    expect_compiled_equals_interpreted(dropout(shape));
}

// Where a kernel's result takes the place of its operand, all words of a block are read before they are
// written.
TEST(RandomWords, MayBeWrittenOverTheOperand) {
  Graph g("noise");
  const Shape shape{40, 64};
  const Value x = g.input("x", {DType::f32, shape}), key = g.state("key", {DType::i64, {2}});
  const Value sums = matmul(x, g.input("w", {DType::f32, {64, 64}}));
  g.output("y", cumsum(cumsum(sums, 0) + random_uniform(key, shape, 3), 1));
  expect_compiled_equals_interpreted(g);
}

}  // namespace
}  // namespace kiln::codegen
