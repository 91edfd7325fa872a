// Random rotations, translations and zooms, Resizing and SpectralNormalization beyond their golden values.
#include "tests/api/support.h"
#include "tests/support/hash_data.h"

namespace kiln {
namespace {

using namespace layers;
using testing::expect_near;
using testing::floats;
using testing::message_of;

/// Gives what it gets, and keeps what it got in a training step.
class Seen final : public LayerImpl {
 public:
  explicit Seen(std::int64_t rows) : rows_(rows) {}
  void build(const Shape& input) override {
    Shape shape = input;
    shape[0] = rows_;
    seen = add_weight({.name = "seen", .shape = shape, .initializer = "zeros", .trainable = false});
  }
  graph::Value call(Call& context, graph::Value x) override {
    if (context.training()) context.assign(seen, x);
    return x;
  }
  Variable seen;

 private:
  std::int64_t rows_;
};

/// What a layer gives in steps of training.
std::vector<std::vector<float>> in_training(const Layer& layer, const Tensor& x, int steps = 1) {
  set_random_seed(3);
  const Layer seen = make_layer<Seen>(x.shape()[0]);
  Sequential model({Input(x.shape().tail()), layer, seen, Flatten(), Dense(1)});
  model.compile({.optimizer = "sgd", .loss = "mse"});
  std::vector<std::vector<float>> all;
  for (int i = 0; i < steps; i++) {
    model.train_on_batch(x, Tensor::zeros({x.shape()[0], 1}));
    all.push_back(floats(seen.weights()[0].value()));
  }
  return all;
}

const std::vector<Layer>& transforms() {
  static const std::vector<Layer> all = {RandomRotation(0.4), RandomTranslation(0.4, {-0.1, 0.3}),
                                         RandomZoom(0.4), RandomZoom({0.1, 0.5}, -0.2)};
  return all;
}

TEST(Transforms, DrawAnewForEachImageAndStepAndRepeatWithTheSeed) {
  const Tensor one = testing::hash_uniform("image", {1, 6, 7, 2});
  std::vector<float> twice = floats(one);
  twice.insert(twice.end(), twice.begin(), twice.begin() + one.size());
  const Tensor x(twice, {2, 6, 7, 2});
  for (const Layer& layer : transforms()) {
    SCOPED_TRACE(layer.class_name());
    const auto steps = in_training(layer, x, 2);
    const auto middle = steps[0].begin() + one.size();
    EXPECT_NE(std::vector<float>(steps[0].begin(), middle), std::vector<float>(middle, steps[0].end()));
    EXPECT_NE(steps[0], steps[1]);
    EXPECT_EQ(in_training(layer, x, 2), steps);
    EXPECT_EQ(floats(testing::run(layer, x)), twice);  // predictions leave images as they are
  }
}

TEST(Transforms, OfTheirOwnSeedDontDependOnTheGlobalOne) {
  const Tensor x = testing::hash_uniform("image", {2, 5, 5, 1});
  const auto drawn = [&](std::int64_t global) {
    set_random_seed(global);
    const Layer seen = make_layer<Seen>(2);
    Sequential model({Input({5, 5, 1}), RandomRotation(0.5, {.seed = 11}), seen, Flatten(), Dense(1)});
    model.compile({.optimizer = "sgd", .loss = "mse"});
    model.train_on_batch(x, Tensor::zeros({2, 1}));
    return floats(seen.weights()[0].value());
  };
  EXPECT_EQ(drawn(1), drawn(2));
}

TEST(Transforms, RotateByQuartersAndShiftByPixels) {
  const Tensor x(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 3, 3, 1});
  const auto once = [&](const Layer& layer) { return in_training(layer, x)[0]; };
  const TransformArgs nearest{.interpolation = "nearest"};
  const TransformArgs zeros{.fill_mode = "constant", .interpolation = "nearest", .fill_value = -1};
  EXPECT_EQ(once(RandomRotation({0.25, 0.25}, nearest)), (std::vector<float>{3, 6, 9, 2, 5, 8, 1, 4, 7}));
  EXPECT_EQ(once(RandomRotation({-0.25, -0.25}, nearest)), (std::vector<float>{7, 4, 1, 8, 5, 2, 9, 6, 3}));
  const double pixel = 1.0 / 3;
  EXPECT_EQ(once(RandomTranslation({pixel, pixel}, 0, zeros)),
            (std::vector<float>{-1, -1, -1, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(once(RandomTranslation(0, {-pixel, -pixel}, zeros)),
            (std::vector<float>{2, 3, -1, 5, 6, -1, 8, 9, -1}));
  EXPECT_EQ(once(RandomZoom({1, 1}, {}, zeros)), (std::vector<float>{-1, -1, -1, -1, 5, -1, -1, -1, -1}));
}

// The draws stay in their range: a ramp of columns shows how far each image moved.
TEST(Transforms, StayInTheirRange) {
  Tensor x({64, 1, 101, 1}, DType::f32);
  for (std::int64_t i = 0; i < x.size(); i++) x.data<float>()[i] = static_cast<float>(i % 101);
  const std::vector<float> y = in_training(RandomTranslation(0, {0.1, 0.3}), x)[0];
  float least = 101, most = -101;
  for (std::size_t n = 0; n < 64; n++) {
    const float moved = 50 - y[n * 101 + 50];
    least = std::min(least, moved);
    most = std::max(most, moved);
  }
  EXPECT_GE(least, 10.1f - 1e-3f);
  EXPECT_LE(most, 30.3f + 1e-3f);
  EXPECT_GT(most - least, 12);
}

// The layers before learn, too: a model that only has to undo a scale of its input.
TEST(Transforms, PassGradientsOn) {
  set_random_seed(1);
  const Tensor x = testing::hash_uniform("image", {8, 5, 5, 1});
  Sequential model({Input({5, 5, 1}), Conv2D(1, 1, {.use_bias = false, .kernel_initializer = "ones"}),
                    RandomRotation(0.2), GlobalAveragePooling2D()});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.5}), .loss = "mse"});
  for (int i = 0; i < 60; i++) model.train_on_batch(x, Tensor::zeros({8, 1}));
  EXPECT_LT(std::abs(model.get_weights()[0].item()), 1e-2);
}

