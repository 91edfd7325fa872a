#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/graph/pass_testing.h"
#include "tests/support/lenet.h"

namespace kiln::graph::testing {
namespace {

using Space = Location::Space;

int states_written(const ScheduledGroup& s) {
  return static_cast<int>(std::count_if(s.output_locations.begin(), s.output_locations.end(),
                                        [](const Location& l) { return l.space == Space::state; }));
}

TEST(LeNetPlan, FusionNeedsFarFewerKernelsThanThereAreNodes) {
  const Plan separate = compile_plan(lenet_training(128), {.fuse = false});
  const Plan fused = compile_plan(lenet_training(128));
  EXPECT_GT(separate.schedule.size(), 200u);
  EXPECT_LE(fused.schedule.size(), 46u);
}

TEST(LeNetPlan, ArenaIsSmallerThanTheSumOfIntermediates) {
  const Plan plan = compile_plan(lenet_training(128));
  EXPECT_GT(plan.intermediate_bytes, 0);
  EXPECT_LT(plan.arena_bytes, plan.intermediate_bytes * 7 / 10);
  // Every activation that the backward pass reads must be there at once: the larger convolution's result, its
  // gradient.
  const std::int64_t conv1 = 128 * 28 * 28 * 6 * 4;
  EXPECT_GT(plan.arena_bytes, 2 * conv1);
}

TEST(LeNetPlan, AdamUpdatesEachWeightInTheKernelOfItsGradient) {
  const Plan plan = compile_plan(lenet_training(128));
  int updates = 0;
  for (const ScheduledGroup& s : plan.schedule) {
    const int states = states_written(s);
    if (states == 0) continue;
    if (states == 1) {  // the step counter, the accuracy
      EXPECT_EQ(s.group.space, Shape{}) << s.group.name;
      continue;
    }
    // Weight, momentum and velocity, after the product or sum that gives the gradient.
    EXPECT_EQ(states, 3) << s.group.name;
    EXPECT_EQ(s.group.outputs.size(), 3u) << s.group.name;
    ASSERT_NE(s.group.root, nullptr) << s.group.name;
    updates++;
  }
  EXPECT_EQ(updates, 10);
}

TEST(LeNetPlan, ActivationsAreEpiloguesOfProducts) {
  for (int variant = 0; variant < 3; variant++) {
    const bool relu = variant == 1;
    const Plan plan = compile_plan(variant < 2 ? lenet_training(32, relu) : lenet_inference(32));
    int epilogues = 0;
    for (const ScheduledGroup& s : plan.schedule)
      for (const Node* n : s.group.nodes)
        if (n->op == (relu ? Op::maximum : Op::sigmoid)) {
          ASSERT_NE(s.group.root, nullptr) << s.group.name;
          const Op root = s.group.root->op;
          // Where relu's gradient keeps what it is computed of, the pooling computes it from that.
          EXPECT_TRUE(root == Op::conv || root == Op::conv_batch_last || root == Op::winograd_conv ||
                      root == Op::dot || (relu && root == Op::window_max))
              << s.group.name;
          epilogues++;
        }
    EXPECT_EQ(epilogues, 4);
  }
}

TEST(LeNetPlan, LabelsAreCheckedBeforeAnyStateIsWritten) {
  const Plan plan = compile_plan(lenet_training(128));
  bool checked = false, left = false;
  for (const ScheduledGroup& s : plan.schedule) {
    checked |= s.group.root && s.group.root->op == Op::check;
    left |= s.leave_on_error;
    if (states_written(s) > 0) {
      EXPECT_TRUE(checked && left) << s.group.name;
    }
  }
  EXPECT_TRUE(left);
}

std::vector<Tensor> random_states(const Graph& g) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> small(-0.1f, 0.1f);
  std::vector<Tensor> states;
  for (const StateSlot& slot : g.states()) {
    Tensor t(slot.current.shape(), slot.current.dtype());
    const bool velocity = slot.name.ends_with("/velocity");
    if (t.dtype() == DType::f32)
      for (std::int64_t i = 0; i < t.size(); i++) {
        const float x = small(random);
        t.data<float>()[i] = velocity ? x * x : x;
      }
    states.push_back(t);
  }
  return states;
}

TEST(LeNetPlan, OneStepGivesWhatTheGraphMeans) {
  const Graph g = lenet_training(3);
  Tensor images({3, 28, 28, 1}, DType::u8), labels({3}, DType::i32);
  for (std::int64_t i = 0; i < images.size(); i++)
    images.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(i * i % 251);
  for (int i = 0; i < 3; i++) labels.data<std::int32_t>()[i] = 3 * i;
  const std::vector<Tensor> states = random_states(g);
  const InterpreterResult expected = interpret(g, std::vector<Tensor>{images, labels}, states);
  const Plan plan = compile_plan(g);
  const PlanInterpreter got(plan, {images, labels}, states);
  EXPECT_NEAR(got.outputs()[0].item(), expected.outputs[0].item(), 1e-5);
  for (std::size_t i = 0; i < states.size(); i++) {
    const auto a = got.states()[i].to_vector<double>(), b = expected.states[i].to_vector<double>();
    for (std::size_t k = 0; k < a.size(); k++)
      ASSERT_NEAR(a[k], b[k], 2e-5) << g.states()[i].name << " element " << k;
  }
}

}  // namespace
}  // namespace kiln::graph::testing
