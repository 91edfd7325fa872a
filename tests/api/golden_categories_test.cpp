// Hashes, vocabularies and quantiles of real Keras, and its training with SpectralNormalization
// (tests/golden/categories.json): on the host and, of whole numbers, in a model.
#include "tests/api/support.h"
#include "tests/support/coverage.h"
#include "tests/support/golden.h"
#include "tests/support/hash_data.h"

namespace kiln::testing {
namespace {

using namespace layers;
using nlohmann::json;

Config to_config(const json& value) {
  return Config::from_json(value.dump());
}
bool has_texts(const json& values) {
  return !values.empty() && values[0].is_string();
}
Strings texts_of(const json& values, const json& shape) {
  return Strings(values.get<std::vector<std::string>>(), to_shape(shape));
}
Tensor numbers_of(const json& values, const json& shape) {
  return Tensor(values.get<std::vector<std::int64_t>>(), to_shape(shape));
}

void expect_result(const Tensor& got, const json& c) {
  EXPECT_EQ(got.shape(), to_shape(c.at("result_shape")));
  expect_near(got, c.at("result").get<std::vector<double>>());
}
/// A layer over whole numbers as a model.
Tensor in_model(const Layer& layer, const std::vector<Tensor>& xs) {
  std::vector<SymbolicTensor> inputs;
  for (const Tensor& x : xs) inputs.push_back(Input(x.shape().tail(), {.dtype = DType::i64}));
  return Model({.inputs = inputs, .outputs = layer.apply(inputs)}).predict(xs, {.verbose = 0});
}
/// A model has a batch, so that results without one aren't among them.
bool keeps_batch(const json& c) {
  return !c.at("result_shape").empty() && c.at("result_shape")[0] == c.at("shape")[0];
}

TEST(GoldenCategories, HashingHasKerassBins) {
  for (const json& c : golden_index("categories", "hashing")) {
    SCOPED_TRACE(c.at("config").dump());
    const HashingLayer layer(from_config("Hashing", to_config(c.at("config"))).shared());
    if (has_texts(c.at("input"))) {
      expect_result(layer(texts_of(c.at("input"), c.at("shape"))), c);
      continue;
    }
    const Tensor x = numbers_of(c.at("input"), c.at("shape"));
    expect_result(layer(x), c);
    if (keeps_batch(c)) expect_result(in_model(layer, {x}), c);
  }
  covers("Layers", "Hashing", "forward");
}

TEST(GoldenCategories, CrossingHasKerassBins) {
  for (const json& c : golden_index("categories", "crossing")) {
    SCOPED_TRACE(c.at("config").dump());
    const HashedCrossingLayer layer(from_config("HashedCrossing", to_config(c.at("config"))).shared());
    std::vector<Feature> features;
    std::vector<Tensor> numbers;
    for (const json& feature : c.at("inputs")) {
      if (has_texts(feature)) {
        features.emplace_back(texts_of(feature, c.at("shape")));
      } else {
        numbers.push_back(numbers_of(feature, c.at("shape")));
        features.emplace_back(numbers.back());
      }
    }
    expect_result(layer(features), c);
    if (numbers.size() == features.size()) expect_result(in_model(layer, numbers), c);
  }
  covers("Layers", "HashedCrossing", "forward");
}

template <class Lookup, class Data>
void check_lookup(const json& c, const Lookup& layer, const Data& data_of) {
  Lookup handle = layer;
  if (!c.at("adapt").is_null()) handle.adapt(data_of(c.at("adapt"), c.at("adapt_shape")));
  using Token = typename decltype(layer.get_vocabulary())::value_type;
  EXPECT_EQ(handle.get_vocabulary(), c.at("vocabulary").get<std::vector<Token>>());
  EXPECT_EQ(handle.vocabulary_size(), c.at("vocabulary_size").get<std::int64_t>());
  // What was found is kept in the configuration.
  const Lookup again(from_config(layer.class_name(), layer.get_config()).shared());
  EXPECT_EQ(again.get_vocabulary(), handle.get_vocabulary());
  EXPECT_EQ(again.get_config(), layer.get_config());
}

TEST(GoldenCategories, LookupsHaveKerassNumbers) {
  for (const json& c : golden_index("categories", "lookups")) {
    const std::string kind = c.at("layer");
    SCOPED_TRACE(kind + c.at("config").dump());
    const Layer layer = from_config(kind, to_config(c.at("config")));
    if (kind == "IntegerLookup") {
      const IntegerLookupLayer lookup(layer.shared());
      check_lookup(c, lookup, numbers_of);
      const Tensor x = numbers_of(c.at("input"), c.at("shape"));
      expect_result(lookup(x), c);
      if (keeps_batch(c)) expect_result(in_model(lookup, {x}), c);
      continue;
    }
    const StringLookupLayer lookup(layer.shared());
    check_lookup(c, lookup, texts_of);
    if (c.at("config").value("invert", false))
      EXPECT_EQ(lookup.tokens(numbers_of(c.at("input"), c.at("shape"))),
                texts_of(c.at("result"), c.at("shape")));
    else
      expect_result(lookup(texts_of(c.at("input"), c.at("shape"))), c);
  }
  for (const char* lookup : {"IntegerLookup", "StringLookup"}) covers("Layers", lookup, "forward");
}

TEST(GoldenCategories, DiscretizationFindsKerassBoundaries) {
  for (const json& c : golden_index("categories", "quantiles")) {
    SCOPED_TRACE(c.dump());
    DiscretizationLayer layer = Discretization(
        {}, {.num_bins = c.at("num_bins").get<std::int64_t>(), .epsilon = c.at("epsilon").get<double>()});
    std::vector<Tensor> arrays;
    for (std::size_t i = 0; i < c.at("tags").size(); i++)
      arrays.push_back(hash_signed(c.at("tags")[i].get<std::string>(), to_shape(c.at("shapes")[i])));
    layer.adapt(arrays);
    const auto expected = c.at("bin_boundaries").get<std::vector<double>>();
    ASSERT_EQ(layer.bin_boundaries().size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); i++)
      EXPECT_NEAR(layer.bin_boundaries()[i], expected[i], 1e-6) << "boundary " << i;
  }
}

TEST(GoldenCategories, SpectralNormalizationTrainsAsKerass) {
  for (const json& c : golden_index("categories", "spectral")) {
    const std::string name = "spectral/" + c.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const Layer inner = deserialize(to_config(c.at("layer")));
    const Layer wrapper =
        SpectralNormalization(inner, {.power_iterations = c.at("power_iterations").get<std::int64_t>()});
    const Shape shape = to_shape(c.at("input"));
    Sequential model({Input(shape), wrapper});
    model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.1}), .loss = "mse"});
    Variable u = wrapper.impl().own_weights()[0], kernel = inner.impl().own_weights()[0];
    u.assign(hash_signed(name + "/vector_u", u.shape()));
    kernel.assign(hash_signed(name + "/kernel", kernel.shape()));
    if (inner.weights().size() > 1)
      Variable(inner.weights()[1]).assign(Tensor::zeros(inner.weights()[1].shape()));
    const Tensor x = hash_signed(name + "/x", shape.prepend(8));
    const Tensor y = hash_signed(name + "/y", model.outputs()[0].shape().tail().prepend(8));
    for (const json& loss : c.at("losses")) {
      model.reset_metrics();
      EXPECT_NEAR(model.train_on_batch(x, y)["loss"], loss.get<double>(), 1e-5);
    }
    expect_near(u.value(), c.at("u").get<std::vector<double>>(), 1e-5);
    expect_near(kernel.value(), c.at("kernel").get<std::vector<double>>(), 1e-5);
    expect_near(model.predict(x, {.verbose = 0}), c.at("prediction").get<std::vector<double>>(), 1e-5);
  }
  covers("Layers", "SpectralNormalization", "forward gradient");
}

}  // namespace
}  // namespace kiln::testing
