// A small vision transformer (Dosovitskiy et al. 2020) on Fashion-MNIST: images as sequences of 7 x 7
// patches.
#include "fashion.h"

using namespace kiln;
using namespace kiln::layers;

namespace {

/// Adds a weight for each place, as attention itself doesn't see where a patch comes from.
struct Positions : LayerImpl {
  Variable places;
  void build(const Shape& input) override {
    places = add_weight({.name = "places",
                         .shape = input.tail(),
                         .initializer = initializers::RandomNormal({.stddev = 0.02})});
  }
  graph::Value call(Call& call, graph::Value x) override { return x + call(places); }
};

SymbolicTensor block(const SymbolicTensor& x, std::int64_t width, std::int64_t heads) {
  const SymbolicTensor seen = LayerNormalization()(x);
  const SymbolicTensor y =
      Add()({x, MultiHeadAttention(heads, width / heads, {.dropout = 0.1})({seen, seen})});
  const SymbolicTensor wide = Dense(2 * width, {.activation = "gelu"})(LayerNormalization()(y));
  return Add()({y, Dropout(0.1)(Dense(width)(wide))});
}

}  // namespace

int main(int argc, char** argv) {
  const Options options(argc, argv);
  constexpr std::int64_t width = 64, patch = 7, patches = (28 / patch) * (28 / patch);
  set_random_seed(1);
  const auto image = Input({28, 28, 1});
  SymbolicTensor x = Conv2D(width, patch, {.strides = patch})(Rescaling(1.0 / 255)(image));
  x = make_layer<Positions>()(Reshape({patches, width})(x));
  for (int i = 0; i < 4; i++) x = block(x, width, 4);
  x = GlobalAveragePooling1D()(LayerNormalization()(x));
  const Model model({.inputs = {image}, .outputs = {Dense(10)(x)}, .name = "vision_transformer"});
  train_on_fashion_mnist(model, options, optimizers::Adam({.learning_rate = 1e-3}));
}
