// Faults that other projects had, each as a test of its kind: gradients, read off one training step.
#include <algorithm>
#include <cmath>

#include "tests/api/cases_support.h"

namespace kiln {
namespace {

using namespace layers;
using testing::Elementwise;
using testing::Emitted;
using testing::expect_near;
using testing::floats;
using testing::ramp;
using testing::run;
using testing::Shift;
using testing::sum_of_outputs;

// ---- case 3: dropout
// ---------------------------------------------------------------------------------------

// A model whose training shows the mask: y = dropout(x * w), w = 1, 2, ...; the loss is the sum of the
// outputs, so the gradient of w is x * mask and, with learning rate 1, w falls by x * mask in a step.
struct DropoutRun {
  Tensor mask;  // of the step's gradient
  double sum;   // of the step's outputs
};

std::vector<DropoutRun> dropout_steps(double rate, std::int64_t seed, int steps,
                                      layers::DropoutArgs args = {}) {
  set_random_seed(seed);
  Sequential model({Input({1000}), make_layer<Elementwise>(), Dropout(rate, args)});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 1}), .loss = sum_of_outputs()});
  const Tensor x = Tensor::full({1, 1000}, 1);
  // Each element has another weight, so that the outputs' sum tells which were dropped.
  const std::vector<float> weights = ramp(1000, 1);
  std::vector<DropoutRun> runs;
  for (int i = 0; i < steps; i++) {
    model.set_weights({Tensor(weights)});
    model.reset_metrics();
    const double sum = model.train_on_batch(x, x)["loss"];
    Tensor mask = model.get_weights()[0];
    for (std::int64_t k = 0; k < 1000; k++) mask(k) = weights[static_cast<std::size_t>(k)] - mask(k);
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
      sum += m * static_cast<double>(k + 1);
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

TEST(Case3, ALayersOwnSeedCountsInsteadOfTheGlobalOne) {
  const auto a = dropout_steps(0.5, 11, 3, {.seed = 5});
  const auto b = dropout_steps(0.5, 12, 3, {.seed = 5});
  const auto c = dropout_steps(0.5, 11, 3, {.seed = 6});
  for (std::size_t i = 0; i < a.size(); i++) {
    EXPECT_EQ(floats(a[i].mask), floats(b[i].mask));
    EXPECT_NE(floats(a[i].mask), floats(c[i].mask));
  }
  EXPECT_NE(floats(a[0].mask), floats(a[1].mask)) << "every step must drop other elements";
}

TEST(Case3, TheMaskIsNotGuessedFromZeroOutputs) {
  // x = 0 gives an output of 0 whether dropped or not; the gradient of an addition behind it shows the mask.
  set_random_seed(5);
  Sequential model({Input({1000}), make_layer<Shift>(), Dropout(0.5)});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 1}), .loss = sum_of_outputs()});
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
  EXPECT_EQ(runs[0].sum, 500500);
  const auto none = dropout_steps(1, 7, 1);
  EXPECT_EQ(none[0].sum, 0);
}

TEST(Case3, EveryLayerBatchAndRowDropsItsOwn) {
  set_random_seed(3);
  const auto x = Input({400});
  const Layer first = make_layer<Elementwise>(), second = make_layer<Elementwise>();
  const auto a = Dropout(0.5)(first(x)), b = Dropout(0.5)(second(x));
  Model model({.inputs = {x}, .outputs = {Add()({a, b})}});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 1}), .loss = sum_of_outputs()});
  // Elements 0 to 199 of row 0 and 200 to 399 of row 1 are ones: each weight's gradient is one row's mask.
  Tensor rows = Tensor::zeros({2, 400});
  for (std::int64_t i = 0; i < 400; i++) rows(i / 200, i) = 1;
  std::vector<std::vector<float>> masks;
  for (int threads : {1, 3}) {
    set_num_threads(threads);
    model.set_weights({Tensor::zeros({400}), Tensor::zeros({400})});
    model.fit(rows, rows, {.batch_size = 2, .verbose = 0, .shuffle = false});
    for (const Layer& layer : {first, second}) {
      const auto mask = floats(layer.get_weights()[0]);
      masks.emplace_back(mask.begin(), mask.begin() + 200);
      masks.emplace_back(mask.begin() + 200, mask.end());
    }
  }
  set_num_threads(0);
  for (std::size_t i = 0; i < masks.size(); i++)
    for (std::size_t k = 0; k < i; k++) EXPECT_NE(masks[i], masks[k]) << i << " and " << k;
}

