#include "tests/bench/networks.h"

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
                     .kernel_initializer = next_kernel()})(x);
    if (op == "max_pool")
      return MaxPooling2D(layer["size"].get<std::int64_t>(),
                          {.strides = Size2(layer["strides"].get<std::int64_t>()), .padding = padding})(x);
    if (op == "inception") return inception(layer["filters"], x);
    if (op == "flatten") return Flatten()(x);
    if (op == "global_average_pool") return GlobalAveragePooling2D()(x);
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

  Initializer next_kernel() {
    return Initializer(std::make_shared<HashedGlorot>(name_ + "/layer" + std::to_string(++number_)));
  }

  std::string name_;
  bool dropout_;
  int number_ = 0;
};

}  // namespace

Shape input_shape(const std::string& name) {
  return Shape(network(name)["input"].get<std::vector<std::int64_t>>());
}

Model make_network(const std::string& name, bool dropout) {
  const SymbolicTensor x = Input(input_shape(name));
  const SymbolicTensor y = Builder(name, dropout).chain(network(name)["layers"], x);
  return Model({.inputs = {x}, .outputs = {y}});
}

}  // namespace kiln::bench
