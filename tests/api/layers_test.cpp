// Layers beyond their golden values: what they draw, what they keep, what they refuse.
#include <cmath>

#include "tests/api/support.h"
#include "tests/support/coverage.h"
#include "tests/support/hash_data.h"

namespace kiln {
namespace {

using namespace layers;
using testing::floats;

/// What the layer gives in a training step: that of a step that stores it as the state of a layer behind.
class Kept final : public LayerImpl {
 public:
  void build(const Shape& input) override {
    Shape shape = input;
    shape[0] = rows;
    kept = add_weight({.name = "kept", .shape = shape, .initializer = "zeros", .trainable = false});
    scale = add_weight({.name = "scale", .shape = {}, .initializer = "ones"});
  }
  graph::Value call(Call& context, graph::Value x) override {
    if (context.training()) context.assign(kept, x);
    return x * context(scale);
  }
  static inline std::int64_t rows = 0;
  Variable kept, scale;
};

std::vector<std::vector<float>> training_outputs(const Layer& layer, const Tensor& x, int steps = 1) {
  set_random_seed(1);
  Kept::rows = x.shape()[0];
  const Layer kept = make_layer<Kept>();
  Sequential model({Input(x.shape().tail()), layer, kept, Flatten(), Dense(1)});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mse"});
  std::vector<std::vector<float>> outputs;
  for (int i = 0; i < steps; i++) {
    model.train_on_batch(x, Tensor::zeros({x.shape()[0], 1}));
    outputs.push_back(floats(kept.weights()[0].value()));
  }
  return outputs;
}

struct Statistics {
  double mean = 0, deviation = 0;
};
Statistics statistics(const std::vector<float>& values) {
  Statistics s;
  for (float v : values) s.mean += v / static_cast<double>(values.size());
  for (float v : values) s.deviation += (v - s.mean) * (v - s.mean) / static_cast<double>(values.size());
  s.deviation = std::sqrt(s.deviation);
  return s;
}

TEST(Noise, HasItsMeanAndDeviation) {
  const Tensor ones = Tensor::full({64, 500}, 1);
  const Statistics noise = statistics(training_outputs(GaussianNoise(0.3), ones)[0]);
  EXPECT_NEAR(noise.mean, 1, 0.01);
  EXPECT_NEAR(noise.deviation, 0.3, 0.01);
  const Statistics dropout = statistics(training_outputs(GaussianDropout(0.2), ones)[0]);
  EXPECT_NEAR(dropout.mean, 1, 0.015);
  EXPECT_NEAR(dropout.deviation, 0.5, 0.01);  // sqrt(0.2 / 0.8)
}

TEST(Noise, AlphaDropoutKeepsMeanAndDeviation) {
  Tensor x({64, 500}, DType::f32);
  const testing::HashSequence u("normal");
  for (std::int64_t i = 0; i < x.size(); i++)
    x.data<float>()[i] =
        static_cast<float>(std::sqrt(-2 * std::log(1 - u[2 * i])) * std::cos(2 * M_PI * u[2 * i + 1]));
  const Statistics s = statistics(training_outputs(AlphaDropout(0.3), x)[0]);
  EXPECT_NEAR(s.mean, 0, 0.02);
  EXPECT_NEAR(s.deviation, 1, 0.02);
}

TEST(Noise, IsAnotherInEachStepAndTheSameWhenRepeated) {
  const Tensor x = Tensor::full({4, 50}, 1);
  const auto once = training_outputs(GaussianNoise(1), x, 2),
             again = training_outputs(GaussianNoise(1), x, 2);
  EXPECT_NE(once[0], once[1]);
  EXPECT_EQ(once, again);
}

TEST(SpatialDropout, DropsWholeChannels) {
  const auto check = [](const Layer& layer, const Shape& shape, std::size_t channel_axis) {
    const std::vector<float> y = training_outputs(layer, Tensor::full(shape, 1))[0];
    std::int64_t behind = 1, channels = shape[channel_axis], elements = 1;
    for (std::size_t i = channel_axis + 1; i < shape.sizes().size(); i++) behind *= shape[i];
    for (std::size_t i = 1; i < shape.sizes().size(); i++) elements *= shape[i];
    std::vector<float> first(static_cast<std::size_t>(shape[0] * channels), -1);
    int dropped = 0;
    for (std::size_t i = 0; i < y.size(); i++) {
      const auto at = static_cast<std::int64_t>(i);
      const auto map = static_cast<std::size_t>(at / elements * channels + at / behind % channels);
      if (first[map] < 0) {
        first[map] = y[i];
        dropped += y[i] == 0;
      }
      EXPECT_EQ(y[i], first[map]);
      EXPECT_TRUE(y[i] == 0 || y[i] == 2);
    }
    EXPECT_GT(dropped, 0);
    EXPECT_LT(dropped, static_cast<int>(first.size()));
  };
  check(SpatialDropout1D(0.5), {6, 5, 4}, 2);
  check(SpatialDropout2D(0.5), {6, 3, 2, 4}, 3);
  check(SpatialDropout2D(0.5, {.data_format = "channels_first"}), {6, 4, 3, 2}, 1);
  check(SpatialDropout3D(0.5), {6, 2, 3, 2, 4}, 4);
}

TEST(Augmentation, FlipsSomeImages) {
  const Tensor x = testing::hash_uniform("images", {32, 3, 4, 2});
  const std::vector<float> original = floats(x);
  const auto count = [&](const std::string& mode, bool down, bool across) {
    const std::vector<float> y = training_outputs(RandomFlip(mode), x)[0];
    int same = 0;
    for (std::int64_t n = 0; n < 32; n++) {
      bool equal = true;
      for (std::int64_t h = 0; h < 3; h++)
        for (std::int64_t w = 0; w < 4; w++)
          for (std::int64_t c = 0; c < 2; c++) {
            const std::int64_t row = down ? 2 - h : h, column = across ? 3 - w : w;
            equal = equal && y[static_cast<std::size_t>(((n * 3 + h) * 4 + w) * 2 + c)] ==
                                 original[static_cast<std::size_t>(((n * 3 + row) * 4 + column) * 2 + c)];
          }
      same += equal;
    }
    return same;
  };
  EXPECT_EQ(count("horizontal", false, false) + count("horizontal", false, true), 32);
  EXPECT_GT(count("horizontal", false, true), 5);
  EXPECT_EQ(count("vertical", false, false) + count("vertical", true, false), 32);
  EXPECT_GT(count("vertical", true, false), 5);
  for (const bool down : {false, true})
    for (const bool across : {false, true}) EXPECT_GT(count("horizontal_and_vertical", down, across), 0);
}

TEST(Augmentation, BrightnessAddsOneNumberToAnImageAndCuts) {
  const Tensor x = Tensor::full({64, 2, 2, 3}, 100);
  const std::vector<float> y = training_outputs(RandomBrightness(0.2), x)[0];
  float least = 1000, most = -1000;
  for (std::size_t n = 0; n < 64; n++)
    for (std::size_t i = 0; i < 12; i++) {
      EXPECT_EQ(y[n * 12 + i], y[n * 12]);
      least = std::min(least, y[n * 12]);
      most = std::max(most, y[n * 12]);
    }
  EXPECT_GE(least, 100 - 51);
  EXPECT_LE(most, 100 + 51);
  EXPECT_GT(most - least, 60);
  const auto bright = training_outputs(RandomBrightness({0.5, 1.0}, {.lowest = 0, .highest = 120}), x);
  for (float v : bright[0]) EXPECT_EQ(v, 120);
}

TEST(Augmentation, ContrastKeepsMeans) {
  const Tensor x = testing::hash_uniform("images", {16, 4, 4, 1});
  const std::vector<float> y = training_outputs(RandomContrast({0.5, 0.5}, {.lowest = -10, .highest = 10}),
                                                x)[0],
                           before = floats(x);
  for (std::size_t n = 0; n < 16; n++) {
    const Statistics a = statistics({before.begin() + static_cast<std::ptrdiff_t>(n * 16),
                                     before.begin() + static_cast<std::ptrdiff_t>(n * 16 + 16)});
    const Statistics b = statistics({y.begin() + static_cast<std::ptrdiff_t>(n * 16),
                                     y.begin() + static_cast<std::ptrdiff_t>(n * 16 + 16)});
    EXPECT_NEAR(a.mean, b.mean, 1e-5);
    EXPECT_GE(b.deviation, 0.499 * a.deviation);
    EXPECT_LE(b.deviation, 1.501 * a.deviation);
  }
}

TEST(Augmentation, CropsAreParts) {
  Tensor x({2, 5, 6, 1}, DType::f32);
  for (std::int64_t i = 0; i < x.size(); i++) x.data<float>()[i] = static_cast<float>(i);
  std::vector<float> corners;
  for (const std::vector<float>& y : training_outputs(RandomCrop(3, 4), x, 20)) {
    const float corner = y[0];
    corners.push_back(corner);
    const auto top = static_cast<std::int64_t>(corner) / 6, left = static_cast<std::int64_t>(corner) % 6;
    EXPECT_LE(top, 2);
    EXPECT_LE(left, 2);
    for (std::size_t n = 0; n < 2; n++)
      for (std::size_t h = 0; h < 3; h++)
        for (std::size_t w = 0; w < 4; w++)
          EXPECT_EQ(y[(n * 3 + h) * 4 + w], corner + static_cast<float>(n * 30 + h * 6 + w));
  }
  std::sort(corners.begin(), corners.end());
  EXPECT_GT(std::unique(corners.begin(), corners.end()) - corners.begin(), 4);
}

TEST(BatchNormalization, TrainsMovesAndFreezes) {
  const Tensor x = testing::hash_signed("x", {32, 3}, 2), y = testing::hash_signed("y", {32, 1});
  Layer norm = BatchNormalization({.momentum = 0.5});
  Sequential model({Input({3}), norm, Dense(1)});
  model.compile({.optimizer = "sgd", .loss = "mse"});
  model.train_on_batch(x, y);
  const std::vector<Tensor> after = norm.get_weights();
  ASSERT_EQ(after.size(), 4u);
  const std::vector<float> values = floats(x);
  for (std::size_t f = 0; f < 3; f++) {
    std::vector<float> column;
    for (std::size_t i = f; i < values.size(); i += 3) column.push_back(values[i]);
    const Statistics s = statistics(column);
    EXPECT_NEAR(floats(after[2])[f], 0.5 * s.mean, 1e-6);
    EXPECT_NEAR(floats(after[3])[f], 0.5 + 0.5 * s.deviation * s.deviation, 1e-6);
  }
  norm.set_trainable(false);
  const std::vector<float> frozen = floats(norm.get_weights()[2]);
  model.train_on_batch(x, y);
  EXPECT_EQ(floats(norm.get_weights()[2]), frozen);
  EXPECT_EQ(floats(norm.get_weights()[0]), floats(after[0]));
}

TEST(Normalization, AdaptsToData) {
  const Tensor x({{1.f, 10.f}, {3.f, 20.f}, {5.f, 60.f}});
  NormalizationLayer norm = Normalization();
  norm.adapt(x);
  testing::expect_near(norm.get_weights()[0], {3, 30});
  testing::expect_near(norm.get_weights()[1], {8.0 / 3, 1400.0 / 3});
  const Tensor y = testing::run(norm, x);
  testing::expect_near(y, {-std::sqrt(1.5), -20 / std::sqrt(1400.0 / 3), 0, -10 / std::sqrt(1400.0 / 3),
                           std::sqrt(1.5), 30 / std::sqrt(1400.0 / 3)});
  NormalizationLayer one = Normalization({.axis = std::nullopt});
  one.adapt(x);
  testing::expect_near(one.get_weights()[0], {16.5});
  EXPECT_ERROR(ShapeError, "has 2 features", norm.adapt(Tensor({{1.f, 2.f, 3.f}})));
  EXPECT_ERROR(StateError, "were given", Normalization({.mean = {0}, .variance = {1}}).adapt(x));
  EXPECT_ERROR(ValueError, "both", Normalization({.mean = {0}}));
}

TEST(Constraints, HoldAfterEveryStep) {
  const Tensor x = testing::hash_signed("x", {16, 4}, 3), y = testing::hash_signed("y", {16, 3}, 5);
  const auto kernel_after = [&](const Constraint& constraint) {
    Sequential model({Input({4}), Dense(3, {.kernel_constraint = constraint})});
    model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.1}), .loss = "mse"});
    for (int i = 0; i < 5; i++) model.train_on_batch(x, y);
    return floats(model.get_weights()[0]);
  };
  const auto length = [](const std::vector<float>& w, std::size_t column) {
    double sum = 0;
    for (std::size_t i = column; i < w.size(); i += 3) sum += static_cast<double>(w[i]) * w[i];
    return std::sqrt(sum);
  };
  for (float w : kernel_after("non_neg")) EXPECT_GE(w, 0);
  const std::vector<float> unit = kernel_after("unit_norm"),
                           shorter = kernel_after(constraints::MaxNorm(0.5)),
                           between =
                               kernel_after(constraints::MinMaxNorm({.min_value = 0.2, .max_value = 0.3}));
  for (std::size_t c = 0; c < 3; c++) {
    EXPECT_NEAR(length(unit, c), 1, 1e-5);
    EXPECT_LE(length(shorter, c), 0.5 + 1e-5);
    EXPECT_GE(length(between, c), 0.2 - 1e-5);
    EXPECT_LE(length(between, c), 0.3 + 1e-5);
  }
}

