// The same weights, the same batches, the same steps as real Keras in float64 (tests/golden/README.md): losses of
// twenty steps, and every variable's update after the first and after the last.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <kiln/kiln.h>

#include <algorithm>
#include <cmath>

#include "tests/support/golden.h"
#include "tests/support/faulty_sgd.h"
#include "tests/support/hash_data.h"

namespace kiln::testing {
namespace {

using namespace kiln::layers;

constexpr int steps = 20, batch_size = 32;

struct Case {
  std::string model, optimizer;
  double bound;  ///< of an update's relative error
};
void PrintTo(const Case& c, std::ostream* os) { *os << c.model << "_" << c.optimizer; }

Sequential make_model(const std::string& name) {
  if (name == "mlp")
    return Sequential({Input({28, 28, 1}), Flatten(), Dense(256, {.activation = "relu", .name = "dense"}),
                       Dense(10, {.name = "dense_1"})});
  return Sequential({
      Input({28, 28, 1}),
      Conv2D(6, 5, {.padding = "same", .activation = "sigmoid", .name = "conv2d"}),
      MaxPooling2D(2),
      Conv2D(16, 5, {.activation = "sigmoid", .name = "conv2d_1"}),
      MaxPooling2D(2),
      Flatten(),
      Dense(120, {.activation = "sigmoid", .name = "dense"}),
      Dense(84, {.activation = "sigmoid", .name = "dense_1"}),
      Dense(10, {.name = "dense_2"}),
  });
}

Optimizer make_optimizer(const std::string& name) {
  if (name == "sgd") return optimizers::SGD({.learning_rate = 0.2});
  if (name == "momentum") return optimizers::SGD({.learning_rate = 0.1, .momentum = 0.9});
  if (name == "nesterov") return optimizers::SGD({.learning_rate = 0.1, .momentum = 0.9, .nesterov = true});
  if (name == "rmsprop") return optimizers::RMSprop({.learning_rate = 1e-3});
  if (name == "adagrad") return optimizers::Adagrad({.learning_rate = 1e-2});
  return optimizers::Adam({.learning_rate = 1e-3});
}

/// "conv2d/kernel" and the like, in the order of the model's weights.
std::vector<std::string> weight_names(const Model& model) {
  std::vector<std::string> names;
  for (const Layer& layer : model.layers())
    for (const Variable& weight : layer.weights()) names.push_back(layer.name() + "/" + weight.name());
  return names;
}

std::vector<Tensor> initial_weights(const Model& model, const std::string& model_name) {
  const std::vector<std::string> names = weight_names(model);
  std::vector<Tensor> weights = model.get_weights();
  for (std::size_t i = 0; i < weights.size(); i++)
    weights[i] = names[i].ends_with("kernel") ? hash_glorot(model_name + "/" + names[i], weights[i].shape())
                                              : Tensor(weights[i].shape());
  return weights;
}

Tensor batch_images(const Golden& golden, int step) {
  Tensor images(Shape{batch_size, 28, 28, 1});
  for (int row = 0; row < batch_size; row++) {
    const int attempt = static_cast<int>(golden["attempts"](step, row));
    const Tensor image = hash_uniform(fmt::format("images/{}/{}/{}", step, row, attempt), {28, 28, 1});
    std::copy_n(image.data<float>(), image.size(), images[row].data<float>());
  }
  return images;
}

struct Training {
  std::vector<double> losses;
  std::vector<Tensor> start, first, last;  ///< weights before the first step, after it, and after the last
  std::vector<std::string> names;
};

Training train(const std::string& model_name, Optimizer optimizer, const Golden& golden, int count) {
  Sequential model = make_model(model_name);
  model.compile({.optimizer = optimizer,
                 .loss = losses::SparseCategoricalCrossentropy({.from_logits = true})});
  model.set_weights(initial_weights(model, model_name));
  Training result{.losses = {}, .start = model.get_weights(), .first = {}, .last = {}, .names = weight_names(model)};
  for (int step = 0; step < count; step++) {
    model.reset_metrics();
    const Tensor labels = hash_labels(fmt::format("labels/{}", step), {batch_size}, 10);
    result.losses.push_back(model.train_on_batch(batch_images(golden, step), labels)["loss"]);
    if (step == 0) result.first = model.get_weights();
  }
  result.last = model.get_weights();
  return result;
}

/// Names of the variables whose update after `step` (1 or 20) is further from Keras's than `bound`.
std::vector<std::string> wrong_updates(const Training& training, int step, const Golden& golden, double bound) {
  std::vector<std::string> wrong;
  for (std::size_t i = 0; i < training.names.size(); i++) {
    const Tensor& after = step == 1 ? training.first[i] : training.last[i];
    const double error = update_error(training.start[i], after, golden,
                                      fmt::format("step{}/{}", step, training.names[i]));
    if (!(error <= bound)) wrong.push_back(fmt::format("{} after step {}: {:.1e}", training.names[i], step, error));
  }
  return wrong;
}

std::string file_name(const Case& c) { return "training_" + c.model + "_" + c.optimizer; }

class GoldenTraining : public ::testing::TestWithParam<Case> {};

TEST_P(GoldenTraining, IsKerass) {
  const Case& c = GetParam();
  const Golden golden(file_name(c));
  const Training training = train(c.model, make_optimizer(c.optimizer), golden, steps);
  ASSERT_EQ(training.names.size(), c.model == "mlp" ? 4u : 10u);
  for (int step = 0; step < steps; step++) {
    const double expected = golden["losses"](step);
    EXPECT_NEAR(training.losses[static_cast<std::size_t>(step)], expected, 1e-4 * expected) << "step " << step;
  }
  EXPECT_EQ(wrong_updates(training, 1, golden, c.bound), std::vector<std::string>{});
  EXPECT_EQ(wrong_updates(training, steps, golden, c.bound), std::vector<std::string>{});
}

constexpr double tight = 1e-3;
constexpr double adaptive = 1e-2;  // dividing by the gradient's own size amplifies its rounding
INSTANTIATE_TEST_SUITE_P(
    Optimizers, GoldenTraining,
    ::testing::Values(Case{"mlp", "sgd", tight}, Case{"mlp", "momentum", tight}, Case{"mlp", "nesterov", tight},
                      Case{"mlp", "rmsprop", adaptive}, Case{"mlp", "adagrad", adaptive},
                      Case{"mlp", "adam", adaptive}, Case{"lenet", "sgd", tight}, Case{"lenet", "momentum", tight},
                      Case{"lenet", "nesterov", tight}, Case{"lenet", "rmsprop", adaptive},
                      Case{"lenet", "adagrad", adaptive}, Case{"lenet", "adam", adaptive}),
    [](const auto& info) { return info.param.model + "_" + info.param.optimizer; });

class FaultyGradient : public ::testing::TestWithParam<std::string> {};

/// The comparison above finds any one gradient that is zeroed or doubled, and nothing else.
TEST_P(FaultyGradient, IsFoundAfterOneStep) {
  const std::string& model = GetParam();
  const Golden golden("training_" + model + "_sgd");
  const std::size_t weights = model == "mlp" ? 4 : 10;
  for (std::size_t i = 0; i < weights; i++) {
    for (double factor : {0.0, 2.0}) {
      const Training training = train(model, Optimizer(std::make_shared<FaultySGD>(0.2, i, factor)), golden, 1);
      const std::vector<std::string> wrong = wrong_updates(training, 1, golden, tight);
      ASSERT_EQ(wrong.size(), 1u) << training.names[i] << " times " << factor;
      EXPECT_TRUE(wrong[0].starts_with(training.names[i])) << wrong[0];
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Models, FaultyGradient, ::testing::Values("mlp", "lenet"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace kiln::testing
