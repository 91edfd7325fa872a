#include "tests/bench/networks.h"

#include <algorithm>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/support/hash_data.h"

namespace kiln::bench {
namespace {

using namespace kiln::layers;
using Json = nlohmann::json;

const Json& networks() {
  static const Json all = [] {
    std::ifstream file(KILN_BENCH_NETWORKS);
    if (!file) throw FileError("can't read " KILN_BENCH_NETWORKS);
    return Json::parse(file);
  }();
  return all;
}

const Json& network(const std::string& name) {
  if (!networks().contains(name)) throw ValueError("there is no network \"" + name + "\"");
  return networks()[name];
}

/// Adds a weight for each place.
struct Positions : LayerImpl {
  explicit Positions(Initializer initializer) : initializer(std::move(initializer)) {}
  void build(const Shape& input) override {
    places = add_weight({.name = "places", .shape = input.tail(), .initializer = initializer});
  }
  graph::Value call(Call& call, graph::Value x) override { return x + call(places); }
  Initializer initializer;
  Variable places;
};

struct HashedGlorot : InitializerImpl {
  explicit HashedGlorot(std::string tag) : tag(std::move(tag)) {}
  Tensor operator()(const Shape& shape, DType dtype) const override {
    return testing::hash_glorot(tag, shape, dtype);
  }
  std::string tag;
};

class Builder {
 public:
  Builder(std::string name, bool dropout) : name_(std::move(name)), dropout_(dropout) {}

  SymbolicTensor chain(const Json& layers, SymbolicTensor x) {
    for (const Json& layer : layers) x = apply(layer, x);
    return x;
  }

 private:
  SymbolicTensor apply(const Json& layer, const SymbolicTensor& x) {
    const std::string op = layer["op"];
    const std::string activation = layer.value("activation", "linear"),
                      padding = layer.value("padding", "valid");
    if (op == "dense")
      return Dense(layer["units"], {.activation = activation, .kernel_initializer = next_kernel()})(x);
    if (op == "conv")
      return Conv2D(layer["filters"], layer["kernel"].get<std::int64_t>(),
                    {.strides = layer.value("strides", std::int64_t{1}),
                     .padding = padding,
                     .activation = activation,
                     .use_bias = layer.value("bias", true),
                     .kernel_initializer = next_kernel()})(x);
    if (op == "conv_transpose")
      return Conv2DTranspose(layer["filters"], layer["kernel"].get<std::int64_t>(),
                             {.strides = layer["strides"].get<std::int64_t>(),
                              .padding = "same",
                              .activation = activation,
                              .kernel_initializer = next_kernel()})(x);
    if (op == "batch_norm") return Activation(activation)(BatchNormalization()(x));
    if (op == "layer_norm") return LayerNormalization()(x);
    if (op == "positions") return make_layer<Positions>(next_kernel())(x);
    if (op == "max_pool")
      return MaxPooling2D(layer["size"].get<std::int64_t>(),
                          {.strides = Size2(layer["strides"].get<std::int64_t>()), .padding = padding})(x);
    if (op == "inception") return inception(layer["filters"], x);
    if (op == "residual") return residual(layer["filters"], layer["strides"], x);
    if (op == "transformer") return transformer(layer, x);
    if (op == "flatten") return Flatten()(x);
    if (op == "reshape") return Reshape(Shape(layer["shape"].get<std::vector<std::int64_t>>()))(x);
    if (op == "global_average_pool") return GlobalAveragePooling2D()(x);
    if (op == "average_tokens") return GlobalAveragePooling1D()(x);
    if (op == "dropout") return dropout_ ? Dropout(layer["rate"])(x) : x;
    throw ValueError("networks.json: unknown op \"" + op + "\"");
  }

