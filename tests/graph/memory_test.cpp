#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "graph/passes/arena.h"
#include "kiln/graph/ops.h"
#include "tests/graph/evaluate.h"
#include "tests/graph/pass_testing.h"

namespace kiln::graph::testing {
namespace {

using Space = Location::Space;

// ---- the arena --------------------------------------------------------------------------------------------

TEST(Arena, BlocksInUseTogetherDoNotOverlap) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 200; trial++) {
    std::vector<ArenaBlock> blocks(1 + random() % 40);
    std::int64_t sum = 0;
    for (ArenaBlock& b : blocks) {
      b.bytes = random() % 7 == 0 ? 0 : static_cast<std::int64_t>(random() % 1000);
      b.first = static_cast<int>(random() % 30);
      b.last = b.first + static_cast<int>(random() % 8);
      sum += (b.bytes + 63) / 64 * 64;
    }
    const std::int64_t total = place_blocks(blocks);
    EXPECT_LE(total, sum);
    for (const ArenaBlock& a : blocks) {
      EXPECT_EQ(a.offset % arena_alignment, 0);
      EXPECT_LE(a.offset + a.bytes, total);
      for (const ArenaBlock& b : blocks) {
        if (&a == &b || a.last < b.first || b.last < a.first) continue;
        EXPECT_TRUE(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset);
      }
    }
  }
}

TEST(Arena, ReusesWhatIsFreeAndTakesTheSmallestGap) {
  std::vector<ArenaBlock> one_after_the_other = {{100, 0, 0, 0}, {100, 1, 1, 0}, {50, 2, 2, 0}};
  EXPECT_EQ(place_blocks(one_after_the_other), 128);
  // Between the two that stay, gaps of 256 and 64 bytes become free; 60 bytes go into the smaller.
  std::vector<ArenaBlock> gaps = {{512, 0, 9, 0}, {256, 0, 1, 0}, {200, 0, 9, 0},
                                  {64, 0, 1, 0},  {60, 2, 9, 0},  {62, 0, 9, 0}};
  place_blocks(gaps);
  EXPECT_EQ(gaps[4].offset, gaps[3].offset);
}

// A user's network of depthwise blocks, in which each array is made of the one before. Largest first, one
// would lie where 108,384 bytes end.
TEST(Arena, NeedsNoMoreThanIsInUseAtOnce) {
  std::vector<ArenaBlock> chain;
  for (const std::int64_t bytes :
       {20000, 30240, 20000, 24000, 36288, 24000, 28000, 42336, 28000, 32000, 48384, 32000, 36000}) {
    const int at = static_cast<int>(chain.size());
    chain.push_back({bytes, at, at + 1, 0});
  }
  EXPECT_EQ(place_blocks(chain), 48384 + 32000);
}

// ---- places -----------------------------------------------------------------------------------------------

struct Memory : ::testing::Test {
  Graph g{"memory"};
  Value x = g.input("x", {DType::f32, {8, 8}});
  Value w = g.state("w", {DType::f32, {8, 8}});

  Plan plan() { return plan_unoptimized(std::move(g)); }
};
const ScheduledGroup& last(const Plan& p) {
  return p.schedule.back();
}

TEST_F(Memory, StatesAreUpdatedInPlace) {
  g.update(w, w * 0.5 + x);
  const Plan p = plan();
  ASSERT_EQ(p.schedule.size(), 1u);
  EXPECT_EQ(p.schedule[0].output_locations[0], (Location{Space::state, 0, 0}));
  EXPECT_EQ(p.arena_bytes, 0);
}

TEST_F(Memory, AStateIsNotWrittenOverWhileItIsReadElsewhere) {
  g.update(w, w + transpose(w, {1, 0}));
  const Plan p = plan();
  ASSERT_EQ(p.schedule.size(), 2u) << print(p);
  EXPECT_EQ(p.schedule[0].output_locations[0].space, Space::arena);
  EXPECT_EQ(last(p).output_locations[0], (Location{Space::state, 0, 0}));
  EXPECT_TRUE(last(p).barrier_before);
}