TEST(Transforms, WorkOnImagesOfUnknownSize) {
  const auto image = Input({None, None, 3});
  EXPECT_EQ(RandomRotation(0.1)(image).shape(), (Shape{None, None, None, 3}));
}

TEST(TransformErrors, Arguments) {
  EXPECT_EQ(message_of<ValueError>([] { RandomRotation(1.5); }),
            "RandomRotation: factor must be a number, or two, in [-1, 1], but it is 1.5");
  EXPECT_EQ(message_of<ValueError>([] { RandomRotation({-2, 0.5}); }),
            "RandomRotation: factor must be a number, or two, in [-1, 1], but it is (-2, 0.5)");
  EXPECT_EQ(message_of<ValueError>([] { RandomTranslation(0.1, 7); }),
            "RandomTranslation: width_factor must be a number, or two, in [-1, 1], but it is 7");
  EXPECT_EQ(message_of<ValueError>([] { RandomZoom(-1); }),
            "RandomZoom: height_factor must be a number, or two, in (-1, 1], but it is -1");
  EXPECT_EQ(message_of<ValueError>([] { RandomZoom(0.1, Factor(0, std::nan(""))); }),
            "RandomZoom: width_factor must be a number, or two, in (-1, 1], but it is (0, nan)");
  EXPECT_EQ(
      message_of<ValueError>([] { RandomZoom(0.1, {}, {.fill_mode = "mirror"}); }),
      "RandomZoom: fill_mode \"mirror\" is not known. Known names: \"constant\", \"nearest\", \"wrap\", "
      "\"reflect\".");
  EXPECT_EQ(
      message_of<ValueError>([] { RandomRotation(0.1, {.interpolation = "bilinaer"}); }),
      "RandomRotation: interpolation \"bilinaer\" is not known. Did you mean \"bilinear\"? Known names: "
      "\"nearest\", \"bilinear\".");
  EXPECT_EQ(
      message_of<ShapeError>([] { RandomRotation(0.1, {.name = "turn"})(Input({28, 28})); }),
      "Input 0 of layer \"turn\" is incompatible with the layer: expected four axes, (batch, height, width, "
      "channels), but received input with shape (None, 28, 28). Add the channels' axis, e.g. by "
      "Reshape({height, width, 1})");
  EXPECT_EQ(message_of<ValueError>(
                [] { from_config("RandomRotation", Config::Dict{{"factor", Config::List{0.1, 0.2, 0.3}}}); }),
            "RandomRotation: factor in its configuration: [0.1,0.2,0.3] should have two numbers");
  EXPECT_EQ(message_of<ValueError>([] { Resizing(3, 3, {.fill_mode = "reflect"}); }),
            "Resizing: fill_mode \"reflect\" is not known. Known names: \"constant\".");
  EXPECT_EQ(message_of<ValueError>(
                [] { Resizing(3, 3, {.crop_to_aspect_ratio = true, .pad_to_aspect_ratio = true}); }),
            "Resizing: crop_to_aspect_ratio and pad_to_aspect_ratio can't both be true");
}

// ---- SpectralNormalization --------------------------------------------------------------------------------

TEST(SpectralNormalization, BringsTheLargestSingularValueToOne) {
  const Layer inner = Dense(3, {.use_bias = false});
  Sequential model({Input({4}), SpectralNormalization(inner, {.power_iterations = 50})});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mse"});
  const Tensor diagonal({{0.f, 5.f, 0.f}, {2.f, 0.f, 0.f}, {0.f, 0.f, -1.f}, {0.f, 0.f, 0.f}});
  Variable(inner.weights()[0]).assign(diagonal);
  const Tensor x = testing::hash_signed("x", {5, 4}), before = model.predict(x, {.verbose = 0});
  model.train_on_batch(x, Tensor::zeros({5, 3}));
  std::vector<double> fifth = diagonal.to_vector<double>();
  for (double& v : fifth) v /= 5;
  expect_near(inner.weights()[0].value(), fifth);
  // Predictions use what training left.
  std::vector<double> smaller = before.to_vector<double>();
  for (double& v : smaller) v /= 5;
  expect_near(model.predict(x, {.verbose = 0}), smaller);
}

