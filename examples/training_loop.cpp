// A training loop of one's own, on Fashion-MNIST: what `fit` does, written out. Each step is a function over
// symbolic tensors, which becomes one compiled program: forward pass, gradients, update, metrics.
#include <kiln/kiln.h>

#include <algorithm>
#include <cstdio>

#include "options.h"

using namespace kiln;
using namespace kiln::layers;
using graph::Value;

int main(int argc, char** argv) {
  const Options options(argc, argv);
  set_random_seed(1);
  auto [train, test] = datasets::fashion_mnist::load_data();
  const std::int64_t samples = options.number("train-samples", train.x.dim(0)), batch = 128;

  Sequential model({
      Input({28, 28, 1}),
      Rescaling(1.0 / 255),
      Conv2D(16, 3, {.strides = 2, .activation = "relu"}),
      Conv2D(32, 3, {.strides = 2, .activation = "relu"}),
      Flatten(),
      Dropout(0.2),
      Dense(10, {.kernel_regularizer = regularizers::L2(1e-4)}),
  });
  const Optimizer optimizer = optimizers::Adam({.learning_rate = 2e-3});
  const Loss crossentropy = losses::SparseCategoricalCrossentropy({.from_logits = true});
  const Metric loss_mean = metrics::Mean(), accuracy = metrics::SparseCategoricalAccuracy();

  const auto train_step = function(
      [&](Call& call, Value x, Value y) {
        const Value logits = model(call, x);
        Value loss = crossentropy(y, logits);
        for (const Value penalty : model.losses(call)) loss = loss + penalty;
        const auto weights = model.trainable_weights();
        optimizer.apply(call, gradient(call, loss, weights), weights);
        loss_mean.update_state(call, loss);
        accuracy.update_state(call, y, logits);
      },
      {.name = "train_step", .training = true});
  const auto test_step =
      function([&](Call& call, Value x, Value y) { accuracy.update_state(call, y, model(call, x)); });

  for (int epoch = 1; epoch <= options.number("epochs", 5); epoch++) {
    for (std::int64_t i = 0; i < samples; i += batch) {
      const std::int64_t end = std::min(i + batch, samples);
      train_step(train.x.slice(i, end), train.y.slice(i, end));
    }
    std::printf("epoch %d: loss %.4f, accuracy %.4f\n", epoch, loss_mean.result(), accuracy.result());
    loss_mean.reset_state();
    accuracy.reset_state();
  }
  for (std::int64_t i = 0; i < test.x.dim(0); i += 500)
    test_step(test.x.slice(i, i + 500), test.y.slice(i, i + 500));
  std::printf("test accuracy %.4f\n", accuracy.result());
}
