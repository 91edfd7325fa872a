// VGG-11 (Simonyan and Zisserman 2014) in blocks, on Fashion-MNIST enlarged to --size (224) pixels; --width 4
// makes all layers a quarter as wide.
#include "fashion.h"

using namespace kiln;
using namespace kiln::layers;

int main(int argc, char** argv) {
  const Options options(argc, argv);
  const std::int64_t size = options.number("size", 224), divisor = options.number("width", 4);
  set_random_seed(1);
  Sequential model({Input({28, 28, 1}), Rescaling(1.0 / 255), Resizing(size, size)});

  struct Block {
    int convolutions;
    std::int64_t filters;
  };
  for (const Block& block : {Block{1, 64}, Block{1, 128}, Block{2, 256}, Block{2, 512}, Block{2, 512}}) {
    for (int i = 0; i < block.convolutions; i++)
      model.add(Conv2D(block.filters / divisor, 3, {.padding = "same", .activation = "relu"}));
    model.add(MaxPooling2D(2));
  }
  model.add(Flatten());
  for (int i = 0; i < 2; i++) {
    model.add(Dense(4096 / (2 * divisor), {.activation = "relu"}));
    model.add(Dropout(0.5));
  }
  model.add(Dense(10));
  train_on_fashion_mnist(model, options, optimizers::Adam({.learning_rate = 3e-4}));
}
