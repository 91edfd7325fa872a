// Configurations: values, errors, layers and models that come back from what they were written down as.
#include "tests/api/support.h"
#include "tests/support/hash_data.h"

namespace kiln {
namespace {

using namespace layers;
using testing::floats;

TEST(Config, ReadsAndWritesJson) {
  const std::string text =
      R"({"a":null,"b":true,"c":[1,-2.5,"x\n\u00e4"],"d":{"e":{},"f":[]},"g":1e-07,"h":9007199254740993})";
  const Config config = Config::from_json(text);
  EXPECT_TRUE(config.at("a").is_null());
  EXPECT_TRUE(config.at("b").as_bool());
  EXPECT_EQ(config.at("c").as_list()[1].as_number(), -2.5);
  EXPECT_EQ(config.at("h").as_int(), 9007199254740993);
  EXPECT_EQ(Config::from_json(config.to_json()), config);
  EXPECT_EQ(Config::from_json(config.to_json(2)), config);
}

TEST(Config, EqualValuesAreEqualWhateverTheirOrderAndKindOfNumber) {
  EXPECT_EQ(Config::from_json(R"({"a": 1, "b": 2.0})"), Config::from_json(R"({"b": 2, "a": 1.0})"));
  EXPECT_FALSE(Config::from_json(R"({"a": 1})") == Config::from_json(R"({"a": 1, "b": null})"));
  EXPECT_FALSE(Config(true) == Config(1));
  EXPECT_FALSE(Config("1") == Config(1));
}

TEST(Config, MistakesSayWhatIsThere) {
  EXPECT_ERROR(ValueError, "no JSON", Config::from_json("{\"a\": }"));
  EXPECT_ERROR(ValueError, "nested more than",
               Config::from_json(std::string(100000, '[') + std::string(100000, ']')));
  EXPECT_ERROR(TypeError, "\"three\" where a whole number is expected", Config("three").as_int());
  EXPECT_ERROR(TypeError, "2.5 where a whole number is expected", Config(2.5).as_int());
  EXPECT_ERROR(ValueError, "lacks the key \"units\"", Config::from_json("{}").at("units"));
}

TEST(LayerConfig, ChangedArgumentsMakeAnotherLayer) {
  Config config = Dense(3, {.activation = "relu", .use_bias = false, .name = "first"}).get_config();
  EXPECT_EQ(config.at("units"), Config(3));
  EXPECT_EQ(config.at("activation"), Config("relu"));
  config["units"] = 5;
  const Layer dense = from_config("Dense", config);
  EXPECT_EQ(dense.name(), "first");
  EXPECT_EQ(dense(Input({2})).shape(), (Shape{None, 5}));
  EXPECT_EQ(dense.weights().size(), 1u);
}

TEST(LayerConfig, FrozenLayersStayFrozen) {
  Layer dense = Dense(3);
  dense.set_trainable(false);
  EXPECT_FALSE(deserialize(serialize(dense)).trainable());
}

TEST(LayerConfig, MistakesNameClassAndArgument) {
  EXPECT_ERROR(ValueError, "Dense: its configuration lacks \"units\"", from_config("Dense", Config::Dict()));
  EXPECT_ERROR(ValueError, "Did you mean \"units\"?",
               from_config("Dense", Config::Dict{{"units", 3}, {"unit", 4}}));
  EXPECT_ERROR(ValueError, "Dense: units in its configuration",
               from_config("Dense", Config::Dict{{"units", "three"}}));
  EXPECT_ERROR(ValueError, "Did you mean \"Dense\"?", from_config("Dens", Config::Dict()));
  EXPECT_ERROR(ValueError, "kernel_size",
               from_config("Conv2D", Config::Dict{{"filters", 1}, {"kernel_size", Config::List{1, 2, 3}}}));
  EXPECT_ERROR(ValueError, "synchronized can only be false",
               from_config("BatchNormalization", Config::Dict{{"synchronized", true}}));
  EXPECT_ERROR(StateError, "function of your own",
               Dense(1, {.activation = [](graph::Value x) { return x; }}).get_config());
}

struct Doubled : LayerImpl {
  explicit Doubled(double factor) : factor_(factor) {}
  graph::Value call(Call&, graph::Value x) override { return x * factor_; }
  Config get_config() const override {
    Config config = base_config();
    config["factor"] = factor_;
    return config;
  }
  double factor_;
};

TEST(LayerConfig, LayersOfOnesOwn) {
  EXPECT_ERROR(ValueError, "layer class \"Doubled\" is not known", from_config("Doubled", Config::Dict()));
  register_layer("Doubled", [](const Config& c) { return make_layer<Doubled>(c.at("factor").as_number()); });
  EXPECT_ERROR(ValueError, "already", register_layer("Doubled", [](const Config&) { return Dense(1); }));
  EXPECT_ERROR(ValueError, "already", register_layer("Dense", [](const Config&) { return Dense(1); }));
  Sequential model({Input({2}), make_layer<Doubled>(3.0)});
  const Model again = model_from_json(model.to_json());
  EXPECT_EQ(floats(again(Tensor({{1.f, 2.f}}))), (std::vector<float>{3, 6}));
  struct Silent : LayerImpl {};
  EXPECT_ERROR(StateError, "doesn't override `get_config`", make_layer<Silent>().get_config());
}

/// Equal models: the same JSON, and with the same weights the same predictions.
void expect_comes_back(const Model& model, const std::vector<Tensor>& x) {
  const std::string json = model.to_json();
  Model again = model_from_json(json);
  EXPECT_EQ(Config::from_json(again.to_json()), Config::from_json(json)) << again.to_json(1);
  ASSERT_EQ(again.weights().size(), model.weights().size());
  again.set_weights(model.get_weights());
  const std::vector<Tensor> expected = model.predict_all(x, {.verbose = 0}),
                            got = again.predict_all(x, {.verbose = 0});
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); i++) EXPECT_EQ(floats(got[i]), floats(expected[i]));
}

