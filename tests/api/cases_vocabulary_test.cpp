// Cases 13, 18, 20 and 34 and two spare ones: faults that others' layers and losses had.
#include <cmath>

#include "tests/api/support.h"
#include "tests/support/files.h"

namespace kiln {
namespace {

using namespace layers;
using graph::Value;
using testing::expect_near;

// ---- case 13: rows of an embedding ------------------------------------------------------------------------

TEST(CasesVocabulary, AnEmbeddingsNumbersMustBeInItsRange) {
  Sequential model({Input({2}, {.dtype = DType::i32}), Embedding(10, 4), Flatten(), Dense(1)});
  model.compile({.loss = "mse"});
  const std::vector<Tensor> before = model.get_weights();
  // In the last batch only.
  const Tensor x(std::vector<std::int32_t>{0, 1, 2, 3, 2, 10}, {3, 2}), y = Tensor::zeros({3, 1});
  EXPECT_ERROR(DataError, "number 10 in row 2 is outside [0, 10)",
               model.fit(x, y, {.batch_size = 2, .verbose = 0, .shuffle = false}));
  EXPECT_ERROR(DataError, "number -1 in row 0 is outside [0, 10)",
               model.train_on_batch(Tensor(std::vector<std::int32_t>{-1, 1}, {1, 2}), Tensor::zeros({1, 1})));
  // The bad batch changed nothing: the first one alone made these weights.
  const std::vector<Tensor> after = model.get_weights();
  Sequential good({Input({2}, {.dtype = DType::i32}), Embedding(10, 4), Flatten(), Dense(1)});
  good.compile({.loss = "mse"});
  good.set_weights(before);
  good.fit(x.slice(0, 2), y.slice(0, 2), {.batch_size = 2, .verbose = 0, .shuffle = false});
  for (std::size_t i = 0; i < after.size(); i++)
    EXPECT_EQ(after[i].to_vector<float>(), good.get_weights()[i].to_vector<float>()) << i;
}

// ---- case 18: moments and momentum of batch normalization -------------------------------------------------

/// The layer's output in training, and its moving mean and variance afterwards.
struct Trained {
  Tensor output;
  double mean, variance;
};
Trained train_once(double momentum, const Tensor& x) {
  const Layer norm = BatchNormalization({.momentum = momentum});
  const Tensor y = function([&](Call& call, Value v) { return norm(call, v); }, {.training = true})(x);
  const std::vector<Tensor> weights = norm.get_weights();  // gamma, beta, moving mean, moving variance
  return {y, weights[2].item(), weights[3].item()};
}

TEST(CasesVocabulary, BatchNormalizationTakesBiasedMomentsAndKerassMomentum) {
  const Tensor column({{2.f}, {5.f}, {5.f}, {8.f}});
  for (const auto& [momentum, mean, variance] : {std::tuple{0.0, 5.0, 4.5}, {0.9, 0.5, 1.35}}) {
    const Trained t = train_once(momentum, column);
    expect_near(t.output, {-1.4140565, 0, 0, 1.4140565});
    EXPECT_NEAR(t.mean, mean, 1e-6);
    EXPECT_NEAR(t.variance, variance, 1e-6);
  }
  const Trained one = train_once(0, Tensor({{5.f}}));
  expect_near(one.output, {0});
  EXPECT_EQ(one.mean, 5);
  EXPECT_EQ(one.variance, 0);
}

TEST(CasesVocabulary, BatchNormalizationInfersFromWhereItStarts) {
  const Tensor x({{2.f}, {5.f}});
  expect_near(testing::run(BatchNormalization(), x), {2 / std::sqrt(1.001), 5 / std::sqrt(1.001)});
  // Fused with the layer before it, the same.
  Sequential model(
      {Input({1}), Dense(1, {.use_bias = false, .kernel_initializer = "ones"}), BatchNormalization()});
  expect_near(model.predict(x, {.verbose = 0}), {2 / std::sqrt(1.001), 5 / std::sqrt(1.001)});
}

// ---- case 20: the order of nested models' weights ---------------------------------------------------------

/// Dense(1) and two normalizations, in a model in a model.
Model nested() {
  Sequential inner({Input({1}), Dense(1), BatchNormalization(), BatchNormalization()}, {.name = "inner"});
  Sequential outer({Input({1}), inner}, {.name = "outer"});
  return Sequential({Input({1}), outer});
}
Model inner_of(const Model& model) {
  return Model(Model(model.get_layer("outer")).get_layer("inner"));
}

TEST(CasesVocabulary, NestedModelsKeepTheirWeightsApartInFiles) {
  std::vector<Tensor> values;
  for (const float v : {2.f, 0.5f, 3.f, 4.f, 5.f, 6.f, 7.f, 8.f, 9.f, 10.f}) values.push_back(Tensor({v}));
  values[0] = values[0].reshape({1, 1});
  const auto activations = [](const Model& model) {
    const Model inner = inner_of(model);
    std::vector<SymbolicTensor> outputs;
    for (const Layer& layer : inner.layers()) outputs.push_back(layer.output());
    std::vector<double> ys;
    for (const Tensor& y :
         Model({.inputs = inner.inputs(), .outputs = outputs}).predict_all(Tensor({{1.f}}), {.verbose = 0}))
      ys.push_back(y.item());
    return ys;
  };
  const testing::TemporaryFolder folder;
  for (const auto& [frozen_when_saved, frozen_when_loaded] :
       {std::pair{false, false}, {true, false}, {false, true}, {true, true}}) {
    Model model = nested();
    model.set_weights(values);
    if (frozen_when_saved) inner_of(model).set_trainable(false);
    model.save_weights(folder / "nested.safetensors");
    Model loaded = nested();
    if (frozen_when_loaded) inner_of(loaded).set_trainable(false);
    loaded.load_weights(folder / "nested.safetensors");
    for (Model* m : {&model, &loaded}) {
      const std::vector<double> ys = activations(*m);
      ASSERT_EQ(ys.size(), 3u);
      EXPECT_NEAR(ys[0], 2.5, 1e-6);
      EXPECT_NEAR(ys[1], 0.9383929, 1e-6);
      EXPECT_NEAR(ys[2], -9.8442357, 1e-5);
    }
  }
}

// ---- case 34: cosine similarity of a zero vector ----------------------------------------------------------

TEST(CasesVocabulary, CosineSimilarityOfZeroVectorsHasAGradient) {
  const Loss cosine = losses::CosineSimilarity();
  const auto both = function([&](Value y_true, Value y_pred) {
    const Value loss = cosine(y_true, y_pred);
    return std::array{loss, gradient(loss, {y_pred})[0]};
  });
  const auto [loss, slope] = both(Tensor({{1.f, 0.f}}), Tensor({{3.f, 4.f}}));
  EXPECT_NEAR(loss.item(), -0.6, 1e-6);
  expect_near(slope, {-0.128, 0.096});
  for (const auto& [y_true, y_pred] : {std::pair{Tensor({{1.f, 0.f}}), Tensor({{0.f, 0.f}})},
                                       {Tensor({{0.f, 0.f}}), Tensor({{3.f, 4.f}})},
                                       {Tensor({{0.f, 0.f}}), Tensor({{0.f, 0.f}})}}) {
    const auto [zero, finite] = both(y_true, y_pred);
    EXPECT_EQ(zero.item(), 0);
    for (double g : finite.to_vector<double>()) EXPECT_TRUE(std::isfinite(g)) << g;
  }
  EXPECT_NEAR(cosine(Tensor({{0.1f, 0.7f, 0.3f}}), Tensor({{0.1f, 0.7f, 0.3f}})), -1, 5e-7);
}

// ---- spare ones -------------------------------------------------------------------------------------------

TEST(CasesVocabulary, ATransposedConvolutionsSizeIsKerass) {
  const auto apply = [](const std::string& padding) {
    const Layer layer = Conv1DTranspose(1, 3, {.strides = 2, .padding = padding, .use_bias = false});
    const auto input = Input({2, 1});
    Model model({.inputs = {input}, .outputs = {layer(input)}});
    model.set_weights({Tensor(std::vector<float>{1, 10, 100}, {3, 1, 1})});
    return model.predict(Tensor(std::vector<float>{1, 2}, {1, 2, 1}), {.verbose = 0});
  };
  expect_near(apply("valid"), {1, 10, 102, 20, 200});
  expect_near(apply("same"), {1, 10, 102, 20});
  EXPECT_ERROR(ValueError, "output_padding must be from 0 to below the strides",
               Conv1DTranspose(1, 3, {.strides = 2, .output_padding = 2}));
}

TEST(CasesVocabulary, DivergencesOfZerosAreClipped) {
  const Loss divergence = losses::KLDivergence();
  EXPECT_NEAR(divergence(Tensor({{0.f, 1.f}}), Tensor({{0.5f, 0.5f}})), 0.6931456, 2e-6);
  EXPECT_NEAR(divergence(Tensor({{1.f, 0.f}}), Tensor({{1.f, 0.f}})), 0, 2e-6);
  EXPECT_NEAR(divergence(Tensor({{0.5f, 0.5f}}), Tensor({{1.f, 0.f}})), 7.3659006, 1e-5);
  EXPECT_TRUE(std::isfinite(divergence(Tensor({{-1.f, 2.f}}), Tensor({{0.5f, 0.5f}}))));
}

}  // namespace
}  // namespace kiln