// ---- case 4: saturated sigmoids ---------------------------------------------------------------------------

// Per-sample losses and dL/dz of a loss of logits, by a model z = x + b whose b takes one step.
struct PerSample {
  std::vector<float> gradients;
  double loss;
};
PerSample gradients_of(const Loss& loss, const std::vector<float>& z, const Tensor& y,
                       const char* activation) {
  struct Bias final : LayerImpl {
    explicit Bias(std::int64_t rows) : rows(rows) {}
    std::int64_t rows;
    Variable b;
    void build(const Shape&) override {
      b = add_weight({.name = "b", .shape = {rows, 1}, .initializer = "zeros"});
    }
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
  EXPECT_NEAR(r.gradients[4], -1.3887944e-11, 1e-15) << "small, but not lost";
  const std::vector<double> losses = {120, 90, 0.6931472, 60, 1.3887944e-11};
  for (std::size_t i = 0; i < 5; i++)
    EXPECT_NEAR(
        losses::BinaryCrossentropy({.from_logits = true})(
            y.slice(static_cast<std::int64_t>(i), static_cast<std::int64_t>(i) + 1), Tensor({{z[i]}})),
        losses[i], 1e-5 * losses[i]);
}

TEST(Case4, ProbabilitiesAreClippedAndTheGradientIsFinite) {
  const std::vector<float> z = {120, -90, 0, -60, 25};
  const Tensor y(std::vector<float>{0, 1, 1, 1, 1}, {5, 1});
  const PerSample r = gradients_of(losses::BinaryCrossentropy(), z, y, "sigmoid");
  EXPECT_TRUE(std::isfinite(r.loss));
  for (float g : r.gradients) EXPECT_TRUE(std::isfinite(g));
  const PerSample one =
      gradients_of(losses::BinaryCrossentropy(), {120}, Tensor(std::vector<float>{0}, {1, 1}), "sigmoid");
  EXPECT_NEAR(one.loss, 15.9424, 1e-3);
}

TEST(Case4, SparseLogitsAreStable) {
  const Tensor y({0, 1});
  const Tensor z(std::vector<float>{1000, 0, -1000, 0, -3000, 1e4}, {2, 3});
  EXPECT_NEAR(losses::SparseCategoricalCrossentropy({.from_logits = true})(y, z), (0 + 13000.0) / 2, 1e-2);
}

// Every cross-entropy, of logits and of probabilities made from them: finite losses and gradients; those of
// logits are softmax (or sigmoid) minus target.
TEST(Case4, NoCrossentropyLosesItsGradient) {
  const Tensor hot({{0.f, 1.f, 0.f}}), label({1});
  struct Form {
    Loss loss;
    const char* activation;
    Tensor y;
    bool exact;
  };
  namespace l = losses;
  const Form forms[] = {
      {l::CategoricalCrossentropy({.from_logits = true}), "linear", hot, true},
      {l::SparseCategoricalCrossentropy({.from_logits = true}), "linear", label, true},
      {l::BinaryCrossentropy({.from_logits = true}), "linear", hot, false},
      {l::BinaryCrossentropy({.from_logits = true, .label_smoothing = 0.1}), "linear", hot, false},
      {l::CategoricalCrossentropy({.from_logits = true, .label_smoothing = 0.1}), "linear", hot, false},
      {l::CategoricalCrossentropy(), "softmax", hot, false},
      {l::SparseCategoricalCrossentropy(), "softmax", label, false},
      {l::BinaryCrossentropy(), "sigmoid", hot, false}};
  const std::vector<float> logits[] = {{120, -90, 0}, {1e4f, -1e4f, 25},  {-60, 120, -90},
                                       {0, 0, 0},     {1e30f, -1e30f, 0}, {88, 89, 90}};
  for (const Form& form : forms) {
    Sequential model({Input({3}), make_layer<Shift>(), Activation(form.activation)});
    model.compile({.optimizer = optimizers::SGD({.learning_rate = 1}), .loss = form.loss});
    for (const std::vector<float>& z : logits) {
      model.set_weights({Tensor::zeros({3})});
      model.reset_metrics();
      const double loss = model.train_on_batch(Tensor(z, {1, 3}), form.y)["loss"];
      EXPECT_TRUE(std::isfinite(loss)) << form.loss.impl().name() << z[0];
      const double peak = *std::max_element(z.begin(), z.end());
      double sum = 0;
      for (float v : z) sum += std::exp(v - peak);
      const auto b = floats(model.get_weights()[0]);
      for (std::size_t i = 0; i < 3; i++) {
        EXPECT_TRUE(std::isfinite(b[i])) << form.loss.impl().name() << z[0];
        if (form.exact) {
          EXPECT_NEAR(-b[i], std::exp(z[i] - peak) / sum - (i == 1 ? 1 : 0), 1e-6);
        }
      }
      if (form.exact) {
        EXPECT_NEAR(loss, std::log(sum) + peak - z[1], 1e-6 * (1 + std::abs(z[1]) + peak));
      }
    }
  }
}

// ---- case 14: norms
// ----------------------------------------------------------------------------------------

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
  for (std::size_t n : {17, 33}) {  // in vectors and tails
    for (float x : norm_gradient(2, std::vector<float>(n, 0))) EXPECT_EQ(x, 0);
    for (float size : {1e-30f, 1.f, 1e30f})
      for (float x : norm_gradient(2, std::vector<float>(n, size)))
        EXPECT_NEAR(x, 1 / std::sqrt(static_cast<double>(n)), 1e-6);
  }
  EXPECT_EQ(norm_gradient(1, {3, -4, 0}), (std::vector<float>{1, -1, 0}));
  EXPECT_EQ(norm_gradient(losses::infinity, {3, -4, 0}), (std::vector<float>{0, -1, 0}));
}