TEST_F(Memory, ReadersOfAnOldStateComeBeforeItsWriter) {
  const Value next = w + x;
  g.update(w, next);
  g.output("old", matmul(x, w));  // emitted after the update, but reads the old value
  const Plan p = plan();
  ASSERT_EQ(p.schedule.size(), 2u) << print(p);
  EXPECT_EQ(p.schedule[0].group.root->op, Op::dot);
  EXPECT_EQ(last(p).output_locations[0].space, Space::state);
  EXPECT_TRUE(last(p).barrier_before) << "written while another thread may still read";
}

TEST_F(Memory, AnOldStateThatIsReadAfterItsNewValueIsKnownIsCopied) {
  const Value next = exp(w);
  g.update(w, next);
  g.output("y", matmul(matmul(next, x), w));
  const Plan p = plan();
  EXPECT_EQ(last(p).output_locations[0], (Location{Space::state, 0, 0})) << print(p);
  EXPECT_EQ(p.schedule.size(), 4u);
}

TEST_F(Memory, StatesMayBeExchanged) {
  const Value v = g.state("v", {DType::f32, {8, 8}});
  g.update(w, v);
  g.update(v, w);
  Graph copy = parse(print(g));
  Draw draw(1);
  expect_same_results(plan(), copy, {draw.tensor({8, 8}, DType::f32)},
                      {draw.tensor({8, 8}, DType::f32), draw.tensor({8, 8}, DType::f32)});
}

TEST_F(Memory, InputsStatesConstantsAndOneValueTwiceAsOutputs) {
  const Value y = x + w;
  const Value table = constant(g, Tensor({1.f, 2.f, 3.f}));
  g.output("x", x);
  g.output("w", w);
  g.output("c", scalar(x, 3));
  g.output("table", table);
  g.output("y", y);
  g.output("y again", y);
  g.output("y flat", reshape(y, {64}));
  g.update(w, y);
  Graph copy = parse(print(g));
  Draw draw(2);
  expect_same_results(plan(), copy, {draw.tensor({8, 8}, DType::f32)}, {draw.tensor({8, 8}, DType::f32)});
}

TEST_F(Memory, AStateThatKeepsItsValueIsNotTouched) {
  g.update(w, w);
  g.output("y", x + w);
  const Plan p = plan();
  EXPECT_EQ(p.schedule.size(), 1u);
}

TEST_F(Memory, OutputsAreWrittenDirectly) {
  const Value y = matmul(x, w);
  g.output("y", y);
  g.output("z", matmul(y, w));
  const Plan p = plan();
  EXPECT_EQ(p.schedule.size(), 2u);
  EXPECT_EQ(p.arena_bytes, 0);
  EXPECT_EQ(p.schedule[1].input_locations[0].space, Space::output);
}

TEST_F(Memory, ADyingInputIsWrittenOverIfItIsReadInPlace) {
  const Value a = cumsum(x, 0);
  g.output("y", cumsum(exp(a) + w, 1));
  const Plan p = plan();
  ASSERT_EQ(p.schedule.size(), 3u);
  EXPECT_EQ(p.schedule[1].output_locations[0], p.schedule[1].input_locations[0]);
  EXPECT_EQ(p.arena_bytes, 256);
  EXPECT_EQ(p.intermediate_bytes, 512);
}

TEST_F(Memory, OnlyOneOutputTakesADyingInput) {
  const Value a = cumsum(x, 0);
  g.output("y", cumsum(exp(a), 1));
  g.output("z", cumsum(tanh(a), 0));
  const Plan p = plan();
  ASSERT_EQ(p.schedule.size(), 4u) << print(p);
  const ScheduledGroup& both = p.schedule[1];
  ASSERT_EQ(both.output_locations.size(), 2u);
  EXPECT_NE(both.output_locations[0], both.output_locations[1]);
}

