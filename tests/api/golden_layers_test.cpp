// Every case of the files of tests/golden that hold layers: the layer, made from Keras's arguments, has the output and
// the gradients with respect to inputs and weights of real Keras in float64.
#include <gtest/gtest.h>
#include <kiln/kiln.h>

#include <set>

#include "api/model/step.h"
#include "kiln/graph/gradient.h"
#include "tests/support/coverage.h"
#include "tests/support/golden.h"
#include "tests/support/hash_data.h"

namespace kiln::testing {
namespace {

using namespace kiln::layers;
using nlohmann::json;

// Of the norm of Keras's result. Kiln computes in float32: some roundings of 6e-8 each. Attention takes a softmax of
// sums of products, and Keras on JAX itself computes it in float32 (the gradient of the keys' bias, which is 0, comes
// out as 1e-8).
double bound(const std::string& kind) {
  return kind.find("Attention") == std::string::npos ? 2e-6 : 1e-5;
}
// What is as good as 0 is compared with this instead of with its own norm.
constexpr double least_norm = 0.01;

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
  if (c.contains("arguments")) return Activation(golden_activation(c.at("activation"), c.at("arguments")));
  return from_config(kind, Config::from_json(c.dump()));
}

Tensor input_data(const std::string& tag, const Shape& shape, const std::string& kind) {
  if (kind == "ids") return hash_labels(tag, shape, 3);
  if (kind == "ties") return hash_tensor(tag, shape, DType::f32, [](double u) { return std::floor(3 * u); });
  if (kind == "numbers") return hash_tensor(tag, shape, DType::f32, [](double u) { return std::floor(5 * u); });
  if (kind == "zeros") return hash_tensor(tag, shape, DType::f32, [](double u) { return std::floor(3 * u) - 1; });
  return hash_signed(tag, shape, kind == "wide" ? 8 : 1);
}

// All cases, each with the name of its file.
std::vector<json> layer_cases() {
  std::vector<json> all;
  for (const char* file : {"layers", "normalization", "preprocessing", "spatial", "structure"})
    for (json c : golden_index(file, "layers")) {
      c["file"] = file;
      all.push_back(std::move(c));
    }
  return all;
}

// As weight_names in tests/golden/layer_cases.py.
std::vector<std::string> names_of(const std::vector<Variable>& weights) {
  std::vector<std::string> names;
  std::set<std::string> different;
  for (const Variable& w : weights) {
    names.push_back(w.name());
    different.insert(w.name());
  }
  if (different.size() < names.size())
    for (std::size_t i = 0; i < names.size(); i++) names[i] = std::to_string(i) + "_" + names[i];
  return names;
}

class GoldenLayer : public ::testing::TestWithParam<json> {};

TEST_P(GoldenLayer, IsKerass) {
  const json& c = GetParam();
  const Golden golden(c.at("file").get<std::string>());
  const std::string name = c.at("name");
  const Layer layer = make_golden_layer(c.at("layer"), c.at("config"));

  // Weights by the formula.
  std::vector<Shape> shapes;
  for (const json& shape : c.at("input_shapes")) {
    shapes.push_back(to_shape(shape));
    shapes.back()[0] = None;
  }
  layer.impl().ensure_built(shapes);
  const std::vector<Variable> weights = layer.trainable_weights(), state = layer.non_trainable_weights();
  const std::vector<std::string> weight_names = names_of(weights);
  ASSERT_EQ(weights.size(), c.at("weights").size());
  ASSERT_EQ(state.size(), c.at("state").size());
  for (std::size_t i = 0; i < weights.size(); i++) {
    ASSERT_EQ(weights[i].shape(), to_shape(c.at("weights").at(weight_names[i]))) << weight_names[i];
    Variable(weights[i]).assign(hash_signed(name + "/" + weight_names[i], weights[i].shape(), 0.5));
  }
  for (Variable w : state) {
    ASSERT_EQ(w.shape(), to_shape(c.at("state").at(w.name()))) << w.name();
    w.assign(hash_tensor(name + "/" + w.name(), w.shape(), DType::f32, [](double u) { return 0.5 + u; }));
  }

  // One graph: output, and gradients of sum(output * cotangent).
  graph::Graph graph(name);
  Call call(graph, c.at("training"));
  std::vector<Tensor> inputs;
  std::vector<graph::Value> xs, wrt;
  std::vector<std::string> names = {name + "/output"};
  const bool has_gradients = c.value("gradients", true);
  for (std::size_t i = 0; i < shapes.size(); i++) {
    const std::string tag = name + "/input" + std::to_string(i);
    inputs.push_back(input_data(tag, to_shape(c.at("input_shapes")[i]), c.at("inputs")));
    xs.push_back(graph.input(tag, {inputs.back().dtype(), inputs.back().shape()}));
    if (!has_gradients || !is_float(inputs.back().dtype())) continue;
    wrt.push_back(xs.back());
    names.push_back(tag + "/gradient");
  }
  const graph::Value output = layer.impl().emit(call, xs).at(0);
  for (std::size_t i = 0; i < weights.size(); i++) {
    wrt.push_back(call(weights[i]));
    names.push_back(name + "/" + weight_names[i] + "/gradient");
  }
  std::vector<graph::Value> changed;
  for (const graph::StateSlot& slot : graph.states()) {
    const bool is_weight = std::find(wrt.begin(), wrt.end(), slot.current) != wrt.end();
    if (!is_weight && slot.next && slot.next != slot.current) changed.push_back(slot.next);
  }
  if (!changed.empty())
    for (const Variable& w : state) names.push_back(name + "/" + w.name() + "/after");
  ASSERT_EQ(output.shape(), golden[names[0]].shape());
  graph.output(names[0], output);
  std::vector<graph::Value> gradients;
  if (has_gradients) {
    const graph::Value cotangent = graph::constant(graph, hash_signed(name + "/cotangent", output.shape()));
    gradients = graph::gradient(output, wrt, cotangent);
  }
  for (std::size_t i = 0; i < gradients.size(); i++) graph.output(names[i + 1], gradients[i]);
  ASSERT_EQ(names.size(), 1 + gradients.size() + changed.size());
  for (std::size_t i = 0; i < changed.size(); i++) graph.output(names[1 + gradients.size() + i], changed[i]);

  std::vector<Tensor> results;
  std::vector<void*> in, out;
  for (Tensor& t : inputs) in.push_back(t.raw());
  for (const graph::Output& o : graph.outputs()) results.emplace_back(o.value.shape(), o.value.dtype());
  for (Tensor& t : results) out.push_back(t.raw());
  internal::Step(std::move(graph), call.storage()).run(in.data(), out.data());

  for (std::size_t i = 0; i < names.size(); i++)
    EXPECT_LE(relative_error(results[i], golden[names[i]], least_norm), bound(c.at("layer")))
        << names[i] << "\n got " << results[i] << "\n expected " << golden[names[i]];

  const std::string marks = has_gradients ? "forward gradient" : "forward";
  covers("Layers", c.at("layer"), marks);
  if (c.at("config").contains("activation") && c.at("layer") == "Activation")
    covers("Activations", c.at("config").at("activation"), marks);
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenLayer, ::testing::ValuesIn(layer_cases()),
                         [](const auto& info) {
                           std::string name = info.param.at("name").template get<std::string>();
                           for (char& c : name)
                             if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
                           return name;
                         });

}  // namespace
}  // namespace kiln::testing
