// A convolutional autoencoder on Fashion-MNIST: images through 32 numbers and back.
#include <kiln/kiln.h>

#include <cstdio>

#include "options.h"

using namespace kiln;
using namespace kiln::layers;

int main(int argc, char** argv) {
  const Options options(argc, argv);
  set_random_seed(1);
  auto [train, test] = datasets::fashion_mnist::load_data();
  const auto images = [](const Tensor& x) {
    Tensor scaled = x.astype(DType::f32);
    for (std::int64_t i = 0; i < scaled.size(); i++) scaled.data<float>()[i] /= 255;
    return scaled;
  };
  const Tensor x = images(train.x.slice(0, options.number("train-samples", train.x.dim(0)))),
               unseen = images(test.x.slice(0, options.number("test-samples", test.x.dim(0))));

  Sequential encoder({
      Input({28, 28, 1}),
      Conv2D(16, 3, {.strides = 2, .padding = "same", .activation = "relu"}),
      Conv2D(32, 3, {.strides = 2, .padding = "same", .activation = "relu"}),
      Flatten(),
      Dense(32, {.name = "code"}),
  });
  Sequential decoder({
      Input({32}),
      Dense(7 * 7 * 32, {.activation = "relu"}),
      Reshape({7, 7, 32}),
      Conv2DTranspose(16, 3, {.strides = 2, .padding = "same", .activation = "relu"}),
      Conv2DTranspose(1, 3, {.strides = 2, .padding = "same", .activation = "sigmoid"}),
  });
  Sequential model({encoder, decoder});
  model.compile({.optimizer = optimizers::Adam({.learning_rate = 1e-3}), .loss = "mse"});
  model.fit(x, x, {.batch_size = 128, .epochs = options.number("epochs", 10)});
  auto result = model.evaluate(unseen, unseen, {.batch_size = 256});
  std::printf("mean squared error %.4f\n", result["loss"]);
}