TEST(ActivityRegularization, CountsInTheLoss) {
  const Tensor x({{1.f, -2.f}, {3.f, 0.f}});
  Sequential model({Input({2}), ActivityRegularization({.l1 = 0.5, .l2 = 0.25}), Dense(1)});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mse"});
  const Tensor y = model.predict(x, {.verbose = 0});
  EXPECT_NEAR(model.test_on_batch(x, y)["loss"], 0.5 * 6 + 0.25 * 14, 1e-5);
  Sequential dense({Input({2}), Dense(2, {.kernel_initializer = "identity", .activity_regularizer = "l1"})});
  dense.compile({.optimizer = "sgd", .loss = "mse"});
  EXPECT_NEAR(dense.test_on_batch(x, x)["loss"], 0.01 * 6, 1e-6);
}

TEST(Embedding, ReadsRowsAndRefusesOthers) {
  Sequential model({Input({2}, {.dtype = DType::i32}), Embedding(3, 2)});
  model.set_weights({Tensor({{0.f, 1.f}, {2.f, 3.f}, {4.f, 5.f}})});
  const Tensor numbers(std::vector<std::int32_t>{2, 0, 1, 1}, {2, 2});
  EXPECT_EQ(floats(model.predict_on_batch(numbers)), (std::vector<float>{4, 5, 0, 1, 2, 3, 2, 3}));
  const Tensor wrong(std::vector<std::int32_t>{2, 0, 3, 1}, {2, 2});
  EXPECT_ERROR(ValueError, "number 3 in row 1 is outside [0, 3)", model.predict_on_batch(wrong));
}

