// A multilayer perceptron, 784-256-10, on Fashion-MNIST.
#include <kiln/kiln.h>

#include <cstdio>

#include "options.h"

using namespace kiln;
using namespace kiln::layers;

int main(int argc, char** argv) {
  const Options options(argc, argv);
  set_random_seed(1);
  auto [train, test] = datasets::fashion_mnist::load_data();
  const std::int64_t samples = options.number("train-samples", train.x.dim(0));

  Sequential model({
      Input({28, 28, 1}),
      Rescaling(1.0 / 255),
      Flatten(),
      Dense(256, {.activation = "relu"}),
      Dense(10),
  });
  model.summary();
  model.compile({.optimizer = optimizers::Adam(),
                 .loss = losses::SparseCategoricalCrossentropy({.from_logits = true}),
                 .metrics = {"accuracy"}});
  model.fit(train.x.slice(0, samples), train.y.slice(0, samples),
            {.batch_size = 128, .epochs = options.number("epochs", 10)});

  auto result = model.evaluate(test.x, test.y, {.batch_size = 500});
  std::printf("test accuracy %.4f\n", result["accuracy"]);
}
