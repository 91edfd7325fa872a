#include "tests/embedded/models.h"

#include <kiln/kiln.h>

namespace kiln::testing {

using namespace kiln::layers;

Model mlp() {
  set_random_seed(1);
  return Sequential({Input({64}), Dense(32, {.activation = "relu"}),
                     Dense(10, {.activation = "softmax", .name = "scores"})});
}

Model lenet() {
  return lenet_with("relu");
}

Model lenet_with(const std::string& activation) {
  set_random_seed(1);
  return Sequential({Input({28, 28, 1}), Conv2D(6, 5, {.padding = "same", .activation = activation}),
                     MaxPooling2D(2), Conv2D(16, 5, {.activation = activation}), MaxPooling2D(2), Flatten(),
                     Dense(120, {.activation = activation}), Dense(84, {.activation = activation}),
                     Dense(10, {.name = "scores"})});
}

// A small depthwise-separable network, as microcontrollers run them.

Model depthwise() {
  set_random_seed(1);
  std::vector<Layer> layers = {Input({32, 32, 3}), Rescaling(1.0 / 255),
                               Conv2D(8, 3, {.strides = 2, .padding = "same"}), BatchNormalization(), ReLU()};
  for (const std::int64_t filters : {16, 24}) {
    layers.push_back(
        DepthwiseConv2D(3, {.strides = filters == 24 ? 2 : 1, .padding = "same", .use_bias = false}));
    layers.push_back(BatchNormalization());
    layers.push_back(ReLU({.max_value = 6}));
    layers.push_back(Conv2D(filters, 1, {.activation = "sigmoid"}));
  }
  layers.push_back(GlobalAveragePooling2D());
  layers.push_back(Dense(10, {.activation = "softmax", .name = "scores"}));
  return Sequential(layers);
}

// A quarter of VGG-11's channels.

Model vgg() {
  set_random_seed(1);
  std::vector<Layer> layers = {Input({32, 32, 1})};
  for (const auto& [convolutions, filters] : {std::pair(1, 16), {1, 32}, {2, 64}, {2, 128}, {2, 128}}) {
    for (int i = 0; i < convolutions; i++)
      layers.push_back(Conv2D(filters, 3, {.padding = "same", .activation = "relu"}));
    layers.push_back(MaxPooling2D(2));
  }
  for (const Layer& layer :
       {Flatten(), Dense(256, {.activation = "relu"}), Dropout(0.5), Dense(10, {.name = "scores"})})
    layers.push_back(layer);
  return Sequential(layers);
}

// One of GoogLeNet's blocks: four branches, concatenated.

Model inception() {
  set_random_seed(1);
  const auto conv = [](std::int64_t filters, std::int64_t kernel) {
    return Conv2D(filters, kernel, {.padding = "same", .activation = "relu"});
  };
  const auto x = Input({14, 14, 48});
  const auto joined = Concatenate()({conv(24, 1)(x), conv(32, 3)(conv(16, 1)(x)), conv(8, 5)(conv(4, 1)(x)),
                                     conv(8, 1)(MaxPooling2D(3, {.strides = 1, .padding = "same"})(x))});
  return Model({.inputs = {x}, .outputs = {Dense(10, {.name = "scores"})(GlobalAveragePooling2D()(joined))}});
}

// Words by number: gathers, and a check of the numbers.

Model embedding() {
  set_random_seed(1);
  return Sequential({Input({12}, {.dtype = DType::i32}), Embedding(7, 5),
                     Conv1D(8, 3, {.activation = "tanh"}), GlobalMaxPooling1D(),
                     Dense(3, {.activation = "softmax", .name = "scores"})});
}

// Layers of few kinds and many sizes.

Model tower() {
  set_random_seed(1);
  std::vector<Layer> layers = {Input({16, 16, 3}), Conv2D(8, 3, {.padding = "same", .activation = "relu"})};
  for (const std::int64_t filters : {16, 24, 32, 40}) {
    layers.push_back(DepthwiseConv2D(3, {.padding = "same", .use_bias = false}));
    layers.push_back(BatchNormalization());
    layers.push_back(ReLU());
    layers.push_back(Conv2D(filters, 1, {.activation = "relu"}));
    if (filters % 16 == 0) layers.push_back(MaxPooling2D(2));
  }
  layers.push_back(Flatten());
  for (const std::int64_t units : {60, 48, 36, 20}) layers.push_back(Dense(units, {.activation = "relu"}));
  layers.push_back(Dense(10, {.activation = "softmax", .name = "scores"}));
  return Sequential(layers);
}

// Functions before the pooling, and behind it.

Model averages() {
  set_random_seed(1);
  return Sequential({Input({16, 15, 2}), Conv2D(7, 3, {.activation = "sigmoid"}), AveragePooling2D(2),
                     Conv2D(19, 2, {.activation = "tanh"}), MaxPooling2D(2), Flatten(),
                     Dense(10, {.name = "scores"})});
}

// Large layers, of whose inputs half are zero.

Model wide() {
  set_random_seed(1);
  return Sequential({Input({100}), Dense(600, {.activation = "relu"}), Dense(300, {.activation = "sigmoid"}),
                     Dense(10, {.name = "scores"})});
}

static constexpr Case all_cases[] = {{"mlp", mlp, true},
                                     {"lenet", lenet, true},
                                     {"depthwise", depthwise, true},
                                     {"embedding", embedding, true},
                                     {"tower", tower, true},
                                     {"averages", averages, true},
                                     {"vgg", vgg, false},
                                     {"inception", inception, false},
                                     {"wide", wide, false}};

constinit const std::span<const Case> cases = all_cases;

Tensor random_input(const Model& model, std::int64_t rows) {
  Shape shape = model.input().shape();
  shape[0] = rows;
  const bool whole = !is_float(model.input().dtype());
  return initializers::RandomUniform({.minval = whole ? 0.0 : -1.0, .maxval = whole ? 7.0 : 1.0, .seed = 5})(
             shape, DType::f32)
      .astype(model.input().dtype());
}

}  // namespace kiln::testing