// Clipping by norm, of a gradient given as the data: loss = sum(x * b).
std::vector<float> clipped_step(const std::vector<float>& gradient, optimizers::SGDArgs args) {
  const auto n = static_cast<std::int64_t>(gradient.size());
  Sequential model({Input({n}), make_layer<Elementwise>()});
  args.learning_rate = 1;
  model.compile({.optimizer = optimizers::SGD(args), .loss = sum_of_outputs()});
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

// ---- case 15: ties in a maximum
// ----------------------------------------------------------------------------

// dL/dx for L = sum of the layer's outputs, x given; read off one step of weights added to the input.
std::vector<float> input_gradient(const Layer& layer, const Tensor& x) {
  Sequential model({Input(x.shape().tail()), make_layer<Shift>(), layer, Flatten()});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 1}), .loss = sum_of_outputs()});
  model.train_on_batch(x, Tensor::zeros(model.outputs()[0].shape().tail().prepend(1)));
  std::vector<float> gradient;
  for (float b : floats(model.get_weights()[0])) gradient.push_back(-b);
  return gradient;
}

TEST(Case15, TheGradientOfAMaximumSumsToOne) {
  const Tensor window(std::vector<float>{7, 4, 7, 1}, {1, 2, 2, 1});
  EXPECT_EQ(input_gradient(MaxPooling2D(2), window), (std::vector<float>{1, 0, 0, 0}));
  const auto reduce_max =
      make_layer<Emitted>([](graph::Value x) { return graph::reduce_max(x, {1, 2, 3}, true); });
  EXPECT_EQ(input_gradient(reduce_max, window), (std::vector<float>{0.5f, 0, 0.5f, 0}));
  // Overlapping windows over equal elements: nine windows, each sends 1.
  float total = 0;
  for (float g : input_gradient(MaxPooling2D(2, {.strides = 1}), Tensor::full({1, 4, 4, 1}, 3))) total += g;
  EXPECT_EQ(total, 9);
}

TEST(Case15, RectifiersHaveOneRuleAtTheirKinks) {
  // At a bound the constant side counts, as in Keras's relu and relu6.
  const Tensor x({{-1.f, 0.f, 1.f, 6.f, 7.f}});
  const std::vector<float> relu = {0, 0, 1, 1, 1}, relu6 = {0, 0, 1, 0, 0};
  EXPECT_EQ(input_gradient(Activation("relu"), x), relu);
  EXPECT_EQ(input_gradient(ReLU(), x), relu);
  EXPECT_EQ(input_gradient(Activation("relu6"), x), relu6);
  EXPECT_EQ(input_gradient(ReLU({.max_value = 6}), x), relu6);
  EXPECT_EQ(input_gradient(Activation("hard_sigmoid"), Tensor({{-3.f, 3.f, 4.f}})),
            (std::vector<float>{0, 0, 0}));
}

// ---- case 35: concatenation ------------------------------------------------------------------------------

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

}  // namespace
}  // namespace kiln
