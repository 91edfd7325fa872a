// The networks of the books, read from what Keras's to_json gives, against ten steps of real Keras in float64
// from the same weights and batches (tests/golden/README.md): losses, and every variable's update.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <kiln/kiln.h>

#include "tests/support/faulty_sgd.h"
#include "tests/support/golden.h"
#include "tests/support/hash_data.h"

namespace kiln::testing {
namespace {

constexpr int steps = 10;

struct Network {
  std::string name, json;
  std::int64_t batch_size = 0;
  double learning_rate = 0;
};
void PrintTo(const Network& n, std::ostream* os) {
  *os << n.name;
}

std::vector<Network> networks() {
  std::vector<Network> all;
  for (const auto& entry : golden_index("networks", "networks"))
    all.push_back({entry["name"], entry["json"], entry["batch_size"], entry["learning_rate"]});
  return all;
}

struct Training {
  std::vector<double> losses;
  std::vector<Tensor> start, first, last;  ///< weights before the first step, after it, and after the last
  std::vector<Variable> weights;
};

/// What `to_json` gave, with all layers of this type.
std::string with_type(std::string json, DType dtype) {
  static const std::string standard = "float32";
  for (std::size_t at = 0; (at = json.find(standard, at)) != std::string::npos; at += name(dtype).size())
    json.replace(at, standard.size(), name(dtype));
  return json;
}

Training train(const Network& network, Optimizer optimizer, int count, DType dtype) {
  Model model = model_from_json(with_type(network.json, dtype));
  model.compile(
      {.optimizer = optimizer, .loss = losses::SparseCategoricalCrossentropy({.from_logits = true})});
  Training result{
      .losses = {}, .start = model.get_weights(), .first = {}, .last = {}, .weights = model.weights()};
  for (std::size_t i = 0; i < result.weights.size(); i++)
    if (result.weights[i].name() == "kernel")
      result.start[i] = hash_glorot(fmt::format("{}/{}", network.name, i), result.start[i].shape(), dtype);
  model.set_weights(result.start);
  Shape batch = model.inputs()[0].shape();
  batch[0] = network.batch_size;
  for (int step = 0; step < count; step++) {
    model.reset_metrics();
    result.losses.push_back(
        model.train_on_batch(hash_uniform(fmt::format("images/{}", step), batch, dtype),
                             hash_labels(fmt::format("labels/{}", step), {network.batch_size}, 10))["loss"]);
    if (step == 0) result.first = model.get_weights();
  }
  result.last = model.get_weights();
  return result;
}

/// Places and names of the variables whose update after `step` (1 or 10) is further from Keras's than a
/// hundredth of its norm.
std::vector<std::string> wrong_updates(const Training& training, int step, const Golden& golden,
                                       const std::string& network, double bound) {
  std::vector<std::string> wrong;
  for (std::size_t i = 0; i < training.weights.size(); i++) {
    const Tensor& after = step == 1 ? training.first[i] : training.last[i];
    const double error =
        update_error(training.start[i], after, golden, fmt::format("{}/step{}/{}", network, step, i));
    if (!(error <= bound))
      wrong.push_back(fmt::format("{} {} after step {}: {:.1e}", i, training.weights[i].name(), step, error));
  }
  return wrong;
}

class GoldenNetworks : public ::testing::TestWithParam<Network> {};

TEST_P(GoldenNetworks, TrainAsKeras) {
  const Network& network = GetParam();
  const Golden golden("networks");
  const Training training =
      train(network, optimizers::SGD({.learning_rate = network.learning_rate}), steps, DType::f64);
  const Tensor& expected = golden[network.name + "/losses"];
  for (int step = 0; step < steps; step++)
    EXPECT_NEAR(training.losses[static_cast<std::size_t>(step)], expected(step), 1e-7 * expected(step))
        << "step " << step;
  EXPECT_EQ(wrong_updates(training, 1, golden, network.name, 1e-6), std::vector<std::string>{});
  EXPECT_EQ(wrong_updates(training, steps, golden, network.name, 1e-5), std::vector<std::string>{});
}

/// In float32, a pooling window or a relu that rounding decides otherwise moves single gradients by a
/// hundredth, and steps carry that on: so one step is compared.
TEST_P(GoldenNetworks, TakeTheFirstStepAsKerasInFloat32) {
  const Network& network = GetParam();
  const Golden golden("networks");
  const Training training =
      train(network, optimizers::SGD({.learning_rate = network.learning_rate}), 1, DType::f32);
  EXPECT_NEAR(training.losses[0], golden[network.name + "/losses"](0), 1e-5);
  EXPECT_EQ(wrong_updates(training, 1, golden, network.name, 3e-2), std::vector<std::string>{});
}

/// The comparison finds a gradient that is zeroed, and nothing else.
TEST_P(GoldenNetworks, AZeroedGradientIsFound) {
  const Network& network = GetParam();
  const Golden golden("networks");
  std::size_t kernels = 0, faulty = 0;  // the third kernel
  const Model model = model_from_json(network.json);
  const std::vector<Variable> weights = model.trainable_weights();
  for (faulty = 0; faulty < weights.size(); faulty++)
    if (weights[faulty].name() == "kernel" && ++kernels == 3) break;
  const Training training = train(
      network, Optimizer(std::make_shared<FaultySGD>(network.learning_rate, faulty, 0.0)), 1, DType::f64);
  const std::vector<std::string> wrong = wrong_updates(training, 1, golden, network.name, 1e-6);
  ASSERT_EQ(wrong.size(), 1u) << ::testing::PrintToString(wrong);
  EXPECT_NE(wrong[0].find("kernel"), std::string::npos) << wrong[0];
}

INSTANTIATE_TEST_SUITE_P(Books, GoldenNetworks, ::testing::ValuesIn(networks()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace kiln::testing
