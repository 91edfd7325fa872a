// AlexNet (Krizhevsky et al. 2012) on Fashion-MNIST, enlarged to --size (224) pixels.
#include "fashion.h"

using namespace kiln;
using namespace kiln::layers;

int main(int argc, char** argv) {
  const Options options(argc, argv);
  const std::int64_t size = options.number("size", 224);
  set_random_seed(1);
  Sequential model({
      Input({28, 28, 1}),
      Rescaling(1.0 / 255),
      Resizing(size, size),
      Conv2D(96, 11, {.strides = 4, .activation = "relu"}),
      MaxPooling2D(3, {.strides = 2}),
      Conv2D(256, 5, {.padding = "same", .activation = "relu"}),
      MaxPooling2D(3, {.strides = 2}),
      Conv2D(384, 3, {.padding = "same", .activation = "relu"}),
      Conv2D(384, 3, {.padding = "same", .activation = "relu"}),
      Conv2D(256, 3, {.padding = "same", .activation = "relu"}),
      MaxPooling2D(3, {.strides = 2}),
      Flatten(),
      Dense(4096, {.activation = "relu"}),
      Dropout(0.5),
      Dense(4096, {.activation = "relu"}),
      Dropout(0.5),
      Dense(10),
  });
  train_on_fashion_mnist(model, options, optimizers::SGD({.learning_rate = 0.01}));
}
