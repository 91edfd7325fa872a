// Every layer of tests/golden/layers.json: its output and its gradients with respect to inputs and weights are those
// of real Keras in float64.
#include <gtest/gtest.h>
#include <kiln/kiln.h>

#include "api/model/step.h"
#include "kiln/graph/gradient.h"
#include "tests/support/golden.h"
#include "tests/support/hash_data.h"

namespace kiln::testing {
namespace {

using namespace kiln::layers;
using nlohmann::json;

// Of the norm of Keras's result. Kiln computes in float32: some roundings of 6e-8 each.
constexpr double bound = 2e-6;

Size2 size2(const json& config, const char* key, Size2 standard) {
  if (!config.contains(key)) return standard;
  return {config[key][0].get<std::int64_t>(), config[key][1].get<std::int64_t>()};
}

Layer make_conv2d(const json& c) {
  return Conv2D(c.at("filters"), size2(c, "kernel_size", 1),
                {.strides = size2(c, "strides", 1),
                 .padding = c.value("padding", "valid"),
                 .dilation_rate = size2(c, "dilation_rate", 1),
                 .groups = c.value("groups", 1),
                 .activation = c.value("activation", "linear"),
                 .use_bias = c.value("use_bias", true)});
}

Pooling2DArgs pooling(const json& c) {
  Pooling2DArgs args{.padding = c.value("padding", "valid")};
  if (c.contains("strides")) args.strides = size2(c, "strides", 1);
  return args;
}

Layer make_relu(const json& c) {
  ReLUArgs args{.negative_slope = c.value("negative_slope", 0.0), .threshold = c.value("threshold", 0.0)};
  if (c.contains("max_value")) args.max_value = c["max_value"].get<double>();
  return ReLU(args);
}

std::function<graph::Value(graph::Value)> golden_activation(const std::string& name, const json& arguments) {
  using namespace activations;
  const auto number = [&](const char* key, double standard) { return arguments.value(key, standard); };
  const int axis = arguments.value("axis", -1);
  if (name == "relu") {
    activations::ReLUArgs args{.negative_slope = number("negative_slope", 0), .threshold = number("threshold", 0)};
    if (arguments.contains("max_value")) args.max_value = number("max_value", 0);
    return [=](graph::Value x) { return relu(x, args); };
  }
  const double slope = number("negative_slope", 0.2), alpha = number("alpha", 1), b = number("b", 4),
               bound = number("threshold", 0.5), otherwise = number("default_value", 0);
  const bool approximate = arguments.value("approximate", false);
  if (name == "leaky_relu") return [=](graph::Value x) { return leaky_relu(x, {.negative_slope = slope}); };
  if (name == "elu") return [=](graph::Value x) { return elu(x, {.alpha = alpha}); };
  if (name == "celu") return [=](graph::Value x) { return celu(x, {.alpha = alpha}); };
  if (name == "squareplus") return [=](graph::Value x) { return squareplus(x, {.b = b}); };
  if (name == "gelu") return [=](graph::Value x) { return gelu(x, {.approximate = approximate}); };
  if (name == "hard_shrink") return [=](graph::Value x) { return hard_shrink(x, {.threshold = bound}); };
  if (name == "soft_shrink") return [=](graph::Value x) { return soft_shrink(x, {.threshold = bound}); };
  if (name == "threshold") return [=](graph::Value x) { return threshold(x, bound, otherwise); };
  if (name == "glu") return [=](graph::Value x) { return glu(x, {.axis = axis}); };
  if (name == "softmax") return [=](graph::Value x) { return softmax(x, {.axis = axis}); };
  if (name == "log_softmax") return [=](graph::Value x) { return log_softmax(x, {.axis = axis}); };
  throw ValueError("tests/golden/layers.json has an activation that this test doesn't know: " + name);
}

Layer make_golden_layer(const std::string& kind, const json& c) {
  if (kind == "Dense")
    return Dense(c.at("units"), {.activation = c.value("activation", "linear"), .use_bias = c.value("use_bias", true)});
  if (kind == "Conv2D") return make_conv2d(c);
  if (kind == "MaxPooling2D") return MaxPooling2D(size2(c, "pool_size", 2), pooling(c));
  if (kind == "AveragePooling2D") return AveragePooling2D(size2(c, "pool_size", 2), pooling(c));
  if (kind == "GlobalAveragePooling2D") return GlobalAveragePooling2D({.keepdims = c.value("keepdims", false)});
  if (kind == "Flatten") return Flatten();
  if (kind == "Reshape") return Reshape(to_shape(c.at("target_shape")));
  if (kind == "Rescaling") return Rescaling(c.at("scale").get<double>(), {.offset = c.at("offset")});
  if (kind == "Add") return Add();
  if (kind == "Permute") return Permute(c.at("dims").get<std::vector<std::int64_t>>());
  if (kind == "RepeatVector") return RepeatVector(c.at("n"));
  if (kind == "Identity") return Identity();
  if (kind == "LeakyReLU") return LeakyReLU({.negative_slope = c.value("negative_slope", 0.3)});
  if (kind == "ELU") return ELU({.alpha = c.value("alpha", 1.0)});
  if (kind == "Subtract") return Subtract();
  if (kind == "Multiply") return Multiply();
  if (kind == "Average") return Average();
  if (kind == "Maximum") return Maximum();
  if (kind == "Minimum") return Minimum();
  if (kind == "Concatenate") return Concatenate({.axis = c.value("axis", -1)});
  if (kind == "Softmax") return Softmax({.axis = c.value("axis", -1)});
  if (kind == "ReLU") return make_relu(c);
  if (c.contains("arguments")) return Activation(golden_activation(c.at("activation"), c.at("arguments")));
  if (kind == "Activation") return Activation(c.at("activation").get<std::string>());
  throw ValueError("tests/golden/layers.json has a layer that this test doesn't know: " + kind);
}

Tensor input_data(const std::string& tag, const Shape& shape, const std::string& kind) {
  if (kind == "ties") return hash_tensor(tag, shape, DType::f32, [](double u) { return std::floor(3 * u); });
  return hash_signed(tag, shape, kind == "wide" ? 8 : 1);
}

class GoldenLayer : public ::testing::TestWithParam<json> {};

TEST_P(GoldenLayer, IsKerass) {
  const json& c = GetParam();
  const Golden golden("layers");
  const std::string name = c.at("name");
  const Layer layer = make_golden_layer(c.at("layer"), c.at("config"));

  // Weights by the formula.
  std::vector<Shape> shapes;
  for (const json& shape : c.at("input_shapes")) {
    shapes.push_back(to_shape(shape));
    shapes.back()[0] = None;
  }
  layer.impl().ensure_built(shapes);
  const std::vector<Variable> weights = layer.weights();
  ASSERT_EQ(weights.size(), c.at("weights").size());
  for (Variable w : weights) {
    ASSERT_EQ(w.shape(), to_shape(c.at("weights").at(w.name()))) << w.name();
    w.assign(hash_signed(name + "/" + w.name(), w.shape(), 0.5));
  }

  // One graph: output, and gradients of sum(output * cotangent).
  graph::Graph graph(name);
  Call call(graph, /*training=*/true);
  std::vector<Tensor> inputs;
  std::vector<graph::Value> xs, wrt;
  std::vector<std::string> names = {name + "/output"};
  for (std::size_t i = 0; i < shapes.size(); i++) {
    const std::string tag = name + "/input" + std::to_string(i);
    inputs.push_back(input_data(tag, to_shape(c.at("input_shapes")[i]), c.at("inputs")));
    xs.push_back(graph.input(tag, {DType::f32, inputs.back().shape()}));
    wrt.push_back(xs.back());
    names.push_back(tag + "/gradient");
  }
  const graph::Value output = layer.impl().emit(call, xs).at(0);
  for (const Variable& w : weights) {
    wrt.push_back(call(w));
    names.push_back(name + "/" + w.name() + "/gradient");
  }
  ASSERT_EQ(output.shape(), golden[names[0]].shape());
  const graph::Value cotangent = graph::constant(graph, hash_signed(name + "/cotangent", output.shape()));
  graph.output(names[0], output);
  const std::vector<graph::Value> gradients = graph::gradient(output, wrt, cotangent);
  for (std::size_t i = 0; i < gradients.size(); i++) graph.output(names[i + 1], gradients[i]);

  std::vector<Tensor> results;
  std::vector<void*> in, out;
  for (Tensor& t : inputs) in.push_back(t.raw());
  for (const graph::Output& o : graph.outputs()) results.emplace_back(o.value.shape(), o.value.dtype());
  for (Tensor& t : results) out.push_back(t.raw());
  internal::Step(std::move(graph), call.storage()).run(in.data(), out.data());

  for (std::size_t i = 0; i < names.size(); i++)
    EXPECT_LE(relative_error(results[i], golden[names[i]]), bound)
        << names[i] << "\n got " << results[i] << "\n expected " << golden[names[i]];
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenLayer, ::testing::ValuesIn(golden_index("layers")),
                         [](const auto& info) { return info.param.at("name").template get<std::string>(); });

}  // namespace
}  // namespace kiln::testing
