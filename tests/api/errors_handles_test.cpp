// Empty handles, pointers and functions: each is an error that says how to mend it, never a crash.
#include "kiln/graph/ops.h"
#include "tests/api/support.h"

namespace kiln {
namespace {

using namespace layers;
using graph::Value;
using testing::line;

struct ReturnsNothing final : LayerImpl {
  Value call(Call&, Value) override { return {}; }
};
struct ReturnsNoValues final : LayerImpl {
  std::vector<Value> call_all(Call&, std::span<const Value>) override { return {}; }
};
struct ReturnsOneEmptyOfTwo final : LayerImpl {
  std::vector<Value> call_all(Call&, std::span<const Value> xs) override { return {xs[0], {}}; }
};

TEST(EmptyHandles, ALayerWhoseCallReturnsNoValue) {
  const Layer layer = make_layer<ReturnsNothing>();
  EXPECT_ERROR(StateError, "layer \"" + layer.name() + "\" (ReturnsNothing): `call` returned an empty Value",
               layer(Input({1})));
  EXPECT_ERROR(StateError, "returned no value", make_layer<ReturnsNoValues>()(Input({1})));
  EXPECT_ERROR(StateError, "returned an empty Value", make_layer<ReturnsOneEmptyOfTwo>().apply({Input({1})}));
  EXPECT_ERROR(StateError, "returned an empty Value",
               Dense(1, {.activation = [](Value) { return Value(); }})(Input({1})));
}

TEST(EmptyHandles, ALayerThatGivesOtherResultsForAnotherBatchSize) {
  struct Changes final : LayerImpl {
    std::vector<Value> call_all(Call&, std::span<const Value> xs) override {
      return std::vector<Value>(static_cast<std::size_t>(xs[0].shape()[0]), xs[0]);
    }
  };
  EXPECT_ERROR(StateError, "must emit the same ops each time", make_layer<Changes>().apply({Input({1})}));
}

// ---- weights that a model doesn't know of -----------------------------------------------------------------

// Layers inside a layer that doesn't say that it has them, made before or again in each call.
struct Hides final : LayerImpl {
  Layer inner = Dense(4, {.name = "inner"});
  Value call(Call& call, Value x) override { return inner(call, x); }
};
struct MakesInCall final : LayerImpl {
  Value call(Call& call, Value x) override { return Dense(4, {.name = "made"})(call, x); }
};

TEST(UnknownWeights, OfLayersThatSublayersDoesNotGive) {
  const Tensor x = Tensor::zeros({2, 3});
  for (const auto& [layer, weight] : {std::pair(make_layer<Hides>(), "inner/kernel"),
                                      std::pair(make_layer<MakesInCall>(), "made/kernel")}) {
    Sequential model({Input({3}), layer, Dense(1)}, {.name = "m"});
    const std::string expected =
        "model \"m\" uses the weight \"" + std::string(weight) +
        "\", which no layer of it has, nor of another model, so that it would neither be trained nor saved";
    EXPECT_ERROR(StateError, expected, model.predict(x));
    EXPECT_ERROR(StateError, "by overriding `sublayers`", model.export_library("never"));
    model.compile({.loss = "mse"});
    EXPECT_ERROR(StateError, expected, model.train_on_batch(x, Tensor::zeros({2, 1})));
  }
}

TEST(UnknownWeights, MadeInCallOrWithoutAKnownShapeOrTwice) {
  struct Late final : LayerImpl {
    Value call(Call& call, Value x) override { return x * call(add_weight({.name = "w", .shape = {1}})); }
  };
  EXPECT_ERROR(StateError, "add_weight made \"w\" when the layer was built already",
               make_layer<Late>()(Input({1})));
  struct Unknown final : LayerImpl {
    void build(const Shape& input) override { add_weight({.name = "w", .shape = input}); }
  };
  EXPECT_ERROR(ShapeError, "the weight \"w\" can't have the shape (None, 3)",
               make_layer<Unknown>()(Input({3})));
  struct Twice final : LayerImpl {
    void build(const Shape&) override {
      add_weight({.shape = {1}});
      add_weight({.shape = {2}});
    }
  };
  EXPECT_ERROR(ValueError, "two weights are called \"weight\"", make_layer<Twice>()(Input({3})));
}

TEST(Quotients, OfWholeNumbersByANumberWouldLoseTheFraction) {
  const auto half = function([](Value x) { return x / 255.0; }, {.name = "half"});
  EXPECT_ERROR(TypeError,
               "half: uint8 by 255 would be a quotient without its fraction; convert(x, DType::f32) first",
               half(Tensor({1.f, 2.f}).astype(DType::u8)));
  EXPECT_FLOAT_EQ(static_cast<float>(half(Tensor({255.f}))(0)), 1);
}

TEST(Temporaries, AHistoryGivesItsNumbersNotAReferenceIntoIt) {
  Sequential model = line(1);
  model.compile({.loss = "mse"});
  for (const double loss : model.fit(Tensor({1.f}), Tensor({1.f}), {.verbose = 0})["loss"])
    EXPECT_EQ(loss, 0);
}

TEST(EmptyHandles, SymbolicTensors) {
  const SymbolicTensor none;
  EXPECT_ERROR(StateError, "comes from Input(...)", none.shape());
  EXPECT_ERROR(StateError, "comes from Input(...)", none.dtype());
  EXPECT_ERROR(StateError, "comes from Input(...)", none.layer());
  EXPECT_ERROR(StateError, "comes from Input(...)", none.data());
}

TEST(EmptyHandles, Variables) {
  const Variable none;
  Variable target;
  EXPECT_ERROR(StateError, "add_weight", none.name());
  EXPECT_ERROR(StateError, "add_weight", none.shape());
  EXPECT_ERROR(StateError, "add_weight", none.dtype());
  EXPECT_ERROR(StateError, "add_weight", none.trainable());
  EXPECT_ERROR(StateError, "add_weight", none.regularizer());
  EXPECT_ERROR(StateError, "add_weight", none.value());
  EXPECT_ERROR(StateError, "add_weight", none.storage());
  EXPECT_ERROR(StateError, "add_weight", target.assign(Tensor({1.f})));
  // A weight that `build` forgot, used otherwise than by call(weight).
  struct Forgetful final : LayerImpl {
    Variable scale;
    Value call(Call&, Value x) override { return x * static_cast<double>(scale.shape()[0]); }
  };
  EXPECT_ERROR(StateError, "add_weight", make_layer<Forgetful>()(Input({1})));
}

TEST(EmptyHandles, LossesAndMetrics) {
  const Loss none;
  const Tensor t({1.f});
  EXPECT_ERROR(StateError, "an empty Loss was used", none(t, t));
  EXPECT_ERROR(StateError, "an empty Loss was used", none.impl());
  EXPECT_ERROR(ValueError, "a loss is empty", line(1).compile({.loss = Loss()}));
  EXPECT_ERROR(ValueError, "make_loss(\"mine\"): the function is empty", losses::make_loss("mine", nullptr));
  EXPECT_ERROR(ValueError, "make_metric(\"mine\"): the function is empty",
               metrics::make_metric("mine", nullptr));
  EXPECT_ERROR(StateError, "a Metric was made from an empty pointer",
               Metric(std::shared_ptr<const MetricImpl>{}));
}

TEST(EmptyHandles, OptimizersInitializersRegularizers) {
  EXPECT_ERROR(StateError, "an Optimizer was made from an empty pointer",
               Optimizer(std::shared_ptr<OptimizerImpl>{}));
  EXPECT_ERROR(StateError, "an Initializer was made", Initializer(std::shared_ptr<const InitializerImpl>{}));
  EXPECT_ERROR(StateError, "a Regularizer was made", Regularizer(std::shared_ptr<const RegularizerImpl>{}));
  EXPECT_ERROR(StateError, "an empty Regularizer was used", Regularizer()(Value()));
  Optimizer given("sgd");
  const Optimizer taken = std::move(given);
  EXPECT_ERROR(StateError, "moved from", given.learning_rate());
}

TEST(EmptyHandles, NamesAndFunctions) {
  const char* const null = nullptr;
  EXPECT_ERROR(ValueError, "activation: the name is a null pointer", Dense(1, {.activation = null}));
  EXPECT_ERROR(ValueError, "loss: the name is a null pointer", Loss{null});
  EXPECT_ERROR(ValueError, "metric: the name is a null pointer", Metric{null});
  EXPECT_ERROR(ValueError, "optimizer: the name is a null pointer", Optimizer{null});
  EXPECT_ERROR(ValueError, "initializer: the name is a null pointer", Initializer{null});
  EXPECT_ERROR(ValueError, "regularizer: the name is a null pointer", Regularizer{null});
  EXPECT_ERROR(ValueError, "activation: the function is empty",
               Dense(1, {.activation = std::function<Value(Value)>()}));
  Value (*pointer)(Value) = nullptr;
  EXPECT_ERROR(ValueError, "activation: the function is empty", Activation(pointer));
}

TEST(Inputs, AVariableMayGoOnToTheNextLayersTensor) {
  auto inputs = Input({2}), x = inputs;
  x = Dense(3)(x);
  x = Dense(4)(x);
  EXPECT_EQ(x.shape(), (Shape{None, 4}));
  Model model({.inputs = {inputs}, .outputs = {x}});
  EXPECT_EQ(model.predict(Tensor::zeros({5, 2}), {.verbose = 0}).shape(), (Shape{5, 4}));
  x = inputs;  // and back
  EXPECT_EQ(Sequential({x, Dense(1)}).predict(Tensor::zeros({5, 2}), {.verbose = 0}).shape(), (Shape{5, 1}));
}

TEST(Inputs, ATensorOfAnotherLayerIsNoInput) {
  auto x = Input({2});
  x = Dense(3, {.name = "hidden"})(x);
  EXPECT_ERROR(ValueError, "holds the tensor of layer \"hidden\"", Sequential({x, Dense(1)}));
  EXPECT_ERROR(ValueError, "the tensor of layer \"hidden\" can't be an input",
               Model({.inputs = {x}, .outputs = {Dense(1)(x)}}));
}

}  // namespace
}  // namespace kiln
