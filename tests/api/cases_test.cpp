// Faults that other projects had, each as a test of its kind: values by hand, as the closed form gives them.
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "tests/api/support.h"

namespace kiln {
namespace {

using namespace layers;
using testing::expect_near;
using testing::floats;
using testing::line;
using testing::run;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float inf = std::numeric_limits<float>::infinity();

std::vector<float> ramp(std::int64_t n, float first = 0, float step = 1) {
  std::vector<float> v;
  for (std::int64_t i = 0; i < n; i++) v.push_back(first + step * static_cast<float>(i));
  return v;
}

// ---- a layer of graph ops, to test what fusion and placement make of them inside a model ------------------

struct Emitted final : LayerImpl {
  explicit Emitted(std::function<graph::Value(graph::Value)> f) : emit_ops(std::move(f)) {}
  graph::Value call(Call&, graph::Value x) override { return emit_ops(x); }
  std::function<graph::Value(graph::Value)> emit_ops;
};
Tensor emitted(std::function<graph::Value(graph::Value)> f, const Tensor& x) {
  return run(make_layer<Emitted>(std::move(f)), x);
}

// Case 1: a shift written over its own source.
TEST(Case1, ShiftsDoNotReadWhatTheyOverwrote) {
  for (std::int64_t n : {5, 6, 17, 64}) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < n; i++) values.push_back(static_cast<float>((i * 7) % 11) + 1);
    const Tensor x(values, {1, n});
    const Tensor down = emitted(
        [n](graph::Value v) {
          const graph::Value b = v * 2.0;
          const graph::Value parts[] = {graph::slice(b, {0, 0}, {v.shape()[0], 1}),
                                        graph::slice(b, {0, 0}, {v.shape()[0], n - 1})};
          return graph::reshape(graph::concatenate(parts, 1), {v.shape()[0], n, 1});
        },
        x);
    const Tensor up = emitted(
        [n](graph::Value v) {
          const graph::Value b = v * 2.0;
          const graph::Value parts[] = {graph::slice(b, {0, 1}, {v.shape()[0], n}),
                                        graph::slice(b, {0, n - 1}, {v.shape()[0], n})};
          return graph::concatenate(parts, 1);
        },
        x);
    for (std::int64_t i = 0; i < n; i++) {
      EXPECT_EQ(down(0, i, 0), 2 * x(0, std::max<std::int64_t>(i - 1, 0)));
      EXPECT_EQ(up(0, i), 2 * x(0, std::min(i + 1, n - 1)));
    }
  }
}

// Case 2: a row's mean and the row itself, fused.
TEST(Case2, RowMeansMeetTheirOwnRows) {
  for (std::int64_t rows : {1, 7, 8, 19, 33})
    for (std::int64_t columns : {1, 3, 8, 15, 16, 17, 33, 37}) {
      std::vector<float> values;
      for (std::int64_t i = 0; i < rows; i++)
        for (std::int64_t j = 0; j < columns; j++) values.push_back(static_cast<float>(100 * i + j));
      const Tensor z = emitted(
          [](graph::Value x) {
            const graph::Value y = x * 2.0;
            return y - graph::reduce_mean(y, {1}, true);
          },
          Tensor(values, {rows, columns}));
      for (std::int64_t i = 0; i < rows; i++)
        for (std::int64_t j = 0; j < columns; j++)
          ASSERT_NEAR(z(i, j), 2 * (static_cast<double>(j) - static_cast<double>(columns - 1) / 2), 1e-3);
    }
}

// ---- case 3: dropout ---------------------------------------------------------------------------------------

// A model whose training shows the mask: y = dropout(x * w), w ones; the loss is the sum of the outputs, so the
// gradient of w is x * mask and, with learning rate 1, w - 1 = -x * mask after a step.
struct Elementwise final : LayerImpl {
  Variable w;
  void build(const Shape& input) override {
    w = add_weight({.name = "w", .shape = input.tail(), .initializer = "ones"});
  }
  graph::Value call(Call& call, graph::Value x) override { return x * call(w); }
};

struct DropoutRun {
  Tensor mask;   // of the step's gradient
  double sum;    // of the step's outputs
};

std::vector<DropoutRun> dropout_steps(double rate, std::int64_t seed, int steps) {
  set_random_seed(seed);
  Sequential model({Input({1000}), make_layer<Elementwise>(), Dropout(rate)});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 1}),
                 .loss = losses::make_loss("total", [](graph::Value, graph::Value p) { return graph::reduce_sum(p, {1}); })});
  const Tensor x = Tensor::full({1, 1000}, 1);
  std::vector<DropoutRun> runs;
  for (int i = 0; i < steps; i++) {
    model.set_weights({Tensor::full({1000}, 1)});
    model.reset_metrics();
    const double sum = model.train_on_batch(x, x)["loss"];
    Tensor mask = model.get_weights()[0];
    for (std::int64_t k = 0; k < 1000; k++) mask(k) = 1 - mask(k);
    runs.push_back({mask, sum});
  }
  return runs;
}

TEST(Case3, ForwardAndBackwardDropTheSameElements) {
  const auto runs = dropout_steps(0.5, 7, 2);
  for (const DropoutRun& r : runs) {
    std::int64_t kept = 0;
    double sum = 0;
    for (std::int64_t k = 0; k < 1000; k++) {
      const double m = r.mask(k);
      ASSERT_TRUE(m == 0 || m == 2) << m;
      kept += m == 2;
      sum += m;
    }
    EXPECT_GE(kept, 440);
    EXPECT_LE(kept, 560);
    // The same elements went forward, and their number shows in the loss.
    EXPECT_DOUBLE_EQ(r.sum, sum);
  }
  EXPECT_NE(floats(runs[0].mask), floats(runs[1].mask)) << "every step must drop other elements";
}

TEST(Case3, TheSameSeedDropsTheSame) {
  const auto a = dropout_steps(0.3, 11, 3);
  const auto b = dropout_steps(0.3, 11, 3);
  const auto c = dropout_steps(0.3, 12, 3);
  for (std::size_t i = 0; i < a.size(); i++) {
    EXPECT_EQ(floats(a[i].mask), floats(b[i].mask));
    EXPECT_NE(floats(a[i].mask), floats(c[i].mask));
  }
}

