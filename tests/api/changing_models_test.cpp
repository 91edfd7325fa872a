// Models that change between calls, and threads that use one model.
#include <gtest/gtest.h>
#include <kiln/kiln.h>

#include <atomic>
#include <thread>

#include "tests/api/background.h"
#include "tests/support/errors.h"

namespace kiln {
namespace {

using callbacks::LambdaCallback;
using layers::Dense;
using layers::Input;
using layers::Rescaling;
using testing::Background;

Tensor ones(Shape shape) {
  return Tensor::full(std::move(shape), 1);
}

TEST(ChangingModels, LayersAddedAfterAPrediction) {
  Sequential model({Input({4}), Dense(512)});
  EXPECT_EQ(model.predict(ones({64, 4}), {.verbose = 0}).shape(), (Shape{64, 512}));
  model.add(Dense(1));
  EXPECT_EQ(model.predict(ones({64, 4}), {.verbose = 0}).shape(), (Shape{64, 1}));
}

TEST(ChangingModels, EvaluationFollowsAddAndPop) {
  Sequential model({Input({1}), Dense(1, {.kernel_initializer = "ones"})});
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const Tensor x = Tensor::full({3, 1}, 4), y = Tensor::zeros({3, 1});
  EXPECT_EQ(model.evaluate(x, y, {.verbose = 0})["loss"], 16);
  model.add(Rescaling(10));
  EXPECT_EQ(model.evaluate(x, y, {.verbose = 0})["loss"], 1600);
  model.pop();
  EXPECT_EQ(model.evaluate(x, y, {.verbose = 0})["loss"], 16);
}

TEST(ChangingModels, ALayerThatDoesNotFitLeavesTheModelAsItWas) {
  Sequential model({Input({4}), Dense(3)});
  EXPECT_THROW(model.add(layers::Conv2D(1, 3)), ShapeError);
  EXPECT_EQ(model.predict(ones({2, 4}), {.verbose = 0}).shape(), (Shape{2, 3}));
}

TEST(ChangingModels, TheOrderOfWeightsDoesNotDependOnWhatIsFrozen) {
  Sequential model({Input({2}), Dense(2, {.kernel_initializer = "ones", .name = "first"}),
                    Dense(2, {.kernel_initializer = "zeros", .name = "second"})});
  const std::vector<Tensor> weights = model.get_weights();
  model.get_layer("first").set_trainable(false);
  model.set_weights(weights);
  EXPECT_EQ(model.get_layer("first").get_weights()[0](0, 0), 1);
  EXPECT_EQ(model.get_layer("second").get_weights()[0](0, 0), 0);
  EXPECT_EQ(model.weights()[0].name(), "kernel");
  EXPECT_EQ(model.trainable_weights().size(), 2u);
  EXPECT_EQ(model.non_trainable_weights().size(), 2u);
}

TEST(ChangingModels, FreezingInACallbackWaitsForTheNextFit) {
  for (bool validate : {false, true}) {
    Sequential model({Input({1}), Dense(1, {.kernel_initializer = "ones"})});
    model.compile({.optimizer = "sgd", .loss = "mse"});
    std::vector<double> kernel;
    LambdaCallback freeze({.on_epoch_end = [&](std::int64_t, const Logs&) {
      model.get_layer(0).set_trainable(false);
      kernel.push_back(model.get_layer(0).get_weights()[0].item());
    }});
    FitArgs args{.epochs = 3, .verbose = 0, .callbacks = {freeze}};
    if (validate) args.validation_data = {ones({2, 1}), Tensor::zeros({2, 1})};
    model.fit(ones({2, 1}), Tensor::zeros({2, 1}), args);
    EXPECT_GT(kernel[0], kernel[1]) << validate;
    EXPECT_GT(kernel[1], kernel[2]) << validate;
    model.fit(ones({2, 1}), Tensor::zeros({2, 1}), {.verbose = 0});
    EXPECT_EQ(model.get_layer(0).get_weights()[0].item(), kernel[2]);
  }
}

TEST(ChangingModels, WhatFitWorksWithCannotBeReplacedInACallback) {
  Sequential model({Input({1}), Dense(1)});
  const CompileArgs args{.optimizer = "sgd", .loss = "mse"};
  model.compile(args);
  const auto fit_with = [&](const std::function<void()>& action) {
    LambdaCallback callback({.on_epoch_end = [&](std::int64_t, const Logs&) { action(); }});
    model.fit(ones({2, 1}), ones({2, 1}), {.verbose = 0, .callbacks = {callback}});
  };
  EXPECT_THROW(fit_with([&] { model.compile(args); }), StateError);
  EXPECT_THROW(fit_with([&] { model.add(Dense(1)); }), StateError);
  EXPECT_THROW(fit_with([&] { model.pop(); }), StateError);
  model.compile(args);  // afterwards it can
  fit_with([] {});
}

TEST(ChangingModels, EmptyHandlesAreErrors) {
  Model empty;
  EXPECT_THROW(empty.get_weights(), StateError);
  EXPECT_THROW(empty.count_params(), StateError);
  EXPECT_THROW(empty.summary(), StateError);
  EXPECT_THROW(Layer().name(), StateError);
  EXPECT_THROW(SymbolicTensor().shape(), StateError);
  EXPECT_THROW(SymbolicTensor().layer(), StateError);
  EXPECT_THROW(Variable().name(), StateError);
  EXPECT_THROW(Variable().value(), StateError);
  EXPECT_THROW(Variable().assign(ones({1})), StateError);
  EXPECT_THROW(Loss()(ones({1}), ones({1})), StateError);
  EXPECT_THROW(Metric(std::shared_ptr<const MetricImpl>()), StateError);
  EXPECT_THROW(Initializer(std::shared_ptr<const InitializerImpl>()), StateError);
  EXPECT_THROW(Optimizer(std::shared_ptr<OptimizerImpl>()), StateError);
  EXPECT_THROW(Metric("accuracy")(Tensor::scalar(1), Tensor::scalar(1)), ShapeError);
  Sequential moved({Input({4}), Dense(1)});
  Sequential target = std::move(moved);
  EXPECT_THROW(moved.name(), StateError);         // NOLINT: what a moved-from model does is the point
  EXPECT_THROW(moved.add(Dense(1)), StateError);  // NOLINT
  EXPECT_THROW(Sequential({Input({4}), Layer()}), StateError);
  target.compile({.optimizer = "sgd", .loss = "mse"});
  EXPECT_THROW(
      target.fit(ones({2, 4}), ones({2, 1}), {.verbose = 0, .callbacks = {std::shared_ptr<Callback>()}}),
      StateError);
}

TEST(ModelThreads, TrainingGetsItsTurnBesidePredictions) {
  Sequential model({Input({64}), Dense(64), Dense(1)});
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const Tensor x = ones({256, 64});
  model.predict(x, {.verbose = 0});
  const Background predicting(4, [&] { model.predict(x, {.verbose = 0}); });
  const History history = model.fit(x, ones({256, 1}), {.epochs = 5, .verbose = 0});
  EXPECT_EQ(history.epoch.size(), 5u);
}

TEST(ModelThreads, PredictionsSeeAllWeightsOrNone) {
  Sequential model({Input({64}), Dense(64, {.use_bias = false}), Dense(1, {.use_bias = false})});
  std::vector<Tensor> zeros, all_ones;
  for (const Tensor& w : model.get_weights()) {
    zeros.push_back(Tensor::zeros(w.shape()));
    all_ones.push_back(ones(w.shape()));
  }
  model.set_weights(zeros);
  const Background setting(1, [&] {
    model.set_weights(all_ones);
    model.set_weights(zeros);
  });
  for (int i = 0; i < 2000; i++) {
    const double y = model.predict(ones({1, 64}), {.verbose = 0}).item();
    ASSERT_TRUE(y == 0 || y == 64 * 64) << y;
  }
}

TEST(ModelThreads, TheFirstPredictionsBuildAModelOnce) {
  for (int i = 0; i < 10; i++) {
    Sequential model({Dense(600), Dense(600), Dense(3)});
    std::atomic<int> waiting = 4;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++)
      threads.emplace_back([&] {
        waiting--;
        while (waiting > 0) {
        }
        model.predict(ones({2, 5}), {.verbose = 0});
      });
    for (std::thread& t : threads) t.join();
    EXPECT_EQ(model.count_params(), 5 * 600 + 600 + 600 * 600 + 600 + 600 * 3 + 3);
  }
}

}  // namespace
}  // namespace kiln
