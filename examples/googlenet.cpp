// GoogLeNet (Szegedy et al. 2015, Inception v1) on Fashion-MNIST enlarged to --size (96) pixels.
#include "fashion.h"

using namespace kiln;
using namespace kiln::layers;

namespace {

struct Filters {
  std::int64_t one, three_in, three, five_in, five, pool;
};

SymbolicTensor conv(const SymbolicTensor& x, std::int64_t filters, std::int64_t kernel,
                    std::int64_t strides = 1) {
  return Conv2D(filters, kernel, {.strides = strides, .padding = "same", .activation = "relu"})(x);
}
SymbolicTensor shrink(const SymbolicTensor& x) {
  return MaxPooling2D(3, {.strides = 2, .padding = "same"})(x);
}
/// Four branches that see different windows of x, side by side.
SymbolicTensor inception(const SymbolicTensor& x, const Filters& f) {
  const SymbolicTensor one = conv(x, f.one, 1), three = conv(conv(x, f.three_in, 1), f.three, 3),
                       five = conv(conv(x, f.five_in, 1), f.five, 5),
                       pooled = conv(MaxPooling2D(3, {.strides = 1, .padding = "same"})(x), f.pool, 1);
  return Concatenate()({one, three, five, pooled});
}

}  // namespace

int main(int argc, char** argv) {
  const Options options(argc, argv);
  const std::int64_t size = options.number("size", 96);
  set_random_seed(1);
  const auto image = Input({28, 28, 1});
  SymbolicTensor x = Resizing(size, size)(Rescaling(1.0 / 255)(image));
  x = shrink(conv(x, 64, 7, 2));
  x = shrink(conv(conv(x, 64, 1), 192, 3));
  x = inception(x, {64, 96, 128, 16, 32, 32});
  x = shrink(inception(x, {128, 128, 192, 32, 96, 64}));
  x = inception(x, {192, 96, 208, 16, 48, 64});
  x = inception(x, {160, 112, 224, 24, 64, 64});
  x = inception(x, {128, 128, 256, 24, 64, 64});
  x = inception(x, {112, 144, 288, 32, 64, 64});
  x = shrink(inception(x, {256, 160, 320, 32, 128, 128}));
  x = inception(x, {256, 160, 320, 32, 128, 128});
  x = inception(x, {384, 192, 384, 48, 128, 128});
  const Model model(
      {.inputs = {image}, .outputs = {Dense(10)(GlobalAveragePooling2D()(x))}, .name = "googlenet"});
  train_on_fashion_mnist(model, options, optimizers::Adam({.learning_rate = 1e-3}));
}
