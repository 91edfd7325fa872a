// What real Keras writes into configurations (tests/golden/configs.json): Kiln makes the layers and models of
// it, and writes the same.
#include <gtest/gtest.h>
#include <kiln/kiln.h>

#include "tests/support/coverage.h"
#include "tests/support/golden.h"
#include "tests/support/hash_data.h"

namespace kiln::testing {
namespace {

using nlohmann::json;

/// Is Kiln's configuration Keras's? Keys that one of them lacks must be null: they do nothing.
void expect_kerass(const Config& got, const Config& keras, const std::string& where) {
  if (!keras.is_dict() || !got.is_dict()) {
    EXPECT_EQ(got, keras) << where << ": " << got.to_json() << " for " << keras.to_json();
    return;
  }
  for (const auto& [key, value] : got.as_dict()) {
    const Config* expected = keras.find(key);
    // Spatial dropouts leave `trainable` out and write the type's name alone.
    const bool brief = where.starts_with("SpatialDropout");
    if (brief && expected == nullptr && key == "trainable") continue;
    if (brief && key == "dtype")
      EXPECT_EQ(value.at("config").at("name"), *expected) << where;
    else if (expected == nullptr)
      EXPECT_TRUE(value.is_null()) << where << ": Keras has no key " << key;
    else
      expect_kerass(value, *expected, where + "/" + key);
  }
  for (const auto& [key, value] : keras.as_dict())
    EXPECT_TRUE(value.is_null() || got.find(key) != nullptr)
        << where << ": no key " << key << " for " << value.to_json();
}

class GoldenConfig : public ::testing::TestWithParam<json> {};

TEST_P(GoldenConfig, IsKerass) {
  const std::string kind = GetParam().at("layer");
  const Config keras = Config::from_json(GetParam().at("config").dump());
  const Layer layer = layers::from_config(kind, keras);
  EXPECT_EQ(layer.class_name(), kind);
  const Config config = layer.get_config();
  expect_kerass(config, keras, kind);
  EXPECT_EQ(layers::from_config(kind, config).get_config(), config);
  covers("Layers", kind == "GroupedQueryAttention" ? "GroupQueryAttention" : kind, "config");
}

// Those that real Keras makes by TensorFlow.
INSTANTIATE_TEST_SUITE_P(Categories, GoldenConfig, ::testing::ValuesIn(golden_index("categories", "configs")),
                         [](const auto& info) {
                           return info.param.at("layer").template get<std::string>() + "_" +
                                  std::to_string(info.index);
                         });
INSTANTIATE_TEST_SUITE_P(Layers, GoldenConfig, ::testing::ValuesIn(golden_index("configs", "layers")),
                         [](const auto& info) {
                           return info.param.at("layer").template get<std::string>() + "_" +
                                  std::to_string(info.index);
                         });

class GoldenModel : public ::testing::TestWithParam<json> {};

TEST_P(GoldenModel, PredictsWhatKerasDoes) {
  const json& c = GetParam();
  const std::string name = c.at("name");
  const Golden golden("configs");
  const Model model = model_from_json(c.at("json").get<std::string>());
  const std::vector<Variable> weights = model.weights();
  ASSERT_EQ(weights.size(), c.at("weights").size());
  for (std::size_t i = 0; i < weights.size(); i++) {
    ASSERT_EQ(weights[i].shape(), to_shape(c.at("weights")[i])) << weights[i].name();
    const bool positive = weights[i].name() == "moving_variance";
    Variable(weights[i])
        .assign(hash_tensor(name + "/" + std::to_string(i), weights[i].shape(), DType::f32, [&](double u) {
          const auto value = static_cast<float>(0.5 * (2 * u - 1));
          return positive ? std::abs(value) + 0.5 : value;
        }));
  }
  std::vector<Tensor> x;
  for (std::size_t i = 0; i < model.inputs().size(); i++)
    x.push_back(hash_signed(name + "/x" + std::to_string(i), model.inputs()[i].shape().tail().prepend(3)));
  const std::vector<Tensor> y = model.predict_all(x, {.verbose = 0});
  for (std::size_t i = 0; i < y.size(); i++)
    EXPECT_LE(relative_error(y[i], golden[name + "/y" + std::to_string(i)]), 1e-5) << i;
  for (const char* input : {"Input", "InputLayer"}) covers("Layers", input, "forward config");
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenModel, ::testing::ValuesIn(golden_index("configs", "models")),
                         [](const auto& info) { return info.param.at("name").template get<std::string>(); });

}  // namespace
}  // namespace kiln::testing