TEST(Case3, TheMaskIsNotGuessedFromZeroOutputs) {
  // x = 0 gives an output of 0 whether dropped or not; the gradient of an addition behind it shows the mask.
  struct Shifted final : LayerImpl {
    Variable b;
    void build(const Shape& input) override {
      b = add_weight({.name = "b", .shape = input.tail(), .initializer = "zeros"});
    }
    graph::Value call(Call& call, graph::Value x) override { return x + call(b); }
  };
  set_random_seed(5);
  Sequential model({Input({1000}), make_layer<Shifted>(), Dropout(0.5)});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 1}),
                 .loss = losses::make_loss("total", [](graph::Value, graph::Value p) { return graph::reduce_sum(p, {1}); })});
  std::vector<float> x;
  for (int i = 0; i < 1000; i++) x.push_back(i % 2 == 0 ? 1.f : 0.f);
  model.train_on_batch(Tensor(x, {1, 1000}), Tensor(x, {1, 1000}));
  int kept_zeros = 0;
  const Tensor b = model.get_weights()[0];
  for (std::int64_t i = 1; i < 1000; i += 2) kept_zeros += b(i) == -2.0;
  EXPECT_GT(kept_zeros, 190);
  EXPECT_LT(kept_zeros, 310);
}

TEST(Case3, PredictionAndRateZeroKeepEverything) {
  const Tensor x(ramp(1000, 1), {1, 1000});
  EXPECT_EQ(floats(run(Dropout(0.5), x)), floats(x));
  const auto runs = dropout_steps(0, 7, 1);
  EXPECT_EQ(runs[0].sum, 1000);
  const auto none = dropout_steps(1, 7, 1);
  EXPECT_EQ(none[0].sum, 0);
}

// ---- case 4: saturated sigmoids ---------------------------------------------------------------------------

// Per-sample losses and dL/dz of a loss of logits, by a model z = x + b whose b takes one step.
struct PerSample {
  std::vector<float> gradients;
  double loss;
};
PerSample gradients_of(const Loss& loss, const std::vector<float>& z, const Tensor& y, const char* activation) {
  struct Bias final : LayerImpl {
    explicit Bias(std::int64_t rows) : rows(rows) {}
    std::int64_t rows;
    Variable b;
    void build(const Shape&) override { b = add_weight({.name = "b", .shape = {rows, 1}, .initializer = "zeros"}); }
    graph::Value call(Call& call, graph::Value x) override {
      return x.shape()[0] == rows ? x + call(b) : x;  // the probes of shapes have other batch sizes
    }
  };
  const auto rows = static_cast<std::int64_t>(z.size());
  Sequential model({Input({1}), make_layer<Bias>(rows), Activation(activation)});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 1}), .loss = loss});
  const double value = model.train_on_batch(Tensor(z, {rows, 1}), y)["loss"];
  PerSample result{{}, value};
  for (float b : floats(model.get_weights()[0])) result.gradients.push_back(-b * static_cast<float>(rows));
  return result;
}

TEST(Case4, LogitsKeepTheirGradientHoweverLarge) {
  const std::vector<float> z = {120, -90, 0, -60, 25};
  const Tensor y(std::vector<float>{0, 1, 1, 1, 1}, {5, 1});
  const PerSample r = gradients_of(losses::BinaryCrossentropy({.from_logits = true}), z, y, "linear");
  EXPECT_NEAR(r.loss, 54.138629, 1e-4);
  const std::vector<double> expected = {1, -1, -0.5, -1, -1.4e-11};
  for (std::size_t i = 0; i < 5; i++) EXPECT_NEAR(r.gradients[i], expected[i], 1e-6) << i;
}

TEST(Case4, ProbabilitiesAreClippedAndTheGradientIsFinite) {
  const std::vector<float> z = {120, -90, 0, -60, 25};
  const Tensor y(std::vector<float>{0, 1, 1, 1, 1}, {5, 1});
  const PerSample r = gradients_of(losses::BinaryCrossentropy(), z, y, "sigmoid");
  EXPECT_TRUE(std::isfinite(r.loss));
  for (float g : r.gradients) EXPECT_TRUE(std::isfinite(g));
  const PerSample one = gradients_of(losses::BinaryCrossentropy(), {120}, Tensor(std::vector<float>{0}, {1, 1}), "sigmoid");
  EXPECT_NEAR(one.loss, 15.9424, 1e-3);
}

TEST(Case4, SparseLogitsAreStable) {
  const Tensor y({0, 1});
  const Tensor z(std::vector<float>{1000, 0, -1000, 0, -3000, 1e4}, {2, 3});
  EXPECT_NEAR(losses::SparseCategoricalCrossentropy({.from_logits = true})(y, z), (0 + 13000.0) / 2, 1e-2);
}