TEST(ModelConfig, SequentialComesBack) {
  Sequential model({Input({6, 6, 2}), Conv2D(3, 3, {.padding = "same", .activation = "relu"}),
                    BatchNormalization(), MaxPooling2D(2), Flatten(), Dropout(0.5),
                    Dense(4, {.kernel_regularizer = "l2"})});
  expect_comes_back(model, {testing::hash_signed("x", {3, 6, 6, 2})});
}

TEST(ModelConfig, SequentialWithoutInputIsBuiltAgain) {
  Sequential model({Dense(3)});
  model.build({None, 5});
  expect_comes_back(model, {testing::hash_signed("x", {2, 5})});
}

TEST(ModelConfig, SharedLayersSeveralInputsAndOutputsComeBack) {
  const auto a = Input({4}, {.name = "a"}), b = Input({4}, {.name = "b"});
  const Layer shared = Dense(3, {.activation = "tanh", .name = "shared"});
  const SymbolicTensor x = shared(a), y = shared(b);
  const SymbolicTensor sum = Add()({x, y}), both = Concatenate()({x, sum});
  const Model model({.inputs = {a, b}, .outputs = {Dense(2, {.name = "out"})(both), sum}, .name = "net"});
  const Tensor xs = testing::hash_signed("a", {2, 4}), ys = testing::hash_signed("b", {2, 4});
  expect_comes_back(model, {xs, ys});
  EXPECT_EQ(model_from_json(model.to_json()).name(), "net");
}

TEST(ModelConfig, NestedModelsAndAttentionComeBack) {
  const auto x = Input({5, 4});
  const Model inner = Sequential({Input({5, 4}), Dense(4, {.activation = "gelu"}), LayerNormalization()});
  const SymbolicTensor attended = MultiHeadAttention(2, 3)({x, x});
  const SymbolicTensor twice = inner(inner(attended));
  const Model model({.inputs = {x}, .outputs = {GlobalAveragePooling1D()(twice)}});
  expect_comes_back(model, {testing::hash_signed("x", {2, 5, 4})});
}

TEST(ModelConfig, ClonesHaveWeightsOfTheirOwn) {
  Sequential model({Input({3}), Dense(2)});
  Model clone = clone_model(model);
  clone.set_weights(model.get_weights());
  std::vector<Tensor> zeros = {Tensor::zeros({3, 2}), Tensor::zeros({2})};
  clone.set_weights(zeros);
  EXPECT_NE(floats(model.get_weights()[0]), floats(clone.get_weights()[0]));
}

TEST(ModelConfig, MistakesAreSaid) {
  EXPECT_ERROR(ValueError, "no JSON", model_from_json("model"));
  EXPECT_ERROR(ValueError, "lacks the key \"class_name\"", model_from_json("{}"));
  Sequential model({Input({3}), Dense(2)});
  Config config = Config::from_json(model.to_json());
  config["config"]["layers"] =
      Config::List{Config::Dict{{"class_name", "Densse"}, {"config", Config::Dict()}}};
  EXPECT_ERROR(ValueError, "Did you mean \"Dense\"?", model_from_json(config.to_json()));
  const auto x = Input({3}, {.name = "x"});
  const Model functional({.inputs = {x}, .outputs = {Dense(1, {.name = "d"})(x)}});
  std::string text = functional.to_json();
  text.replace(text.find("\"keras_history\":[\"x\""), 20, "\"keras_history\":[\"z\"");
  EXPECT_ERROR(ValueError, "applies layer \"d\" to a tensor that no layer makes", model_from_json(text));
}

}  // namespace
}  // namespace kiln
