// Network in network (Lin et al. 2013) on Fashion-MNIST enlarged to --size (224) pixels: 1 x 1 convolutions
// instead of dense layers, and a channel for each class at the end.
#include "fashion.h"

using namespace kiln;
using namespace kiln::layers;

int main(int argc, char** argv) {
  const Options options(argc, argv);
  const std::int64_t size = options.number("size", 224);
  set_random_seed(1);
  Sequential model({Input({28, 28, 1}), Rescaling(1.0 / 255), Resizing(size, size)});

  const auto block = [&](std::int64_t filters, std::int64_t kernel, std::int64_t strides,
                         const char* padding) {
    model.add(Conv2D(filters, kernel, {.strides = strides, .padding = padding, .activation = "relu"}));
    model.add(Conv2D(filters, 1, {.activation = "relu"}));
    model.add(Conv2D(filters, 1, {.activation = "relu"}));
  };
  block(96, 11, 4, "valid");
  model.add(MaxPooling2D(3, {.strides = 2}));
  block(256, 5, 1, "same");
  model.add(MaxPooling2D(3, {.strides = 2}));
  block(384, 3, 1, "same");
  model.add(MaxPooling2D(3, {.strides = 2}));
  model.add(Dropout(0.5));
  block(10, 3, 1, "same");
  model.add(GlobalAveragePooling2D());
  train_on_fashion_mnist(model, options, optimizers::Adam({.learning_rate = 1e-3}));
}