TEST(Attention, CausalMasksSeeNoLaterSteps) {
  const auto x = Input({4, 3});
  const Model model(
      {.inputs = {x}, .outputs = {MultiHeadAttention(2, 3, {.use_causal_mask = true})({x, x})}});
  Tensor data = testing::hash_signed("x", {1, 4, 3});
  const std::vector<float> before = floats(model(data));
  data.data<float>()[9] += 1;  // the last step
  const std::vector<float> after = floats(model(data));
  EXPECT_EQ(std::vector<float>(before.begin(), before.begin() + 9),
            std::vector<float>(after.begin(), after.begin() + 9));
  EXPECT_NE(before, after);
}

TEST(Lambda, IsAFunctionAsALayer) {
  const Layer doubled = Lambda([](graph::Value x) { return x * 2.0; });
  EXPECT_EQ(floats(testing::run(doubled, Tensor({{1.f, 2.f}}))), (std::vector<float>{2, 4}));
  const auto slope = function([&](Call& call, graph::Value x) {
    return gradient(graph::reduce_sum(doubled(call, x)), {x})[0];
  });
  EXPECT_EQ(floats(slope(Tensor({{1.f, 2.f}}))), (std::vector<float>{2, 2}));
  EXPECT_ERROR(StateError, "doesn't override", doubled.get_config());
  EXPECT_ERROR(ValueError, "empty", Lambda({}));
  testing::covers("Layers", "Lambda", "forward gradient");
}

}  // namespace
}  // namespace kiln