// Case 5: functions far out; scalar tails and vector bodies agree.
TEST(Case5, FunctionsAreRightOverTheWholeRangeAndEveryLength) {
  const std::vector<float> at = {-1e4f, -104, -89, -88, -20, 0, 20, 88, 89, 1e4f, nan, inf, -inf};
  for (std::size_t length = 1; length <= 17; length++)
    for (std::size_t shift : {std::size_t{0}, length % at.size()}) {
      std::vector<float> x;
      for (std::size_t i = 0; i < length; i++) x.push_back(at[(i + shift) % at.size()]);
      const Tensor input(x, {1, static_cast<std::int64_t>(length)});
      const auto sigmoid = floats(run(Activation("sigmoid"), input));
      const auto tanh = floats(run(Activation("tanh"), input));
      const auto exp = floats(run(Activation("exponential"), input));
      for (std::size_t i = 0; i < length; i++) {
        if (std::isnan(x[i])) {
          EXPECT_TRUE(std::isnan(sigmoid[i]) && std::isnan(tanh[i]) && std::isnan(exp[i]));
          continue;
        }
        const double s = 1 / (1 + std::exp(-static_cast<double>(x[i])));
        if (x[i] <= -88) {
          EXPECT_LT(sigmoid[i], 1e-37f);
        } else {
          EXPECT_NEAR(sigmoid[i], s, 1e-6 * s);
        }
        EXPECT_LE(std::abs(tanh[i]), 1.f);
        EXPECT_NEAR(tanh[i], std::tanh(static_cast<double>(x[i])), 1e-6);
        const float e = std::exp(x[i]);
        if (std::isinf(e)) {
          EXPECT_EQ(exp[i], inf);
        } else {
          EXPECT_NEAR(exp[i], e, 2e-6 * e);
        }
      }
      if (shift == 0 && length >= 7) {
        EXPECT_EQ(tanh[6], 1.f);
      }
    }
  EXPECT_NEAR(run(Activation("exponential"), Tensor({{88.72f}})).item(), 3.39318e38, 1e34);
  EXPECT_EQ(run(Activation("exponential"), Tensor({{88.73f}})).item(), inf);
  EXPECT_NEAR(run(Activation("sigmoid"), Tensor({{-20.f}})).item(), 2.0611537e-9, 1e-14);
}

// Case 6: "same" padding, the extra zero at the end; stride and dilation count.
std::vector<float> convolved(const std::vector<float>& x, const std::vector<float>& kernel, Conv2DArgs args, bool down) {
  const auto n = static_cast<std::int64_t>(x.size());
  const auto k = static_cast<std::int64_t>(kernel.size());
  args.padding = "same";
  args.use_bias = false;
  const Shape image = down ? Shape{n, 1, 1} : Shape{1, n, 1};
  Layer conv = Conv2D(1, down ? Size2(k, 1) : Size2(1, k), args);
  const auto input = Input(image);
  Model model({.inputs = {input}, .outputs = {conv(input)}});
  model.set_weights({Tensor(kernel, conv.weights()[0].shape())});
  return floats(model(Tensor(x, image.prepend(1))));
}

TEST(Case6, SamePaddingPutsTheOddZeroLast) {
  for (bool down : {false, true}) {
    const auto stride = [&](std::int64_t s) { return Conv2DArgs{.strides = down ? Size2(s, 1) : Size2(1, s)}; };
    EXPECT_EQ(convolved(ramp(6, 1), {1, 10, 100}, stride(2), down), (std::vector<float>{321, 543, 65}));
    EXPECT_EQ(convolved(ramp(7, 1), {1, 10, 100}, stride(2), down), (std::vector<float>{210, 432, 654, 76}));
    EXPECT_EQ(convolved(ramp(5, 1), {1, 10, 100, 1000}, stride(1), down),
              (std::vector<float>{3210, 4321, 5432, 543, 54}));
    EXPECT_EQ(convolved(ramp(8, 1, 0), std::vector<float>(7, 1), stride(2), down), (std::vector<float>{5, 7, 6, 4}));
    EXPECT_EQ(convolved(ramp(8, 1), {1, 10}, {.dilation_rate = down ? Size2(3, 1) : Size2(1, 3)}, down),
              (std::vector<float>{30, 41, 52, 63, 74, 85, 6, 7}));
    EXPECT_EQ(convolved({1, 2}, {1, 10, 100, 1000, 10000}, stride(3), down), (std::vector<float>{210}));
  }
}

TEST(Case6, SamePaddingInTwoDimensionsIsTheOuterProduct) {
  const std::vector<float> x = ramp(6, 1), kernel = {1, 10, 100}, expected = {321, 543, 65};
  std::vector<float> image, square;
  for (float a : x)
    for (float b : x) image.push_back(a * b);
  for (float a : kernel)
    for (float b : kernel) square.push_back(a * b);
  Layer conv = Conv2D(1, 3, {.strides = 2, .padding = "same", .use_bias = false});
  const auto input = Input({6, 6, 1});
  Model model({.inputs = {input}, .outputs = {conv(input)}});
  model.set_weights({Tensor(square, {3, 3, 1, 1})});
  const Tensor y = model(Tensor(image, {1, 6, 6, 1}));
  for (std::int64_t i = 0; i < 3; i++)
    for (std::int64_t j = 0; j < 3; j++)
      EXPECT_FLOAT_EQ(static_cast<float>(y(0, i, j, 0)),
                      expected[static_cast<std::size_t>(i)] * expected[static_cast<std::size_t>(j)]);
}

// ---- case 7: averages over a short last batch --------------------------------------------------------------

TEST(Case7, AveragesDoNotDependOnTheBatchSize) {
  Sequential model = line(1);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mse", .metrics = {"mse"}});
  const Tensor x({1.f, 2.f, 3.f, 4.f, 10.f});
  const Tensor y = Tensor::zeros({5});
  for (std::int64_t batch_size = 1; batch_size <= 6; batch_size++) {
    const Logs logs = model.evaluate(x, y, {.batch_size = batch_size, .verbose = 0});
    EXPECT_FLOAT_EQ(logs["loss"], 26);
    EXPECT_FLOAT_EQ(logs["mse"], 26);
    const History history =
        model.fit(x, y, {.batch_size = batch_size, .verbose = 0, .validation_data = {x, y}});
    for (const char* name : {"loss", "mse", "val_loss", "val_mse"}) EXPECT_FLOAT_EQ(history[name][0], 26) << name;
  }
}

TEST(Case7, UntrainedSoftmaxCostsTheLogarithmOfItsClasses) {
  Sequential model({Input({4}), Dense(10, {.activation = "softmax", .kernel_initializer = "zeros"})});
  model.compile({.loss = "sparse_categorical_crossentropy"});
  const Tensor x(ramp(80), {20, 4});
  std::vector<std::int32_t> labels;
  for (int i = 0; i < 20; i++) labels.push_back(i % 10);
  for (std::int64_t batch_size : {1, 3, 8, 20})
    EXPECT_NEAR(model.evaluate(x, labels, {.batch_size = batch_size, .verbose = 0})["loss"], 2.3025851, 3e-6);
}