TEST(SpectralNormalization, LeavesZeros) {
  const Layer zeros = Dense(2, {.use_bias = false, .kernel_initializer = "zeros"});
  Sequential model({Input({3}), SpectralNormalization(zeros), Dense(1)});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mse"});
  model.train_on_batch(testing::hash_signed("x", {4, 3}), Tensor::zeros({4, 1}));
  for (float w : floats(zeros.weights()[0].value())) EXPECT_EQ(w, 0);
}

// Used twice, both uses have a share in the gradient.
TEST(SpectralNormalization, IsSharedByTwoUses) {
  const Layer inner = Dense(1, {.use_bias = false});
  const Layer shared = SpectralNormalization(inner);
  const auto a = Input({1}), b = Input({1});
  Model model({.inputs = {a, b}, .outputs = {Add()({shared(a), shared(b)})}});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.1}), .loss = "mse"});
  Variable(inner.weights()[0]).assign(Tensor({{3.f}}));
  model.train_on_batch({Tensor({{1.f}}), Tensor({{2.f}})}, Tensor({{0.f}}));
  // The kernel becomes 1; y = 1 + 2, d(y^2)/dw = 2 * 3 * (1 + 2).
  expect_near(inner.weights()[0].value(), {1 - 0.1 * 18});
}

// As Keras has it: what isn't trained is divided, too.
TEST(SpectralNormalization, DividesFrozenKernels) {
  Layer inner = Dense(1, {.use_bias = false});
  Sequential model({Input({1}), SpectralNormalization(inner), Dense(1, {.kernel_initializer = "ones"})});
  inner.set_trainable(false);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mse"});
  Variable(inner.weights()[0]).assign(Tensor({{4.f}}));
  const Tensor x({{1.f}});
  expect_near(model.predict(x, {.verbose = 0}), {4});
  model.train_on_batch(x, x);
  expect_near(inner.weights()[0].value(), {1});
  expect_near(model.predict(x, {.verbose = 0}), {1});
}

TEST(SpectralNormalization, DividesEmbeddings) {
  const Layer inner = Embedding(3, 2);
  Sequential model({Input({2}, {.dtype = DType::i32}), SpectralNormalization(inner), Flatten(), Dense(1)});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mse"});
  Variable(inner.weights()[0]).assign(Tensor({{0.f, 0.f}, {3.f, 4.f}, {0.f, 0.f}}));
  model.train_on_batch(Tensor({{0, 1}, {2, 1}}), Tensor({{1.f}, {0.f}}));
  expect_near(inner.weights()[0].value(), {0, 0, 0.6, 0.8, 0, 0});
}

TEST(SpectralNormalization, Mistakes) {
  EXPECT_EQ(message_of<ValueError>([] { SpectralNormalization(Dense(2), {.power_iterations = 0}); }),
            "SpectralNormalization: power_iterations must be positive, not 0");
  EXPECT_EQ(message_of<StateError>([] { SpectralNormalization(Layer()); }),
            "SpectralNormalization: the layer is an empty handle; make one first, e.g. Dense(10)");
  EXPECT_EQ(message_of<ValueError>([] {
              SpectralNormalization(Flatten({.name = "flat"}), {.name = "spectral"})(Input({2, 2}));
            }),
            "layer \"spectral\" (SpectralNormalization): layer \"flat\" (Flatten) has neither a weight "
            "\"kernel\" nor "
            "\"embeddings\" that could be normalized; wrap a Dense, a convolution or an Embedding");
}

// A layer's assigned weight is seen by what comes after it in the step.
TEST(Call, AssignedWeightsAreSeenLaterInTheStep) {
  class Counter final : public LayerImpl {
   public:
    void build(const Shape&) override {
      count = add_weight({.name = "count", .shape = {}, .initializer = "zeros", .trainable = false});
    }
    graph::Value call(Call& context, graph::Value x) override {
      if (context.training()) context.assign(count, context(count) + 1.0);
      return x * context(count);
    }
    Variable count;
  };
  const Layer counter = make_layer<Counter>();
  const auto input = Input({1});
  Model model({.inputs = {input}, .outputs = {Dense(1)(counter(counter(input)))}});
  model.compile({.optimizer = "sgd", .loss = "mse"});
  for (int i = 0; i < 3; i++) model.train_on_batch(Tensor({{1.f}}), Tensor({{1.f}}));
  EXPECT_EQ(counter.weights()[0].value().item(), 6);
}

}  // namespace
}  // namespace kiln
