#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "tests/graph/pass_testing.h"
#include "tests/support/lenet.h"
#include "tests/support/random_graph.h"

// verify_plan must reject what plan_memory would never make: each test plants one kind of fault in good
// plans.
namespace kiln::graph::testing {
namespace {

using Space = Location::Space;
using Fault = std::function<bool(Plan&)>;  // false: there is no place for the fault in this plan

void expect_rejected(Plan& plan, std::string_view what) {
  try {
    verify_plan(plan);
    ADD_FAILURE() << what << " is not seen in\n" << print(plan);
  } catch (const InternalError&) {
  }
}

Plan plan_of(std::int64_t seed) {
  return plan_unoptimized(std::move(*random_program(seed, {.ops = 30, .corners = true}).graph));
}

// Plants the fault in the plans of random graphs and of LeNet; all must be rejected, and there must be many.
void expect_caught(std::string_view what, const Fault& plant, int at_least = 20) {
  int planted = 0;
  for (std::int64_t seed = 0; seed < 150; seed++) {
    Plan plan = plan_of(seed);
    if (!plant(plan)) continue;
    planted++;
    expect_rejected(plan, what);
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GE(planted, at_least) << what;
  Plan lenet = compile_plan(lenet_training(8));
  if (plant(lenet)) expect_rejected(lenet, what);
}

std::int64_t bytes(Value v) {
  return v.shape().elements() * static_cast<std::int64_t>(size_of(v.dtype()));
}

TEST(PlanFaults, ADroppedBarrier) {
  // Every barrier of a plan is needed.
  for (std::int64_t seed = 0; seed < 60; seed++) {
    Plan plan = plan_of(seed);
    for (ScheduledGroup& s : plan.schedule) {
      if (!s.barrier_before) continue;
      const bool leave = s.leave_on_error;
      s.barrier_before = s.leave_on_error = false;
      expect_rejected(plan, "a dropped barrier before " + s.group.name);
      s.barrier_before = true;
      s.leave_on_error = leave;
    }
    verify_plan(plan);
    if (HasFailure()) return;
  }
}

TEST(PlanFaults, ABarrierThatDoesNotLookAtChecks) {
  expect_caught(
      "a state written before a check is known",
      [](Plan& plan) {
        for (ScheduledGroup& s : plan.schedule)
          if (s.leave_on_error) return s.leave_on_error = false, true;
        return false;
      },
      5);
}

// Arrays of the arena with the groups between writing and last reading, both included.
struct Life {
  int first, last;
  Location* written;
  std::int64_t size;
  Value elements;  // before any reshape
  std::vector<Location*> places;
};
Value before_reshapes(Value v) {
  while (v.node->op == Op::reshape) v = v.node->operand(0);
  return v;
}
std::vector<Life> lives(Plan& plan) {
  std::vector<Life> found;
  for (int g = 0; g < static_cast<int>(plan.schedule.size()); g++) {
    ScheduledGroup& s = plan.schedule[static_cast<std::size_t>(g)];
    // Before a group writes, what it reads was written earlier: the newest array at that place.
    for (Location& l : s.input_locations)
      for (auto life = found.rbegin(); life != found.rend(); ++life)
        if (l.space == Space::arena && *life->written == l) {
          life->last = g;
          life->places.push_back(&l);
          break;
        }
    for (std::size_t i = 0; i < s.output_locations.size(); i++)
      if (s.output_locations[i].space == Space::arena)
        found.push_back({g,
                         g,
                         &s.output_locations[i],
                         bytes(s.group.outputs[i]),
                         before_reshapes(s.group.outputs[i]),
                         {&s.output_locations[i]}});
  }
  return found;
}

TEST(PlanFaults, TwoLiveArraysThatOverlap) {
  expect_caught("overlapping arrays", [](Plan& plan) {
    std::vector<Life> all = lives(plan);
    for (Life& a : all)
      for (Life& b : all) {
        if (&a == &b || a.size == 0 || b.size == 0) continue;
        if (a.elements == b.elements) continue;  // two copies may lie on each other
        // b is written while a is still to be read: put it on a.
        if (!(a.first < b.first && b.first < a.last)) continue;
        const Location onto = *a.written;
        for (Location* l : b.places) *l = onto;
        plan.arena_bytes += b.size;
        for (ScheduledGroup& s : plan.schedule) s.barrier_before = true;  // not rejected for a barrier
        return true;
      }
    return false;
  });
}

TEST(PlanFaults, TwoOutputsOfAGroupThatOverlap) {
  expect_caught(
      "outputs on each other",
      [](Plan& plan) {
        for (ScheduledGroup& s : plan.schedule)
          for (std::size_t i = 1; i < s.output_locations.size(); i++)
            if (s.output_locations[i].space == Space::arena && s.output_locations[0].space == Space::arena &&
                bytes(s.group.outputs[i]) > 0 && bytes(s.group.outputs[0]) > 0) {
              s.output_locations[i] = s.output_locations[0];
              return true;
            }
        return false;
      },
      10);
}

TEST(PlanFaults, AnInputReadFromAnotherPlace) {
  expect_caught("a wrong place", [](Plan& plan) {
    for (ScheduledGroup& s : plan.schedule)
      for (std::size_t i = 0; i < s.input_locations.size(); i++)
        if (s.input_locations[i].space == Space::arena && bytes(s.group.inputs[i]) > 0 &&
            before_reshapes(s.group.inputs[i]).node->op != Op::state) {  // two copies may be neighbours
          s.input_locations[i].offset += 64;
          plan.arena_bytes += 64;
          return true;
        }
    return false;
  });
}

TEST(PlanFaults, GroupsInTheWrongOrder) {
  expect_caught("a reader before its writer", [](Plan& plan) {
    for (std::size_t g = 1; g < plan.schedule.size(); g++)
      for (const Value input : plan.schedule[g].group.inputs)
        for (const Value output : plan.schedule[g - 1].group.outputs)
          if (input == output && bytes(input) > 0) {
            std::swap(plan.schedule[g - 1], plan.schedule[g]);
            for (ScheduledGroup& s : plan.schedule) s.barrier_before = true;
            return true;
          }
    return false;
  });
}

TEST(PlanFaults, AnArrayOutsideTheArena) {
  expect_caught("outside the arena", [](Plan& plan) {
    for (const Life& life : lives(plan))
      if (life.size > 0 && life.written->offset + life.size > plan.arena_bytes - 64) {
        plan.arena_bytes = life.written->offset;
        return true;
      }
    return false;
  });
}

TEST(PlanFaults, AnOutputThatIsNeverWritten) {
  expect_caught("a lost output", [](Plan& plan) {
    for (ScheduledGroup& s : plan.schedule)
      for (std::size_t i = 0; i < s.output_locations.size(); i++)
        if (s.output_locations[i].space == Space::output && bytes(s.group.outputs[i]) > 0) {
          s.output_locations[i] = {Space::arena, 0, (plan.arena_bytes + 63) / 64 * 64};
          plan.arena_bytes = s.output_locations[i].offset + bytes(s.group.outputs[i]);
          for (ScheduledGroup& t : plan.schedule)
            for (std::size_t k = 0; k < t.input_locations.size(); k++)
              if (t.input_locations[k] == Location{Space::output, 0, 0}) return false;
          return true;
        }
    return false;
  });
}

TEST(PlanFaults, AStateUpdateThatIsLost) {
  expect_caught("a lost update", [](Plan& plan) {
    for (std::size_t g = 0; g < plan.schedule.size(); g++)
      for (std::size_t i = 0; i < plan.schedule[g].output_locations.size(); i++)
        if (plan.schedule[g].output_locations[i].space == Space::state &&
            plan.schedule[g].group.outputs.size() == 1 && bytes(plan.schedule[g].group.outputs[i]) > 0) {
          plan.schedule.erase(plan.schedule.begin() + static_cast<std::ptrdiff_t>(g));
          for (ScheduledGroup& s : plan.schedule) s.barrier_before = true;
          return true;
        }
    return false;
  });
}

TEST(PlanFaults, ACheckThatIsNotMade) {
  expect_caught("a lost check", [](Plan& plan) {
    for (auto s = plan.schedule.begin(); s != plan.schedule.end(); ++s)
      if (s->group.root && s->group.root->op == Op::check) return plan.schedule.erase(s), true;
    return false;
  });
}

TEST(PlanFaults, AnInputThatIsWritten) {
  expect_caught("a written input", [](Plan& plan) {
    for (ScheduledGroup& s : plan.schedule)
      for (Location& l : s.output_locations)
        if (l.space == Space::arena) return l = {Space::input, 0, 0}, true;
    return false;
  });
}

// The fault of a self-overwriting copy: case 1 of the known faults. The plan is right but for the place.
TEST(PlanFaults, AnInPlaceWriteThatIsReadAtOtherIndices) {
  const char* shifts[] = {
      "%2 = slice(%1) {start=[0], limit=[4], stride=[1]} : f32[4]\n  %3 = slice(%1) {start=[0], limit=[1], "
      "stride=[1]} : "
      "f32[1]\n  %4 = concatenate(%3, %2) {axis=0} : f32[5]",
      "%2 = slice(%1) {start=[1], limit=[5], stride=[1]} : f32[4]\n  %3 = slice(%1) {start=[4], limit=[5], "
      "stride=[1]} : "
      "f32[1]\n  %4 = concatenate(%2, %3) {axis=0} : f32[5]",
      "%4 = reverse(%1) {axes=[0]} : f32[5]",
      "%2 = reverse(%1) {axes=[0]} : f32[5]\n  %4 = add(%1, %2) : f32[5]",
  };
  for (const char* shift : shifts) {
    Graph g = parse(
        std::string("graph shift {\n  %0 = input \"x\" : f32[5]\n  %1 = cumsum(%0) {axis=0, exclusive=false, "
                    "reverse=false} : f32[5]\n  ") +
        shift +
        "\n  %5 = cumsum(%4) {axis=0, exclusive=false, reverse=false} : f32[5]\n  output \"y\" = %5\n}\n");
    Plan plan = plan_unoptimized(std::move(g));
    ASSERT_EQ(plan.schedule.size(), 3u) << print(plan);
    ScheduledGroup& moved = plan.schedule[1];
    ASSERT_EQ(moved.input_locations.size(), 1u);
    EXPECT_NE(moved.output_locations[0], moved.input_locations[0]) << print(plan);
    moved.output_locations[0] = moved.input_locations[0];
    plan.schedule[2].input_locations[0] = moved.input_locations[0];
    expect_rejected(plan, "a copy over itself");
  }
}

// The transformed weights are made once and read in every run; nothing else may lie there.
TEST(PlanFaults, APreparedArrayThatIsOverwritten) {
  Graph g("prepared");
  const Value x = g.input("x", {DType::f32, {64, 64}}), w = g.state("w", {DType::f32, {64, 64}});
  Value y = matmul(x, exp(w));
  for (int i = 0; i < 3; i++) y = matmul(y, y);
  g.output("y", y);
  Plan plan = plan_unoptimized(std::move(g));
  ASSERT_TRUE(plan.schedule[0].group.prepared) << print(plan);
  ASSERT_FALSE(plan.schedule[1].group.prepared) << print(plan);
  const Location kept = plan.schedule[0].output_locations[0];
  ScheduledGroup &writer = plan.schedule[2], &reader = plan.schedule[3];
  ASSERT_NE(writer.output_locations[0], kept) << "memory that must be kept is reused\n" << print(plan);
  writer.output_locations[0] = kept;
  for (Location& l : reader.input_locations) l = kept;
  expect_rejected(plan, "an overwritten prepared array");
}

// In the next run nothing writes a prepared array again, so not even what came before it may lie there.
TEST(PlanFaults, APreparedArrayWhoseMemoryWasUsedBefore) {
  Graph g("prepared");
  const Value x = g.input("x", {DType::f32, {64, 64}}), w = g.state("w", {DType::f32, {64, 64}});
  const Value early = matmul(x, sigmoid(x));
  g.output("y", matmul(matmul(early, early), exp(w)));
  Plan plan = plan_unoptimized(std::move(g));
  ASSERT_TRUE(plan.schedule[0].group.prepared) << print(plan);
  const Location kept = plan.schedule[0].output_locations[0];
  ScheduledGroup &sigmoid_of_x = plan.schedule[1], &product = plan.schedule[2];
  ASSERT_EQ(sigmoid_of_x.group.outputs.size(), 1u) << print(plan);
  for (std::size_t i = 0; i < product.input_locations.size(); i++)
    if (product.input_locations[i] == sigmoid_of_x.output_locations[0]) product.input_locations[i] = kept;
  sigmoid_of_x.output_locations[0] = kept;
  std::rotate(plan.schedule.begin(), plan.schedule.begin() + 1, plan.schedule.begin() + 3);
  for (ScheduledGroup& s : plan.schedule) s.barrier_before = true;
  expect_rejected(plan, "memory of a prepared array that an earlier group has written");
}

// Reshapes in a prepared group and behind it are views of one array.
TEST(PlanFaults, AReshapeOfAPreparedArrayIsPrepared) {
  Graph g("prepared");
  const Value x = g.input("x", {DType::f32, {8, 64}}), w = g.state("w", {DType::f32, {10, 10}});
  const Value v = g.state("v", {DType::f32, {64, 100}});
  const Value scale = broadcast(reshape(exp(w), {100}), {64, 100}, {1});
  g.output("y", matmul(x, v * scale));
  EXPECT_NO_THROW(plan_unoptimized(std::move(g)));
}

TEST(PlanFaults, APreparedGroupThatReadsAnInput) {
  Graph g("prepared");
  const Value x = g.input("x", {DType::f32, {64, 64}});
  g.output("y", matmul(x, exp(x)));
  Plan plan = plan_unoptimized(std::move(g));
  plan.schedule[0].group.prepared = true;
  expect_rejected(plan, "a prepared group that reads an input");
}

}  // namespace
}  // namespace kiln::graph::testing
