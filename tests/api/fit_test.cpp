// Training as a whole: losses fall, weights move as by hand, averages don't depend on the batch size.
#include <gtest/gtest.h>

#include <kiln/kiln.h>

namespace kiln {
namespace {

using namespace layers;

Sequential line(double weight) {
  return Sequential(
      {Input({1}), Dense(1, {.use_bias = false, .kernel_initializer = initializers::Constant(weight)})});
}

TEST(Fit, OneStepOfGradientDescentIsAsByHand) {
  Sequential model = line(2);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.1}), .loss = "mse"});
  // loss (2 x - y)^2 averaged over x = 1, 2 and y = 3, 1: (1 + 9) / 2; slope 2 (-1 * 1 + 3 * 2) / 2 = 5
  const Logs logs = model.train_on_batch(Tensor({1.f, 2.f}), Tensor({3.f, 1.f}));
  EXPECT_DOUBLE_EQ(logs["loss"], 5);
  EXPECT_FLOAT_EQ(model.get_weights()[0].item(), 1.5f);
}

TEST(Fit, EvaluateDoesNotDependOnTheBatchSize) {
  Sequential model = line(1);
  model.compile({.loss = "mse", .metrics = {"mse", "mae"}});
  const Tensor x({1.f, 2.f, 3.f, 4.f, 10.f});
  for (std::int64_t batch_size = 1; batch_size <= 6; batch_size++) {
    const Logs logs = model.evaluate(x, Tensor::zeros({5}), {.batch_size = batch_size, .verbose = 0});
    EXPECT_FLOAT_EQ(logs["loss"], 26);
    EXPECT_DOUBLE_EQ(logs["mse"], 26);
    EXPECT_DOUBLE_EQ(logs["mae"], 4);
  }
}

TEST(Fit, LearnsALine) {
  set_random_seed(1);
  Sequential model({Input({1}), Dense(1)});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.05}), .loss = "mse"});
  std::vector<float> x, y;
  for (int i = 0; i < 20; i++) {
    x.push_back(static_cast<float>(i) / 10 - 1);
    y.push_back(3 * x.back() - 2);
  }
  const History history = model.fit(x, y, {.batch_size = 8, .epochs = 100, .verbose = 0});
  EXPECT_EQ(history["loss"].size(), 100u);
  EXPECT_LT(history["loss"].back(), 1e-3);
  EXPECT_NEAR(model.get_weights()[0].item(), 3, 0.05);
  EXPECT_NEAR(model.get_weights()[1].item(), -2, 0.05);
  EXPECT_NEAR(model.predict(Tensor({2.f}), {.verbose = 0})(0, 0), 4, 0.1);
}

}  // namespace
}  // namespace kiln