  /// 1x1; 1x1, 3x3; 1x1, 5x5; pooling, 1x1.
  SymbolicTensor inception(const Json& filters, const SymbolicTensor& x) {
    const auto conv = [&](std::size_t i, std::int64_t kernel, const SymbolicTensor& input) {
      return Conv2D(filters[i], kernel,
                    {.padding = "same", .activation = "relu", .kernel_initializer = next_kernel()})(input);
    };
    const SymbolicTensor a = conv(0, 1, x);
    const SymbolicTensor b = conv(2, 3, conv(1, 1, x));
    const SymbolicTensor c = conv(4, 5, conv(3, 1, x));
    const SymbolicTensor d = conv(5, 1, MaxPooling2D(3, {.strides = Size2(1), .padding = "same"})(x));
    return Concatenate()({a, b, c, d});
  }

  /// Two 3x3 convolutions and, where strides change the shape, a 1x1 convolution beside them.
  SymbolicTensor residual(std::int64_t filters, std::int64_t strides, const SymbolicTensor& x) {
    const auto normed = [&](std::int64_t kernel, std::int64_t strides, const SymbolicTensor& input) {
      const Layer conv = Conv2D(
          filters, kernel,
          {.strides = strides, .padding = "same", .use_bias = false, .kernel_initializer = next_kernel()});
      return BatchNormalization()(conv(input));
    };
    const SymbolicTensor y = normed(3, 1, ReLU()(normed(3, strides, x)));
    return ReLU()(Add()({y, strides > 1 ? normed(1, strides, x) : x}));
  }

  /// Attention, then two dense layers, both behind a normalization and added to what comes in.
  SymbolicTensor transformer(const Json& layer, const SymbolicTensor& x) {
    const std::int64_t width = layer["width"];
    const double rate = dropout_ ? layer["rate"].get<double>() : 0;
    const SymbolicTensor y = Add()({x, attention(width, layer["heads"], rate, LayerNormalization()(x))});
    const auto dense = [&](std::int64_t units, const char* activation, const SymbolicTensor& input) {
      return Dense(units, {.activation = activation, .kernel_initializer = next_kernel()})(input);
    };
    const SymbolicTensor z = dense(width, "linear", dense(2 * width, "gelu", LayerNormalization()(y)));
    return Add()({y, rate > 0 ? Dropout(rate)(z) : z});
  }

  /// The peers project to queries, keys and values by one kernel, whose columns are those of our three.
  SymbolicTensor attention(std::int64_t width, std::int64_t heads, double rate, const SymbolicTensor& x) {
    Layer layer = MultiHeadAttention(heads, width / heads, {.dropout = rate});
    const SymbolicTensor y = layer({x, x});
    std::vector<Tensor> weights = layer.get_weights();  // a kernel and a bias for each projection
    const Tensor projections = testing::hash_glorot(next_tag(), {width, 3 * width});
    for (std::int64_t part = 0; part < 3; part++)
      for (std::int64_t row = 0; row < width; row++)
        std::copy_n(projections.data<float>() + (3 * row + part) * width, width,
                    weights[2 * part].data<float>() + row * width);
    weights[6] = testing::hash_glorot(next_tag(), {width, width}).reshape(weights[6].shape());
    layer.set_weights(weights);
    return y;
  }

  std::string next_tag() { return name_ + "/layer" + std::to_string(++number_); }
  Initializer next_kernel() { return Initializer(std::make_shared<HashedGlorot>(next_tag())); }

  std::string name_;
  bool dropout_;
  int number_ = 0;
};

}  // namespace

Shape input_shape(const std::string& name) {
  return Shape(network(name)["input"].get<std::vector<std::int64_t>>());
}

bool returns_input(const std::string& name) {
  return network(name).value("loss", "") == "mse";
}

Model make_network(const std::string& name, bool dropout) {
  const SymbolicTensor x = Input(input_shape(name));
  const SymbolicTensor y = Builder(name, dropout).chain(network(name)["layers"], x);
  return Model({.inputs = {x}, .outputs = {y}});
}

}  // namespace kiln::bench