TEST_F(Memory, NothingIsSharedWithoutReuse) {
  const Value a = cumsum(x, 0);
  g.output("y", cumsum(exp(a) + w, 1));
  const Plan p = plan_unoptimized(std::move(g), {.reuse = false, .red_zone = 64});
  EXPECT_EQ(p.arena_bytes, 2 * (256 + 64));
}

TEST_F(Memory, EqualReshapesAreViews) {
  const Value a = cumsum(x, 0);
  g.output("y", cumsum(reshape(a, {64}), 0));
  const Plan p = plan();
  ASSERT_EQ(p.schedule.size(), 2u);
  EXPECT_EQ(p.schedule[1].input_locations[0], p.schedule[0].output_locations[0]);
  EXPECT_EQ(p.schedule[1].group.inputs[0].shape(), Shape{64});
}

TEST_F(Memory, AGraphThatDoesNothing) {
  const Plan p = plan();
  EXPECT_TRUE(p.schedule.empty());
  EXPECT_EQ(p.arena_bytes, 0);
  EXPECT_TRUE(compile_plan(Graph("empty")).schedule.empty());
}

// ---- barriers ---------------------------------------------------------------------------------------------

TEST_F(Memory, IndependentKernelsRunWithoutABarrier) {
  const Value u = g.input("u", {DType::f32, {4, 4}});
  g.output("y", matmul(x, w));
  g.output("z", exp(u));
  for (const ScheduledGroup& s : plan().schedule) EXPECT_FALSE(s.barrier_before);
}

TEST_F(Memory, AChecksOutcomeIsKnownBeforeAStateIsWritten) {
  const Value u = g.input("u", {DType::f32, {8}});
  g.update(w, w + x);
  check(is_finite(u), u, "row {row} is {value}");
  const Plan p = plan();
  ASSERT_EQ(p.schedule.size(), 2u);
  EXPECT_EQ(p.schedule[0].group.root->op, Op::check);
  EXPECT_TRUE(last(p).leave_on_error);
}

TEST_F(Memory, ACheckOfANewStateComesBeforeItIsStored) {
  const Value next = w + x;
  g.update(w, next);
  check(is_finite(reduce_sum(next, {1})), reduce_sum(next, {1}), "row {row} is {value}");
  const Plan p = plan();
  EXPECT_EQ(last(p).output_locations[0], (Location{Space::state, 0, 0})) << print(p);
  EXPECT_TRUE(last(p).leave_on_error);
  EXPECT_EQ(last(p).group.nodes[0]->op, Op::reshape) << "a copy from the arena";
}

// ---- known faults -----------------------------------------------------------------------------------------

Plan expect_case(Graph g, const std::vector<Tensor>& inputs, const std::vector<double>& expected) {
  Plan plan = compile_plan(g);
  const PlanInterpreter run(plan, inputs, {});
  expect_tensor(run.outputs()[0], run.outputs()[0].shape(), expected, 1e-6);
  return plan;
}

// Case 1: a shift by one must not be written over what it still reads.
TEST(KnownFaults, ShiftByOne) {
  const auto first_again = [](Value b) {
    const std::int64_t n = b.shape()[0];
    Ints start(static_cast<std::size_t>(b.rank()), 0), limit = b.shape().sizes(), one = limit;
    limit[0] = n - 1;
    one[0] = 1;
    return concatenate(std::vector{slice(b, start, one), slice(b, start, limit)}, 0);
  };
  const auto last_again = [](Value b) {
    const std::int64_t n = b.shape()[0];
    Ints start(static_cast<std::size_t>(b.rank()), 0), limit = b.shape().sizes(), end = start;
    start[0] = 1;
    end[0] = n - 1;
    return concatenate(std::vector{slice(b, start, limit), slice(b, end, limit)}, 0);
  };
  const auto shifted = [&](auto shift, const Tensor& x, bool in_memory, const std::vector<double>& expected) {
    Graph g("shift");
    const Value b = 2.0 * g.input("x", {DType::f32, {5}});
    // Between two cumulative sums, b and its shifted copy are arrays of the arena.
    const Value y = in_memory ? cumsum(shift(cumsum(b, 0)), 0) : shift(b);
    g.output("y", reshape(y, {5, 1}));
    expect_case(std::move(g), {x}, expected);
  };
  shifted(first_again, Tensor({4.f, 1.f, 7.f, 2.f, 9.f}), false, {8, 8, 2, 14, 4});
  shifted(last_again, Tensor({4.f, 1.f, 7.f, 2.f, 9.f}), false, {2, 14, 4, 18, 18});
  shifted(first_again, Tensor({4.f, -3.f, 6.f, -5.f, 7.f}), true, {8, 16, 18, 32, 36});
  shifted(last_again, Tensor({4.f, -3.f, 6.f, -5.f, 7.f}), true, {2, 16, 20, 38, 56});

  Graph rows("rows");
  const Value b = 2.0 * rows.input("x", {DType::f32, {6, 20}});
  rows.output("y", first_again(cumsum(b, 1)));
  Tensor values(Shape{6, 20});
  for (std::int64_t i = 0; i < 120; i++) values.data<float>()[i] = static_cast<float>(i % 7);
  const Graph copy = parse(print(rows));
  expect_same_results(plan_unoptimized(std::move(rows)), copy, {values}, {});
}