// ---- case 8: one layer in two places -----------------------------------------------------------------------

Model twice(double w, bool nested) {
  Layer dense = Dense(1, {.use_bias = false, .kernel_initializer = initializers::Constant(w)});
  const auto x = Input({1});
  if (!nested) return Model({.inputs = {x}, .outputs = {dense(dense(x))}});
  const auto inner_x = Input({1});
  Model inner({.inputs = {inner_x}, .outputs = {dense(inner_x)}});
  return Model({.inputs = {x}, .outputs = {dense(inner(x))}});
}

TEST(Case8, BothUsesOfASharedLayerGiveTheirGradient) {
  const std::string path = std::filesystem::temp_directory_path() / "kiln_case8.safetensors";
  for (bool nested : {false, true}) {
    Model model = twice(3, nested);
    EXPECT_EQ(model.count_params(), 1);
    model.save_weights(path);
    Model loaded = twice(0, nested);
    loaded.load_weights(path);
    EXPECT_EQ(loaded.count_params(), 1);
    for (Model m : {model, loaded}) {
      m.compile({.optimizer = optimizers::SGD({.learning_rate = 0.001}), .loss = "mse"});
      EXPECT_EQ(m(Tensor({{1.f}})).item(), 9);
      EXPECT_FLOAT_EQ(m.train_on_batch(Tensor({{1.f}}), Tensor({{0.f}}))["loss"], 81);
      EXPECT_FLOAT_EQ(m.get_weights()[0].item(), 2.892f);
    }
  }
  std::filesystem::remove(path);
}

// ---- case 9: nothing is broadcast in a loss ----------------------------------------------------------------

TEST(Case9, TargetsWithoutTheirLastAxisMeetTheirOwnPredictions) {
  const Tensor y({1.f, 2.f, 3.f});
  const Tensor p({{1.f}, {2.f}, {3.f}});
  for (const char* name : {"mse", "mae"}) {
    EXPECT_EQ(Loss(name)(y, p), 0);
    EXPECT_EQ(Metric(name)(y, p), 0);
    EXPECT_EQ(Loss(name)(p, y), 0);
  }
}

TEST(Case9, OtherShapesAreAnErrorThatNamesBoth) {
  const Tensor y({{1.f, 2.f}, {1.f, 2.f}, {1.f, 2.f}});
  const Tensor p({{1.f}, {2.f}, {3.f}});
  for (const char* name : {"mse", "mae", "binary_crossentropy"}) {
    EXPECT_ERROR(ShapeError, "(3, 2)", Loss{name}(y, p));
    EXPECT_ERROR(ShapeError, "(3, 1)", Loss{name}(y, p));
  }
  Sequential model = line(1);
  model.compile({.loss = "mse"});
  EXPECT_ERROR(ShapeError, "(3, 2)", model.fit(p, y, {.verbose = 0}));
}

// ---- case 13: labels out of range --------------------------------------------------------------------------

TEST(Case13, ALabelOutOfRangeStopsTheStepAndChangesNothing) {
  for (bool from_logits : {false, true})
    for (std::int32_t wrong : {3, -1, 1000000}) {
      Sequential model({Input({2}), Dense(3, {.activation = from_logits ? "linear" : "softmax"})});
      model.compile({.optimizer = optimizers::Adam(),
                     .loss = losses::SparseCategoricalCrossentropy({.from_logits = from_logits}),
                     .metrics = {"accuracy"}});
      const Tensor x(ramp(6), {3, 2});
      const std::vector<std::int32_t> labels = {0, wrong, 1};
      const auto before = floats(model.get_weights()[0]);
      const std::string expected = "label " + std::to_string(wrong) + " in row 1 is outside [0, 3)";
      EXPECT_ERROR(ValueError, expected, model.train_on_batch(x, labels));
      EXPECT_ERROR(ValueError, "sparse_categorical_crossentropy", model.evaluate(x, labels, {.verbose = 0}));
      EXPECT_EQ(floats(model.get_weights()[0]), before);
      EXPECT_EQ(model.optimizer().iterations(), 0);
    }
}

TEST(Case13, TheRowIsTheUsersWhateverTheBatchAndOrder) {
  Sequential model({Input({1}), Dense(3, {.activation = "softmax"})});
  model.compile({.optimizer = optimizers::SGD(), .loss = "sparse_categorical_crossentropy"});
  const Tensor x(ramp(11), {11, 1});
  for (std::size_t bad : {0, 4, 10}) {
    std::vector<std::int32_t> labels(11, 2);
    labels[bad] = 7;
    const std::string expected = "label 7 in row " + std::to_string(bad) + " is outside [0, 3)";
    for (bool shuffle : {false, true})
      EXPECT_ERROR(ValueError, expected, model.fit(x, labels, {.batch_size = 4, .verbose = 0, .shuffle = shuffle}));
    EXPECT_ERROR(ValueError, expected, model.evaluate(x, labels, {.batch_size = 4, .verbose = 0}));
  }
}

// ---- case 14: norms ----------------------------------------------------------------------------------------

// The gradient of a p-norm at a point, by one step of a model y = b.
std::vector<float> norm_gradient(double p, const std::vector<float>& at) {
  struct Point final : LayerImpl {
    explicit Point(std::int64_t n) : n(n) {}
    std::int64_t n;
    Variable b;
    void build(const Shape&) override { b = add_weight({.name = "b", .shape = {n}, .initializer = "zeros"}); }
    graph::Value call(Call& call, graph::Value x) override { return x + call(b); }
  };
  const auto n = static_cast<std::int64_t>(at.size());
  Sequential model({Input({n}), make_layer<Point>(n)});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 1}), .loss = losses::PNorm(p)});
  model.train_on_batch(Tensor(at, {1, n}), Tensor::zeros({1, n}));
  std::vector<float> gradient;
  for (float b : floats(model.get_weights()[0])) gradient.push_back(-b);
  return gradient;
}

