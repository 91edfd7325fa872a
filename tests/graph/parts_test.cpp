// Values that are parts of a larger array: a concatenation of what kernels compute is written by them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "kiln/graph/ops.h"
#include "tests/graph/pass_testing.h"
#include "tests/support/random_tensor.h"

namespace kiln::graph::testing {
namespace {

using Space = Location::Space;

Value relu(Value x) {
  return maximum(x, scalar(x, 0));
}

struct Parts : ::testing::Test {
  Graph g{"parts"};
  Value x = g.input("x", {DType::f32, {2, 4, 4, 3}});

  Value weight(const Shape& shape) {
    return g.state(fmt::format("w{}", g.states().size()), {DType::f32, shape});
  }
  Value branch(std::int64_t filters, std::int64_t window = 1) {
    ConvAttrs attrs;
    attrs.low = attrs.high = Ints(2, window / 2);
    return relu(conv(x, weight({window, window, 3, filters}), attrs) + weight({filters}));
  }
  Value joined(std::vector<Value> values, int axis = 3) { return concatenate(values, axis); }

  /// Fuses, schedules and places the graph, and runs it.
  Plan plan() {
    RandomNumbers random(1);
    std::vector<Tensor> inputs, states;
    for (Value v : g.inputs()) inputs.push_back(random.tensor(v.shape(), -1, 1, v.dtype()));
    for (const StateSlot& s : g.states())
      states.push_back(random.tensor(s.current.shape(), -1, 1, s.current.dtype()));
    const InterpreterResult expected = interpret(g, inputs, states);
    Plan made = plan_unoptimized(std::move(g));
    const PlanInterpreter got(made, inputs, states);
    for (std::size_t i = 0; i < expected.outputs.size(); i++)
      EXPECT_TRUE(same_bits(got.outputs()[i], expected.outputs[i])) << "output " << i << "\n" << print(made);
    for (std::size_t i = 0; i < expected.states.size(); i++)
      EXPECT_TRUE(same_bits(got.states()[i], expected.states[i])) << "state " << i << "\n" << print(made);
    return made;
  }
};

int parts_written(const Plan& plan) {
  int count = 0;
  for (const ScheduledGroup& s : plan.schedule)
    for (const Location& l : s.output_locations) count += l.part.has_value();
  return count;
}
bool is_copied(const Plan& plan) {
  for (const ScheduledGroup& s : plan.schedule)
    for (const Node* n : s.group.nodes)
      if (n->op == Op::concatenate) return true;
  return false;
}

TEST_F(Parts, BranchesAreWrittenWhereTheyBelong) {
  const Value all = joined({branch(5), branch(2, 3), branch(7)});
  g.output("y", conv(all, weight({1, 1, 14, 4}), {}));
  const Plan p = plan();
  ASSERT_EQ(p.schedule.size(), 4u) << print(p);
  EXPECT_FALSE(is_copied(p)) << print(p);
  std::set<Ints> starts;
  for (std::size_t i = 0; i < 3; i++) {
    const Location& l = p.schedule[i].output_locations[0];
    ASSERT_TRUE(l.part) << print(p);
    starts.insert(l.part->start);
    EXPECT_EQ(l.offset, p.schedule[3].input_locations[0].offset);
    EXPECT_FALSE(p.schedule[i].barrier_before) << "they share no element:\n" << print(p);
  }
  EXPECT_EQ(starts, (std::set<Ints>{{0, 0, 0, 0}, {0, 0, 0, 5}, {0, 0, 0, 7}}));
  EXPECT_TRUE(p.schedule[3].barrier_before);
  EXPECT_FALSE(p.schedule[3].input_locations[0].part);
  EXPECT_EQ(p.intermediate_bytes, 2 * 4 * 4 * 14 * 4);
}

TEST_F(Parts, AlongAnyAxis) {
  for (int axis = 0; axis < 4; axis++) {
    g = Graph("parts");
    x = g.input("x", {DType::f32, {2, 4, 4, 3}});
    g.output("y", relu(sin(joined({branch(5), branch(5, 3)}, axis))));
    EXPECT_EQ(parts_written(plan()), 2) << "axis " << axis;
  }
}

TEST_F(Parts, OthersReadThemThere) {
  const Value first = branch(5), second = branch(3);
  g.output("all", sin(joined({first, second})));
  g.output("product", conv(first, weight({1, 1, 5, 2}), {}));
  g.output("sum", reduce_sum(second, {1}));
  const Plan p = plan();
  EXPECT_EQ(parts_written(p), 2) << print(p);
  int read = 0;
  for (const ScheduledGroup& s : p.schedule)
    for (const Location& l : s.input_locations) read += l.part.has_value();
  EXPECT_GE(read, 1) << print(p);
}

TEST_F(Parts, OfAnOutput) {
  g.output("y", joined({branch(5), branch(3)}));
  const Plan p = plan();
  EXPECT_EQ(p.schedule.size(), 2u) << print(p);
  EXPECT_EQ(p.arena_bytes, 0) << print(p);
  for (const ScheduledGroup& s : p.schedule) EXPECT_EQ(s.output_locations[0].space, Space::output);
}

TEST_F(Parts, OfTwoOutputsOneIsACopy) {
  const Value all = joined({branch(5), branch(3)});
  g.output("y", all);
  g.output("z", reshape(all, {32, 8}));
  EXPECT_EQ(parts_written(plan()), 2);
}

// The new value isn't there before its last part, when the old one may have been read by the other's group.
TEST_F(Parts, OfAState) {
  const Value old = weight({2, 4, 4, 8});
  const Value all = joined({branch(5) + slice(old, {0, 0, 0, 3}, {2, 4, 4, 8}),
                            branch(3) + slice(old, {0, 0, 0, 0}, {2, 4, 4, 3})});
  g.update(old, all);
  EXPECT_EQ(parts_written(plan()), 2);
}

TEST_F(Parts, OfArraysThatAreWrittenOverByTheirReaders) {
  const Value all = joined({branch(5), branch(3)});
  const Value twice = sin(all) * 2.0;  // may lie where `all` did, but not where only a part did
  g.output("y", conv(twice, weight({1, 1, 8, 4}), {}));
  const Plan p = plan();
  ASSERT_EQ(p.schedule.size(), 4u) << print(p);
  EXPECT_EQ(p.schedule[2].output_locations[0], p.schedule[2].input_locations[0]);
}

TEST_F(Parts, AreOfOneConcatenationOnly) {
  const Value first = branch(5), second = branch(5), third = branch(5);
  g.output("a", sin(joined({first, second})));
  g.output("b", sin(joined({second, third})));
  const Plan p = plan();
  EXPECT_EQ(parts_written(p), 2) << print(p);
  EXPECT_TRUE(is_copied(p));
}

TEST_F(Parts, WhatMustLieElsewhereIsCopied) {
  const auto copied = [&](const std::function<Value()>& make) {
    g = Graph("parts");
    x = g.input("x", {DType::f32, {2, 4, 4, 3}});
    g.output("y", sin(make()));
    const Plan p = plan();
    EXPECT_TRUE(is_copied(p)) << print(p);
    EXPECT_EQ(parts_written(p), 0) << print(p);
  };
  copied([&] {
    const Value first = branch(5);
    g.output("also", first);
    return joined({first, branch(3)});
  });
  copied([&] {
    const Value first = branch(5);
    return joined({first, first});
  });
  copied([&] {  // a reshape looks at an array whose elements follow one another
    const Value first = branch(5);
    g.output("sum", conv(reshape(first, {1, 8, 4, 5}), weight({1, 1, 5, 2}), {}));
    return joined({first, branch(3)});
  });
  copied([&] { return joined({branch(5), x}); });
  copied([&] { return joined({branch(5), sin(x)}); });
  copied([&] { return joined({branch(5), slice(branch(5), {0, 0, 0, 0}, {2, 4, 4, 0})}); });
}

// ---- slices -----------------------------------------------------------------------------------------------

bool is_sliced(const Plan& plan) {
  for (const ScheduledGroup& s : plan.schedule)
    for (const Node* n : s.group.nodes)
      if (n->op == Op::slice) return true;
  return false;
}

TEST_F(Parts, SlicesThatProductsReadAreParts) {
  const Value all = relu(conv(x, weight({1, 1, 3, 14}), {}) + weight({14}));
  g.output("y", conv(slice(all, {0, 0, 0, 0}, {2, 4, 4, 4}), weight({1, 1, 4, 2}), {}));
  g.output("z", conv(slice(all, {0, 0, 0, 4}, {2, 4, 4, 14}), weight({1, 1, 10, 2}), {}));
  const Plan p = plan();
  EXPECT_FALSE(is_sliced(p)) << print(p);
  ASSERT_EQ(p.schedule.size(), 3u) << print(p);
  EXPECT_EQ(p.schedule[1].input_locations[0].offset, p.schedule[2].input_locations[0].offset);
  ASSERT_TRUE(p.schedule[1].input_locations[0].part) << print(p);
}

TEST_F(Parts, SlicesOfInputsStatesAndReshapes) {
  g.output("x", conv(slice(x, {0, 1, 0, 0}, {2, 3, 4, 2}), weight({1, 1, 2, 2}), {}));
  g.output("w", conv(x, slice(weight({1, 1, 3, 9}), {0, 0, 0, 2}, {1, 1, 3, 7}), {}));
  g.output("r", dot(slice(reshape(x, {32, 3}), {3, 0}, {20, 3}), weight({3, 2}), {}, {}, {1}, {0}));
  EXPECT_FALSE(is_sliced(plan()));
}

TEST_F(Parts, SlicesThatAreArraysOfTheirOwn) {
  const auto copied = [&](const std::function<Value(Value)>& read) {
    g = Graph("parts");
    x = g.input("x", {DType::f32, {2, 4, 4, 3}});
    g.output("y", read(conv(x, weight({1, 1, 3, 14}), {})));
    const Plan p = plan();
    EXPECT_TRUE(is_sliced(p)) << print(p);
  };
  copied([&](Value y) {  // not neighbours
    return conv(slice(y, {0, 0, 0, 0}, {2, 4, 4, 14}, {1, 1, 1, 2}), weight({1, 1, 7, 2}), {});
  });
  copied([&](Value y) { return conv(slice(y, {0, 0, 0, 0}, {2, 4, 4, 7}), weight({3, 3, 7, 2}), {}); });
  copied([&](Value y) {
    return conv(reshape(slice(y, {0, 0, 0, 0}, {2, 4, 4, 7}), {1, 8, 4, 7}), weight({1, 1, 7, 2}), {});
  });
  copied([&](Value y) {  // there need be no array of all sines
    return conv(slice(sin(y), {0, 0, 0, 0}, {2, 4, 4, 7}), weight({1, 1, 7, 2}), {});
  });
  copied([&](Value y) { return slice(y, {0, 0, 0, 0}, {2, 4, 4, 7}); });
}

// ---- faults -----------------------------------------------------------------------------------------------

// verify_plan must notice a part that lies anywhere else.
struct PartFaults : Parts {
  Plan good() {
    const Value first = branch(5), second = branch(5, 3);
    const Value all = joined({first, second, branch(4)});
    g.output("y", conv(all, weight({1, 1, 14, 4}), {}));
    g.output("z", conv(first, weight({1, 1, 5, 2}), {}));
    return plan();
  }
  template <class Fault>
  void expect_rejected(const char* what, const Fault& plant) {
    g = Graph("parts");
    x = g.input("x", {DType::f32, {2, 4, 4, 3}});
    Plan p = good();
    EXPECT_EQ(parts_written(p), 3) << print(p);
    for (ScheduledGroup& s : p.schedule) s.barrier_before = true;
    EXPECT_NO_THROW(verify_plan(p));
    plant(p);
    EXPECT_THROW(verify_plan(p), InternalError) << what << "\n" << print(p);
  }
};

TEST_F(PartFaults, AreSeen) {
  const auto written = [](Plan& p, std::size_t i) -> Location& { return p.schedule[i].output_locations[0]; };
  for (std::size_t i = 0; i < 3; i++) {
    for (std::int64_t shift : {-1, 1})
      expect_rejected("a part one element further", [&](Plan& p) { written(p, i).part->start[3] += shift; });
    expect_rejected("a part in the next row", [&](Plan& p) { written(p, i).part->start[2]++; });
    expect_rejected("a part that isn't one", [&](Plan& p) { written(p, i).part.reset(); });
    expect_rejected("a part elsewhere", [&](Plan& p) {
      written(p, i).offset += p.arena_bytes;
      p.arena_bytes *= 2;
    });
    expect_rejected("a part of something else",
                    [&](Plan& p) { written(p, i).part->whole = p.graph->inputs()[0]; });
    expect_rejected("a part of another rank", [&](Plan& p) { written(p, i).part->start.pop_back(); });
    expect_rejected("a group that is missing",
                    [&](Plan& p) { p.schedule.erase(p.schedule.begin() + static_cast<std::ptrdiff_t>(i)); });
  }
  expect_rejected("two parts exchanged",
                  [&](Plan& p) { std::swap(written(p, 0).part->start, written(p, 1).part->start); });
  expect_rejected("two parts on each other",
                  [&](Plan& p) { written(p, 1).part->start = written(p, 0).part->start; });
  expect_rejected("another part is read", [&](Plan& p) {
    for (ScheduledGroup& s : p.schedule)
      for (Location& l : s.input_locations)
        if (l.part) l.part->start[3] = 5;
  });
  expect_rejected("a part is read as if it were all", [&](Plan& p) {
    for (ScheduledGroup& s : p.schedule)
      for (Location& l : s.input_locations) l.part.reset();
  });
  expect_rejected("another array is written there meanwhile", [&](Plan& p) {
    std::swap(p.schedule[2], p.schedule[3]);
    p.schedule[2].output_locations[0] = {Space::arena, 0, p.schedule[0].output_locations[0].offset};
  });
}

TEST_F(PartFaults, EveryBarrierIsNeeded) {
  Plan p = good();
  int barriers = 0;
  for (ScheduledGroup& s : p.schedule) {
    if (!s.barrier_before) continue;
    barriers++;
    s.barrier_before = false;
    EXPECT_THROW(verify_plan(p), InternalError) << s.group.name;
    s.barrier_before = true;
  }
  EXPECT_GE(barriers, 1);
}

}  // namespace
}  // namespace kiln::graph::testing