// Case 2: the mean of each row, and then the rows themselves.
TEST(KnownFaults, RowsMinusTheirMean) {
  for (const auto& [r, c] :
       {std::pair<std::int64_t, std::int64_t>{19, 37}, {1, 1}, {7, 33}, {33, 1}, {16, 17}}) {
    Graph g("centred");
    const Value y = 2.0 * g.input("x", {DType::f32, {r, c}});
    g.output("z", y - reduce_mean(y, {1}, true));
    Tensor x(Shape{r, c});
    for (std::int64_t i = 0; i < r; i++)
      for (std::int64_t j = 0; j < c; j++) x(i, j) = 100.0 * static_cast<double>(i) + static_cast<double>(j);
    const Plan plan = compile_plan(g);
    const PlanInterpreter run(plan, {x}, {});
    for (std::int64_t i = 0; i < r; i++)
      for (std::int64_t j = 0; j < c; j++)
        EXPECT_NEAR(run.outputs()[0](i, j), 2 * (static_cast<double>(j) - static_cast<double>(c - 1) / 2),
                    1e-3);
  }
}

// Case 35: concatenation along each axis, of one, and of one tensor twice.
TEST(KnownFaults, Concatenation) {
  const Tensor a = tensor({1, 2, 2, 1}, {1, 2, 3, 4}, DType::f32);
  const Tensor b = tensor({1, 2, 2, 2}, {10, 20, 20, 40, 30, 60, 40, 80}, DType::f32);
  const Tensor p = tensor({1, 1, 2, 1}, {5, 6}, DType::f32);
  const auto input = [](Graph& g, const Tensor& t) { return g.input("x", {t.dtype(), t.shape()}); };
  {
    Graph g("last axis");
    const Value x = input(g, a);
    g.output("y", concatenate(std::vector{x, input(g, b)}, -1));
    expect_case(std::move(g), {a, b}, {1, 10, 20, 2, 20, 40, 3, 30, 60, 4, 40, 80});
  }
  {
    Graph g("axis 1");
    const Value x = input(g, p);
    g.output("y", concatenate(std::vector{x, input(g, a)}, 1));
    expect_case(std::move(g), {p, a}, {5, 6, 1, 2, 3, 4});
  }
  {
    Graph g("one");
    g.output("y", concatenate(std::vector{input(g, a)}, -1));
    const Plan plan = expect_case(std::move(g), {a}, {1, 2, 3, 4});
    EXPECT_EQ(plan.schedule.size(), 1u) << "a copy of the input, nothing else";
  }
  {
    Graph g("twice");
    const Value x = input(g, a);
    const Value both = concatenate(std::vector{x, x}, 2) + concatenate(std::vector{-x, x}, 2);
    g.output("y", reduce_sum(both));
    expect_case(std::move(g), {a}, {20});
  }
}

}  // namespace
}  // namespace kiln::graph::testing