TEST(Case14, TheGradientOfANormIsFiniteEverywhere) {
  EXPECT_EQ(norm_gradient(2, {0, 0, 0}), (std::vector<float>{0, 0, 0}));
  const auto g = norm_gradient(2, {3, 4});
  EXPECT_NEAR(g[0], 0.6, 1e-6);
  EXPECT_NEAR(g[1], 0.8, 1e-6);
  EXPECT_NEAR(norm_gradient(2, {1e-23f, 0})[0], 1, 1e-6);
  const auto large = norm_gradient(2, {1e30f, 1e30f});
  EXPECT_NEAR(large[0], std::sqrt(0.5), 1e-6);
  for (double p : {1.0, losses::infinity})
    for (float x : norm_gradient(p, {0, 0, 0})) EXPECT_TRUE(std::isfinite(x));
  EXPECT_EQ(norm_gradient(1, {3, -4, 0}), (std::vector<float>{1, -1, 0}));
  EXPECT_EQ(norm_gradient(losses::infinity, {3, -4, 0}), (std::vector<float>{0, -1, 0}));
}

// Clipping by norm, of a gradient given as the data: loss = sum(x * b).
std::vector<float> clipped_step(const std::vector<float>& gradient, optimizers::SGDArgs args) {
  const auto n = static_cast<std::int64_t>(gradient.size());
  Sequential model({Input({n}), make_layer<Elementwise>()});
  args.learning_rate = 1;
  model.compile({.optimizer = optimizers::SGD(args),
                 .loss = losses::make_loss("total", [](graph::Value, graph::Value p) { return graph::reduce_sum(p, {1}); })});
  model.set_weights({Tensor::zeros({n})});
  model.train_on_batch(Tensor(gradient, {1, n}), Tensor::zeros({1, n}));
  std::vector<float> step;
  for (float w : floats(model.get_weights()[0])) step.push_back(-w);
  return step;
}

TEST(Case14, ClippingKeepsZeroGradientsAndThoseWhoseSquareOverflows) {
  for (const auto& args : {optimizers::SGDArgs{.clipnorm = 1}, optimizers::SGDArgs{.global_clipnorm = 1}}) {
    EXPECT_EQ(clipped_step({0, 0}, args), (std::vector<float>{0, 0}));
    expect_near(Tensor(clipped_step({3, 4}, args)), {0.6, 0.8});
    expect_near(Tensor(clipped_step({0.3f, 0.4f}, args)), {0.3, 0.4});
    expect_near(Tensor(clipped_step({1e30f, 1e30f}, args)), {0.7071068, 0.7071068});
    expect_near(Tensor(clipped_step({1e-30f, 0}, args)), {1e-30, 0}, 1e-36);
  }
  EXPECT_EQ(clipped_step({3, -4, 0.5f}, {.clipvalue = 1}), (std::vector<float>{1, -1, 0.5f}));
}

// ---- case 15: ties in a maximum ----------------------------------------------------------------------------

// dL/dx for L = sum of the layer's outputs, x given; read off one step of weights added to the input.
std::vector<float> input_gradient(const Layer& layer, const Tensor& x) {
  struct Shift final : LayerImpl {
    explicit Shift(Shape shape) : shape(std::move(shape)) {}
    Shape shape;
    Variable b;
    void build(const Shape&) override { b = add_weight({.name = "b", .shape = shape, .initializer = "zeros"}); }
    graph::Value call(Call& call, graph::Value v) override { return v + call(b); }
  };
  Sequential model({Input(x.shape().tail()), make_layer<Shift>(x.shape().tail()), layer, Flatten()});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 1}),
                 .loss = losses::make_loss("total", [](graph::Value, graph::Value p) { return graph::reduce_sum(p, {1}); })});
  model.train_on_batch(x, Tensor::zeros(model.outputs()[0].shape().tail().prepend(1)));
  std::vector<float> gradient;
  for (float b : floats(model.get_weights()[0])) gradient.push_back(-b);
  return gradient;
}

TEST(Case15, TheGradientOfAMaximumSumsToOne) {
  const Tensor window(std::vector<float>{7, 4, 7, 1}, {1, 2, 2, 1});
  EXPECT_EQ(input_gradient(MaxPooling2D(2), window), (std::vector<float>{1, 0, 0, 0}));
  const auto reduce_max = make_layer<Emitted>([](graph::Value x) { return graph::reduce_max(x, {1, 2, 3}, true); });
  EXPECT_EQ(input_gradient(reduce_max, window), (std::vector<float>{0.5f, 0, 0.5f, 0}));
  // Overlapping windows over equal elements: nine windows, each sends 1.
  float total = 0;
  for (float g : input_gradient(MaxPooling2D(2, {.strides = 1}), Tensor::full({1, 4, 4, 1}, 3))) total += g;
  EXPECT_EQ(total, 9);
}

// ---- case 16: NaN and infinity -----------------------------------------------------------------------------

TEST(Case16, NaNPassesThroughMaxima) {
  const std::vector<float> pattern = {nan, -1, 2};
  for (std::int64_t n : {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33}) {
    std::vector<float> x;
    for (std::int64_t i = 0; i < n; i++) x.push_back(pattern[static_cast<std::size_t>(i % 3)]);
    const Tensor t(x, {1, n});
    for (const auto& y : {floats(run(ReLU(), t)), floats(run(Activation("relu6"), t)),
                          floats(run(ReLU({.max_value = 6}), t)), floats(run(ReLU({.negative_slope = 0.f}), t))})
      for (std::size_t i = 0; i < y.size(); i++) {
        if (i % 3 == 0) {
          EXPECT_TRUE(std::isnan(y[i])) << n << " " << i;
        } else {
          EXPECT_EQ(y[i], i % 3 == 1 ? 0.f : 2.f);
        }
      }
  }
  EXPECT_EQ(floats(run(Softmax(), Tensor({{-inf, 0.f}}))), (std::vector<float>{0, 1}));
}

TEST(Case16, ANaNInTheDataShowsInTheLoss) {
  Sequential model({Input({2}), Dense(4, {.activation = "relu"}), Dense(1)});
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const History h = model.fit(Tensor({{1.f, nan}, {1.f, 2.f}}), Tensor({1.f, 2.f}), {.verbose = 0});
  EXPECT_TRUE(std::isnan(h["loss"][0]));
}

