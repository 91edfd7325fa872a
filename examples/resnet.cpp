// ResNet-18 (He et al. 2016) with batch normalization, on Fashion-MNIST enlarged to --size (96) pixels.
#include "fashion.h"

using namespace kiln;
using namespace kiln::layers;

namespace {

SymbolicTensor convolution(const SymbolicTensor& x, std::int64_t filters, std::int64_t kernel,
                           std::int64_t strides) {
  const Conv2DArgs args{
      .strides = strides, .padding = "same", .use_bias = false, .kernel_initializer = "he_normal"};
  return BatchNormalization()(Conv2D(filters, kernel, args)(x));
}
/// Two convolutions, and what comes in added to what they give.
SymbolicTensor residual(const SymbolicTensor& x, std::int64_t filters, std::int64_t strides) {
  SymbolicTensor y = ReLU()(convolution(x, filters, 3, strides));
  y = convolution(y, filters, 3, 1);
  const bool same = strides == 1 && x.shape().back() == filters;
  return ReLU()(Add()({y, same ? x : convolution(x, filters, 1, strides)}));
}

}  // namespace

int main(int argc, char** argv) {
  const Options options(argc, argv);
  const std::int64_t size = options.number("size", 96);
  set_random_seed(1);
  const auto image = Input({28, 28, 1});
  SymbolicTensor x = Resizing(size, size)(Rescaling(1.0 / 255)(image));
  x = ReLU()(convolution(x, 64, 7, 2));
  x = MaxPooling2D(3, {.strides = 2, .padding = "same"})(x);
  for (const std::int64_t filters : {64, 128, 256, 512}) {
    x = residual(x, filters, filters == 64 ? 1 : 2);
    x = residual(x, filters, 1);
  }
  const Model model(
      {.inputs = {image}, .outputs = {Dense(10)(GlobalAveragePooling2D()(x))}, .name = "resnet18"});
  train_on_fashion_mnist(model, options, optimizers::Adam({.learning_rate = 1e-3}));
}
