// LeNet on Fashion-MNIST, with sigmoids as in 1998, or `--activation relu`.
#include <kiln/kiln.h>

#include <cstdio>

#include "options.h"

using namespace kiln;
using namespace kiln::layers;

int main(int argc, char** argv) {
  const Options options(argc, argv);
  const std::string activation = options.text("activation", "sigmoid");
  set_random_seed(1);
  auto [train, test] = datasets::fashion_mnist::load_data();
  const std::int64_t samples = options.number("train-samples", train.x.dim(0));

  Sequential model({
      Input({28, 28, 1}),
      Rescaling(1.0 / 255),
      Conv2D(6, 5, {.padding = "same", .activation = activation}),
      MaxPooling2D(2),
      Conv2D(16, 5, {.activation = activation}),
      MaxPooling2D(2),
      Flatten(),
      Dense(120, {.activation = activation}),
      Dense(84, {.activation = activation}),
      Dense(10),
  });
  model.summary();
  // Sigmoids pass small gradients on and want larger steps than relu.
  model.compile({.optimizer = optimizers::Adam({.learning_rate = activation == "relu" ? 1e-3 : 5e-3}),
                 .loss = losses::SparseCategoricalCrossentropy({.from_logits = true}),
                 .metrics = {"accuracy"}});
  model.fit(train.x.slice(0, samples), train.y.slice(0, samples),
            {.batch_size = 128, .epochs = options.number("epochs", 10)});

  auto result = model.evaluate(test.x, test.y, {.batch_size = 500});
  std::printf("test accuracy %.4f\n", result["accuracy"]);
  model.save_weights(options.text("save", "lenet.safetensors"));
}