// Case 17: what looks like algebra, but isn't with NaN and infinity.
TEST(Case17, SimplificationKeepsNaNAndInfinity) {
  const Tensor x({{inf, nan, -0.f, 2.f}});
  const auto expect = [&](std::function<graph::Value(graph::Value)> f, const std::vector<float>& right) {
    const auto y = floats(emitted(std::move(f), x));
    for (std::size_t i = 0; i < right.size(); i++) {
      if (std::isnan(right[i])) {
        EXPECT_TRUE(std::isnan(y[i])) << i;
      } else {
        EXPECT_EQ(y[i], right[i]) << i;
        EXPECT_EQ(std::signbit(y[i]), std::signbit(right[i])) << i;
      }
    }
  };
  expect([](graph::Value v) { return v * 0.0; }, {nan, nan, -0.f, 0});
  expect([](graph::Value v) { return v - v; }, {nan, nan, 0, 0});
  expect([](graph::Value v) { return v / v; }, {nan, nan, nan, 1});
  const auto of = [](std::function<graph::Value(graph::Value)> f, float v) { return emitted(std::move(f), Tensor({{v}})).item(); };
  EXPECT_TRUE(std::isnan(of([](graph::Value v) { return graph::exp(v) * graph::exp(-v); }, 110)));
  EXPECT_EQ(of([](graph::Value v) { return graph::log(graph::exp(v)); }, 95), inf);
  EXPECT_EQ(of([](graph::Value v) { return graph::sqrt(v * v); }, 1e20f), inf);
}

// ---- cases 22 and 23: callbacks, validation split ----------------------------------------------------------

TEST(Case22, TheBestWeightsComeBackWhoeverEndsTraining) {
  for (std::int64_t patience : {10, 1}) {
    Sequential model = line(1);
    // w <- w - 2.2 w: -1.2 times the weight before
    model.compile({.optimizer = optimizers::SGD({.learning_rate = 1.1}), .loss = "mse"});
    const Tensor x({1.f}), y({0.f});
    const History h = model.fit(
        x, y,
        {.epochs = 3,
         .verbose = 0,
         .callbacks = {callbacks::EarlyStopping({.patience = patience, .restore_best_weights = true})},
         .validation_data = {x, y}});
    EXPECT_EQ(h["val_loss"].size(), patience == 1 ? 2u : 3u);
    EXPECT_NEAR(h["val_loss"][0], 1.44, 1e-6);
    EXPECT_NEAR(h["val_loss"][1], 2.0736, 1e-6);
    EXPECT_NEAR(model.get_weights()[0].item(), -1.2, 1e-6);
  }
}

// Which rows were trained on: weights of the rows' sum show in the loss of a model that gives its input.
TEST(Case23, ValidationTakesTheLastRowsBeforeShuffling) {
  Sequential model = line(1);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mae"});
  const Tensor x(ramp(10)), y = Tensor::zeros({10});
  for (bool shuffle : {true, false}) {
    const History h =
        model.fit(x, y, {.batch_size = 3, .epochs = 2, .verbose = 0, .validation_split = 0.2, .shuffle = shuffle});
    for (int epoch : {0, 1}) {
      EXPECT_FLOAT_EQ(h["loss"][static_cast<std::size_t>(epoch)], 3.5);      // rows 0 to 7
      EXPECT_FLOAT_EQ(h["val_loss"][static_cast<std::size_t>(epoch)], 8.5);  // rows 8 and 9
    }
  }
  // 0.9 leaves one row for training: floor(10 (1 - 0.9)) is 0 in binary.
  const History h = model.fit(x, y, {.verbose = 0, .validation_split = 0.9});
  EXPECT_FLOAT_EQ(h["loss"][0], 0);
  EXPECT_FLOAT_EQ(h["val_loss"][0], 5);
  // 0.04 of 10 rows: the last row, never an empty set.
  const History few = model.fit(x, y, {.verbose = 0, .validation_split = 0.04});
  EXPECT_FLOAT_EQ(few["val_loss"][0], 9);
  EXPECT_ERROR(ValueError, "validation_split", model.fit(x, y, {.verbose = 0, .validation_split = 1.0}));
  EXPECT_ERROR(ValueError, "validation_split", model.fit(Tensor({1.f}), Tensor({1.f}), {.verbose = 0, .validation_split = 0.5}));
}

// ---- case 24: regularisation -------------------------------------------------------------------------------

TEST(Case24, ThePenaltyCountsOncePerBatchInEveryLoss) {
  const Tensor x({1.f, 1.f}), y({3.f, 3.f});
  for (std::int64_t batch_size : {1, 2}) {
    Sequential model = line(2, regularizers::L2(0.1));
    model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mse", .metrics = {"mse"}});
    const Logs logs = model.evaluate(x, y, {.batch_size = batch_size, .verbose = 0});
    EXPECT_FLOAT_EQ(logs["loss"], 1.4f);
    EXPECT_FLOAT_EQ(logs["mse"], 1);
    const History h = model.fit(x, y, {.batch_size = batch_size, .verbose = 0, .validation_data = {x, y}});
    EXPECT_FLOAT_EQ(h["loss"][0], 1.4f);
    EXPECT_FLOAT_EQ(h["val_loss"][0], 1.4f);
    model.layers()[0].set_trainable(false);
    EXPECT_FLOAT_EQ(model.evaluate(x, y, {.batch_size = batch_size, .verbose = 0})["loss"], 1);
  }
}

