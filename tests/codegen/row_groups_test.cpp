// Groups that work row by row: softmax, normalization, cross-entropy and their gradients as one kernel.
#include <gtest/gtest.h>

#include <cstring>

#include "kiln/codegen/compile.h"
#include "kiln/graph/gradient.h"
#include "kiln/graph/ops.h"
#include "kiln/runtime/executable.h"
#include "tests/codegen/assembly.h"
#include "tests/codegen/compile_support.h"
#include "tests/codegen/lower_support.h"
#include "tests/support/bits.h"
#include "tests/support/random_tensor.h"

namespace kiln::codegen {
namespace {

using kiln::testing::same_bits;

using namespace kiln::graph;  // the ops

Value softmax(Value x) {
  const Value e = exp(x - reduce_max(x, {-1}, true));
  return e / reduce_sum(e, {-1}, true);
}
Value mean(Value x) {
  return reduce_sum(x, {-1}, true) * (1.0 / static_cast<double>(x.shape().sizes().back()));
}
Value normalized(Value x) {
  const Value centred = x - mean(x);
  return centred * rsqrt(mean(centred * centred) + 1e-3);
}

// What is made of a matrix of rows; every graph has a row group.
using Build = void (*)(Graph&, Value);
void softmax_and_gradient(Graph& g, Value x) {
  const Value s = softmax(x);
  g.output("softmax", s);
  g.output("dx", gradient(s, std::vector{x}, g.input("dy", x.type()))[0]);
}
void log_softmax(Graph& g, Value x) {
  const Value shifted = x - reduce_max(x, {-1}, true);
  g.output("log_softmax", shifted - log(reduce_sum(exp(shifted), {-1}, true)));
}
void normalization_and_gradient(Graph& g, Value x) {
  const Value y = normalized(x) * g.input("gamma", {x.dtype(), {x.shape()[1]}});
  g.output("y", y);
  g.output("dx", gradient(y, std::vector{x}, g.input("dy", x.type()))[0]);
}
void cross_entropy(Graph& g, Value x) {
  const Value labels = g.input("labels", {DType::i32, {x.shape()[0]}});
  const Value shifted = x - reduce_max(x, {-1}, true);
  const Value log_sum = log(reduce_sum(exp(shifted), {-1}, true));
  const Value hot = compare(iota(g, {DType::i32, x.shape()}, 1), expand_dims(labels, 1), "eq");
  g.output("losses", reduce_sum(select(hot, log_sum - shifted, zeros_like(x)), {-1}));
  g.output("gradient", exp(shifted - log_sum) - convert(hot, x.dtype()));
  g.output("log_sum", log_sum);
}
// Vectors of several widths, and values that are needed by walks far apart.
void several_types(Graph& g, Value x) {
  const Value e = exp(x);
  const Value wide = exp(convert(x, DType::f64));
  const Value sum = reduce_sum(wide, {-1}, true);
  const Value count = reduce_sum(convert(compare(wide, sum * 0.01, "gt"), DType::i32), {-1}, true);
  g.output("shares", wide / sum);
  g.output("count", count);
  g.output("e", e * convert(count, x.dtype()));
  g.output("exp", e);
}
// An early output that a later walk needs, outputs of the last walk, a reduction of a reduction's row.
void chain_of_outputs(Graph& g, Value x) {
  const Value e = tanh(x);
  const Value scaled = e / (reduce_max(e, {-1}, true) + 3.0);
  const Value again = scaled * sigmoid(reduce_sum(scaled, {-1}, true));
  g.output("e", e);
  g.output("scaled", scaled);
  g.output("again", again);
  g.output("least", reduce_min(again, {-1}));
}
constexpr Build builds[] = {softmax_and_gradient, log_softmax,   normalization_and_gradient,
                            cross_entropy,        several_types, chain_of_outputs};

Graph graph_of(Build build, DType dtype, std::int64_t rows, std::int64_t length) {
  Graph g("rows");
  build(g, g.input("x", {dtype, {rows, length}}));
  return g;
}

TEST(RowGroups, AreMadeOfEachOfTheseGraphs) {
  for (Build build : builds)
    for (std::int64_t length : {8, 100, 5000}) {
      const Plan plan = compile_plan(graph_of(build, DType::f32, 9, length));
      EXPECT_TRUE(std::any_of(plan.schedule.begin(), plan.schedule.end(), [](const ScheduledGroup& s) {
        return s.group.rows;
      })) << print(plan);
    }
}

TEST(RowGroups, EqualTheInterpreterForAnyThreads) {
  for (Build build : builds)
    for (const auto& [rows, length] :
         {std::pair{1L, 8L}, {0L, 20L}, {37L, 10L}, {5L, 17L}, {3L, 250L}, {130L, 257L}, {9L, 4999L}})
      for (DType dtype : {DType::f32, DType::f64})
        expect_compiled_equals_interpreted(graph_of(build, dtype, rows, length), 1e-4);
}

// Fusion changes no bit, so whatever hangs on the number of rows can't either.
TEST(RowGroups, HaveTheBitsOfSeparateKernels) {
  for (Build build : builds)
    for (std::int64_t length : {8, 9, 10, 15, 16, 100, 255, 256, 300, 4097, 9000}) {
      const Graph g = graph_of(build, DType::f32, 11, length);
      const Arguments arguments = random_arguments(g, length);
      const std::vector<Tensor> fused = run_compiled(g, arguments.inputs, true);
      const std::vector<Tensor> apart = run_compiled(g, arguments.inputs, false);
      for (std::size_t i = 0; i < fused.size(); i++)
        EXPECT_TRUE(same_bits(fused[i], apart[i])) << g.outputs()[i].name << " of " << length;
    }
}

TEST(RowGroups, InfinitiesAndNansStayInTheirRows) {
  for (std::int64_t length : {10, 300}) {
    const Graph g = graph_of(softmax_and_gradient, DType::f32, 9, length);
    Tensor x = RandomNumbers(7).tensor({9, length}, -1, 1, DType::f32);
    const Tensor dy = RandomNumbers(8).tensor({9, length}, -1, 1, DType::f32);
    const std::vector<Tensor> clean = run_compiled(g, {x, dy});
    float* p = x.data<float>();
    p[2 * length + 3] = nan;
    p[4 * length + length - 1] = -inf;
    p[6 * length] = inf;
    const std::vector<Tensor> got = run_compiled(g, {x, dy}), apart = run_compiled(g, {x, dy}, false);
    for (std::size_t o = 0; o < got.size(); o++) {
      expect_floats(got[o], apart[o].to_vector<float>(), g.outputs()[o].name);
      for (std::int64_t row : {0, 1, 3, 5, 7, 8})
        EXPECT_EQ(std::memcmp(got[o].data<float>() + row * length, clean[o].data<float>() + row * length,
                              static_cast<std::size_t>(length) * sizeof(float)),
                  0)
            << g.outputs()[o].name << ", row " << row;
    }
  }
}

TEST(RowGroups, WriteOverARowThatTheyHaveRead) {
  for (std::int64_t length : {24, 3001}) {
    Graph g("norms");
    const Value w = g.state("w", {DType::f32, {20, length}});
    g.update(w, w * rsqrt(reduce_sum(w * w, {1}, true)) + exp(w));
    expect_compiled_equals_interpreted(g);
  }
}

// Short rows keep their exponentials in registers, longer ones in scratch memory, rows that fill the nearest
// cache in the result's array.
TEST(RowGroups, KeepWhatIsExpensiveNearby) {
  const auto kernel = [](std::int64_t length) {
    Graph g("softmax");
    g.output("y", softmax(g.input("x", {DType::f32, {64, length}})));
    const std::vector<LoweredGroup> kernels = lower_all(std::move(g));
    EXPECT_EQ(kernels.size(), 1u);
    return kernels[0].kernel;
  };
  const Kernel few = kernel(30), more = kernel(1000), many = kernel(8000);
  EXPECT_NE(print(few).find("row<"), std::string::npos) << print(few);
  EXPECT_EQ(few.scratch_stride, 0);
  EXPECT_EQ(more.scratch_stride, 4032);
  EXPECT_EQ(many.scratch_stride, 0);
  EXPECT_NE(print(many).find("prefetch"), std::string::npos) << print(many);
}

TEST(RowGroups, LoopsAreVectorsWithoutCallsAndSpills) {
  const Target target = Target::host();
  if (target.triple.find("x86_64") != 0) GTEST_SKIP() << "registers have other names here";
  for (std::int64_t length : {10, 60, 100, 1000, 8000}) {
    Graph g("softmax");
    g.output("y", softmax(g.input("x", {DType::f32, {64, length}})));
    const std::vector<KernelAssembly> kernels = kernels_of(g, target);
    ASSERT_EQ(kernels.size(), 1u);
    EXPECT_EQ(count(kernels[0].assembly, "call"), 0) << kernels[0].assembly;
    for (const Lines& loop : innermost_loops(kernels[0].assembly))
      EXPECT_EQ(spills(loop), 0) << length << "\n" << kernels[0].assembly;
  }
}

}  // namespace
}  // namespace kiln::codegen
