#pragma once
#include <kiln/kiln.h>

#include <cstdio>

#include "options.h"

/// Trains a classifier of ten classes on Fashion-MNIST and prints its accuracy on the test images. Options:
/// --epochs, --batch-size, --learning-rate, --train-samples, --test-samples, --save FILE.
inline void train_on_fashion_mnist(kiln::Model model, const Options& options, kiln::Optimizer optimizer,
                                   std::int64_t batch_size = 128) {
  using namespace kiln;
  auto [train, test] = datasets::fashion_mnist::load_data();
  const std::int64_t samples = options.number("train-samples", train.x.dim(0)),
                     tests = options.number("test-samples", test.x.dim(0));
  optimizer.set_learning_rate(options.real("learning-rate", optimizer.learning_rate()));
  model.summary();
  model.compile({.optimizer = optimizer,
                 .loss = losses::SparseCategoricalCrossentropy({.from_logits = true}),
                 .metrics = {"accuracy"}});
  model.fit(train.x.slice(0, samples), train.y.slice(0, samples),
            {.batch_size = options.number("batch-size", batch_size), .epochs = options.number("epochs", 10)});
  auto result = model.evaluate(test.x.slice(0, tests), test.y.slice(0, tests), {.batch_size = 64});
  std::printf("test accuracy %.4f\n", result["accuracy"]);
  if (const std::string file = options.text("save", ""); !file.empty()) model.save_weights(file);
}