TEST(Case24, ThePenaltysGradientAndDecoupledDecay) {
  const Tensor x({1.f, 1.f}), y({3.f, 3.f});
  Sequential penalised = line(2, regularizers::L2(0.1));
  penalised.compile({.optimizer = optimizers::SGD({.learning_rate = 1}), .loss = "mse"});
  penalised.train_on_batch(x, y);
  EXPECT_FLOAT_EQ(penalised.get_weights()[0].item(), 2 + 1.6f);  // dL/dw = -2 + 0.4
  Sequential decayed = line(2);
  decayed.compile({.optimizer = optimizers::SGD({.learning_rate = 0.5, .weight_decay = 0.1}), .loss = "mse"});
  EXPECT_FLOAT_EQ(decayed.train_on_batch(x, y)["loss"], 1);
  EXPECT_FLOAT_EQ(decayed.get_weights()[0].item(), 2 - 0.1f + 1);
  Sequential at_zero = line(0, regularizers::L1(0.1));
  at_zero.compile({.optimizer = optimizers::SGD({.learning_rate = 1}), .loss = "mse"});
  at_zero.train_on_batch(x, Tensor({0.f, 0.f}));
  EXPECT_EQ(at_zero.get_weights()[0].item(), 0);
}

// Case 26: a child process after a parallel run ends with the same numbers.
TEST(Case26, PredictWorksInAForkedChild) {
  Sequential model({Input({256}), Dense(256)});
  const Tensor x(ramp(64 * 256, -1, 1e-4f), {64, 256});
  const auto before = floats(model.predict(x, {.batch_size = 64, .verbose = 0}));
  const pid_t child = fork();
  if (child == 0) {
    alarm(10);
    const auto after = floats(model.predict(x, {.batch_size = 64, .verbose = 0}));
    _exit(after == before ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status)) << "the child hung or died";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// ---- case 30: determinism ----------------------------------------------------------------------------------

std::vector<std::vector<float>> trained(int threads) {
  set_num_threads(threads);
  set_random_seed(99);
  Sequential model({Input({64}), Dense(33, {.activation = "relu"}), Dropout(0.2), Dense(3, {.activation = "softmax"})});
  model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
  std::vector<float> x;
  std::vector<std::int32_t> y;
  for (int i = 0; i < 203 * 64; i++) x.push_back(static_cast<float>((i * 37) % 101) / 50 - 1);
  for (int i = 0; i < 203; i++) y.push_back(i % 3);
  model.fit(Tensor(x, {203, 64}), y, {.batch_size = 50, .epochs = 3, .verbose = 0});
  std::vector<std::vector<float>> weights;
  for (const Tensor& w : model.get_weights()) weights.push_back(floats(w));
  set_num_threads(0);
  return weights;
}

TEST(Case30, TrainingIsEqualToTheBitForAnyNumberOfThreads) {
  const auto first = trained(1);
  for (int threads : {1, 2, 3, 5}) EXPECT_EQ(trained(threads), first) << threads << " threads";
}

TEST(Case30, LongSumsAreEqualAndRight) {
  std::vector<float> v;
  for (int i = 0; i < 100003; i++) v.push_back(static_cast<float>((i % 7 + 1) * std::pow(10, i % 5)));
  const Tensor x(v, {1, 100003});
  const auto sum = make_layer<Emitted>([](graph::Value a) { return graph::reduce_sum(a, {1}, true); });
  std::vector<double> sums;
  for (int threads : {2, 1, 2, 3, 5}) {
    set_num_threads(threads);
    for (int repeat = 0; repeat < 4; repeat++) sums.push_back(run(sum, x).item());
  }
  set_num_threads(0);
  for (double s : sums) EXPECT_EQ(s, sums[0]);
  EXPECT_NEAR(sums[0], 888890053, 888890053 * 1e-4);
}

// ---- case 31: no rows --------------------------------------------------------------------------------------

TEST(Case31, NoRowsPredictNoRowsAndCannotTrain) {
  Sequential mlp({Input({4}), Dense(8, {.activation = "relu"}), Dense(3)});
  Sequential cnn({Input({8, 8, 1}), Conv2D(4, 3), MaxPooling2D(2), Flatten(), Dense(2)});
  for (auto& [model, x, units] : {std::tuple<Model, Tensor, std::int64_t>{mlp, Tensor::zeros({0, 4}), 3},
                                  {cnn, Tensor::zeros({0, 8, 8, 1}), 2}}) {
    EXPECT_EQ(model.predict(x, {.verbose = 0}).shape(), (Shape{0, units}));
    Model trained = model;
    trained.compile({.optimizer = "sgd", .loss = "mse"});
    const Tensor y = Tensor::zeros({0, units});
    EXPECT_ERROR(ValueError, "no samples", trained.fit(x, y, {.verbose = 0}));
    EXPECT_ERROR(ValueError, "no samples", trained.evaluate(x, y, {.verbose = 0}));
    EXPECT_ERROR(ValueError, "no samples", trained.train_on_batch(x, y));
  }
}

// ---- case 32: windows larger than their input --------------------------------------------------------------

TEST(Case32, AWindowLargerThanItsInputIsAnErrorAtOnce) {
  const auto fails = [](const Layer& layer, Shape input, const char* text) {
    EXPECT_ERROR(ShapeError, text, layer(Input(input)));
    EXPECT_ERROR(ShapeError, layer.name(), layer(Input(input)));
  };
  fails(Conv2D(1, {5, 3}), {4, 9, 1}, "kernel_size=(5, 3)");
  fails(Conv2D(1, {5, 3}), {4, 9, 1}, "(None, 4, 9, 1)");
  fails(Conv2D(1, {1, 4}), {1, 3, 1}, "zero or negative");
  fails(Conv2D(1, {1, 2}, {.dilation_rate = {1, 4}}), {1, 4, 1}, "dilation_rate=(1, 4)");
  fails(MaxPooling2D(3), {2, 2, 1}, "pool_size=(3, 3)");
  fails(AveragePooling2D(3), {2, 2, 1}, "pool_size=(3, 3)");
  EXPECT_ERROR(ShapeError, "zero or negative",
               Sequential({Input({16, 16, 3}), Conv2D(8, 3), MaxPooling2D(2), Conv2D(8, 3), MaxPooling2D(2),
                           Conv2D(8, 3), Flatten(), Dense(10)}));
  // Just fitting is fine.
  EXPECT_EQ(Conv2D(1, {4, 9})(Input({4, 9, 1})).shape(), (Shape{None, 1, 1, 1}));
}

// ---- case 33: broadcasting ---------------------------------------------------------------------------------

TEST(Case33, SizesOfOneBroadcastAndTheirGradientsSum) {
  const auto a = Input({1, 3}), b = Input({4, 1});
  struct Multiply final : LayerImpl {
    void build_all(std::span<const Shape>) override {}
    std::vector<graph::Value> call_all(Call&, std::span<const graph::Value> xs) override { return {xs[0] * xs[1]}; }
  };
  Model product({.inputs = {a, b}, .outputs = {make_layer<Multiply>()({a, b})}});
  const Tensor left(ramp(6), {2, 1, 3}), right(std::vector<float>{1, 2, 3, 4, 1, 2, 3, 4}, {2, 4, 1});
  const Tensor y = product(Tensors{left, right});
  EXPECT_EQ(y.shape(), (Shape{2, 4, 3}));
  double sum = 0;
  for (float v : floats(y)) sum += v;
  EXPECT_EQ(sum, 150);
  // The bias of one unit at batch size 1 gets the sum over its own shape.
}

TEST(Case33, ABiasGetsTheGradientOfAllItsUses) {
  for (std::int64_t batch : {1, 5}) {
    Sequential model({Input({1, 1, 2}), Dense(3, {.kernel_initializer = "zeros"})});
    model.compile({.optimizer = optimizers::SGD({.learning_rate = 1}),
                   .loss = losses::make_loss("total", [](graph::Value, graph::Value p) { return graph::reduce_sum(p, {1, 2, 3}); },
                                             {.reduction = "sum"})});
    model.train_on_batch(Tensor::full({batch, 1, 1, 2}, 1), Tensor::zeros({batch, 1, 1, 3}));
    for (float b : floats(model.get_weights()[1])) EXPECT_EQ(b, -static_cast<float>(batch));
  }
}

// ---- case 35: concatenation --------------------------------------------------------------------------------

TEST(Case35, ConcatenationPutsEachBranchAtItsPlace) {
  const Tensor a(ramp(4, 1), {1, 2, 2, 1});
  const auto x = Input({2, 2, 1});
  struct TenTwenty final : LayerImpl {
    graph::Value call(Call&, graph::Value v) override {
      const graph::Value parts[] = {v * 10.0, v * 20.0};
      return graph::concatenate(parts, 3);
    }
  };
  const auto b = make_layer<TenTwenty>()(x);
  Model model({.inputs = {x}, .outputs = {Concatenate()({x, b})}});
  EXPECT_EQ(floats(model(a)), (std::vector<float>{1, 10, 20, 2, 20, 40, 3, 30, 60, 4, 40, 80}));
  EXPECT_EQ(floats(Model({.inputs = {x}, .outputs = {Concatenate()({x})}})(a)), floats(a));
  const auto p = Input({1, 2, 1}), q = Input({2, 2, 1});
  Model rows({.inputs = {p, q}, .outputs = {Concatenate({.axis = 1})({p, q})}});
  EXPECT_EQ(floats(rows(Tensors{Tensor(std::vector<float>{5, 6}, {1, 1, 2, 1}), a})), (std::vector<float>{5, 6, 1, 2, 3, 4}));
}

TEST(Case35, ConcatenationSendsEachBranchItsGradient) {
  // Upstream gradient 0 to 11; a is used by both branches and by two concatenations.
  const auto weighted = make_layer<Emitted>([](graph::Value v) {
    std::vector<float> up;
    for (std::int64_t i = 0; i < v.shape().tail().elements(); i++) up.push_back(static_cast<float>(i));
    return v * graph::constant(v.graph(), Tensor(up, v.shape().tail().prepend(1)));
  });
  struct Doubled final : LayerImpl {
    graph::Value call(Call&, graph::Value v) override {
      const graph::Value pair[] = {v * 10.0, v * 20.0};
      const graph::Value b = graph::concatenate(pair, 3);
      const graph::Value all[] = {v, b};
      return graph::concatenate(all, 3);
    }
  };
  struct Chain final : LayerImpl {
    Chain(Layer first, Layer second) : first(std::move(first)), second(std::move(second)) {}
    Layer first, second;
    graph::Value call(Call& call, graph::Value v) override {
      const graph::Value inner[] = {first.impl().emit(call, {&v, 1})[0]};
      return second.impl().emit(call, inner)[0];
    }
  };
  const auto chain = make_layer<Chain>(make_layer<Doubled>(), weighted);
  const auto g = input_gradient(chain, Tensor(ramp(4, 1), {1, 2, 2, 1}));
  // da = [0, 3, 6, 9] and db = [1, 2, 4, 5, 7, 8, 10, 11], of which a gets 10 and 20 times its pair.
  EXPECT_EQ(g, (std::vector<float>{0 + 10 + 40, 3 + 40 + 100, 6 + 70 + 160, 9 + 100 + 220}));
}

TEST(Case35, BranchesOfConvolutionsLandAtTheirChannels) {
  set_random_seed(4);
  const auto x = Input({6, 6, 2});
  std::vector<SymbolicTensor> branches;
  for (std::int64_t channels : {1, 2, 3, 5}) branches.push_back(Conv2D(channels, 3, {.padding = "same", .activation = "relu"})(x));
  Model all({.inputs = {x}, .outputs = {Concatenate()(branches)}});
  const Tensor image(ramp(3 * 72, -50), {3, 6, 6, 2});
  const Tensor joined = all(image);
  std::int64_t offset = 0;
  for (const SymbolicTensor& branch : branches) {
    const Tensor alone = Model({.inputs = {x}, .outputs = {branch}})(image);
    for (std::int64_t i = 0; i < 3; i++)
      for (std::int64_t c = 0; c < alone.dim(3); c++)
        for (std::int64_t r = 0; r < 6; r++) EXPECT_FLOAT_EQ(joined(i, r, 5 - r, offset + c), alone(i, r, 5 - r, c));
    offset += alone.dim(3);
  }
}

}  // namespace
}  // namespace kiln
