// Faults that other projects had, each as a test of its kind: values that layers compute. By hand, or as the
// closed form gives them.
#include <cmath>
#include <limits>

#include "tests/api/cases_support.h"

namespace kiln {
namespace {

using namespace layers;
using testing::emitted;
using testing::Emitted;
using testing::floats;
using testing::ramp;
using testing::run;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float inf = std::numeric_limits<float>::infinity();

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

// ---- case 16: NaN and infinity
// -----------------------------------------------------------------------------

TEST(Case16, NaNPassesThroughMaxima) {
  const std::vector<float> pattern = {nan, -1, 2};
  for (std::int64_t n : {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33}) {
    std::vector<float> x;
    for (std::int64_t i = 0; i < n; i++) x.push_back(pattern[static_cast<std::size_t>(i % 3)]);
    const Tensor t(x, {1, n});
    for (const auto& y :
         {floats(run(ReLU(), t)), floats(run(Activation("relu6"), t)), floats(run(ReLU({.max_value = 6}), t)),
          floats(run(ReLU({.negative_slope = 0.f}), t))})
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

TEST(Case16, NaNPassesThroughEveryActivationAndPooling) {
  for (const char* name : {"relu", "relu6", "leaky_relu", "elu", "selu", "softplus", "softsign", "silu",
                           "gelu", "tanh", "sigmoid", "log_sigmoid", "hard_sigmoid", "exponential", "mish"}) {
    std::vector<float> x(19, 1);
    for (std::size_t at : {0, 7, 16, 18}) x[at] = nan;
    const auto y = floats(run(Activation(name), Tensor(x, {1, 19})));
    for (std::size_t i = 0; i < x.size(); i++) EXPECT_EQ(std::isnan(y[i]), std::isnan(x[i])) << name << i;
  }
  for (const Layer& layer : {Softmax(), Activation("log_softmax")})
    for (float y : floats(run(layer, Tensor({{1.f, nan, 2.f}})))) EXPECT_TRUE(std::isnan(y));
  // A NaN in the last element of a 3 x 3 image, seen by the windows that cover it and by no other.
  Tensor image = Tensor::full({1, 3, 3, 1}, -inf);
  image(0, 2, 2, 0) = nan;
  for (const Layer& pool : {MaxPooling2D(2, {.strides = 1}), AveragePooling2D(2, {.strides = 1})}) {
    const auto y = floats(run(pool, image));
    for (std::size_t i = 0; i < 3; i++) EXPECT_EQ(y[i], -inf);
    EXPECT_TRUE(std::isnan(y[3]));
  }
  EXPECT_TRUE(std::isnan(run(GlobalAveragePooling2D(), image).item()));
}

TEST(Case16, ANaNInTheDataShowsInTheLoss) {
  const std::vector<std::vector<Layer>> kinds = {
      {Dense(4, {.activation = "relu"})},
      {Reshape({2, 2, 1}), Conv2D(2, 2, {.padding = "same", .activation = "relu"}), Flatten()},
      {Reshape({2, 2, 1}), MaxPooling2D(2), Flatten()},
      {Reshape({2, 2, 1}), AveragePooling2D(2), Flatten()},
      {Softmax()}};
  const Tensor good({{1.f, 3.f, 2.f, 0.f}, {1.f, 2.f, 3.f, 4.f}}), y({1.f, 2.f});
  const Tensor bad({{1.f, nan, 2.f, 0.f}, {1.f, 2.f, 3.f, 4.f}});
  for (const std::vector<Layer>& inner : kinds) {
    std::vector<Layer> all = {Input({4})};
    all.insert(all.end(), inner.begin(), inner.end());
    all.push_back(Dense(1));
    Sequential model(all);
    model.compile({.optimizer = "sgd", .loss = "mse", .metrics = {"mae"}});
    EXPECT_TRUE(std::isnan(model.evaluate(bad, y, {.verbose = 0})["loss"]));
    const History h = model.fit(good, y, {.verbose = 0, .validation_data = {bad, y}});
    EXPECT_FALSE(std::isnan(h["loss"][0]));
    EXPECT_TRUE(std::isnan(h["val_loss"][0]) && std::isnan(h["val_mae"][0]));
    EXPECT_TRUE(std::isnan(model.evaluate(good, Tensor({1.f, nan}), {.verbose = 0})["loss"]));
    EXPECT_TRUE(std::isnan(model.fit(bad, y, {.verbose = 0})["loss"][0]));
  }
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
  const auto of = [](std::function<graph::Value(graph::Value)> f, float v) {
    return emitted(std::move(f), Tensor({{v}})).item();
  };
  EXPECT_TRUE(std::isnan(of([](graph::Value v) { return graph::exp(v) * graph::exp(-v); }, 110)));
  EXPECT_EQ(of([](graph::Value v) { return graph::log(graph::exp(v)); }, 95), inf);
  EXPECT_EQ(of([](graph::Value v) { return graph::sqrt(v * v); }, 1e20f), inf);
}

// ---- case 31: no rows -------------------------------------------------------------------------------------

TEST(Case31, NoRowsPredictNoRowsAndCannotTrain) {
  Sequential mlp({Input({4}), Dense(8, {.activation = "relu"}), Dropout(0.5), Dense(3)});
  Sequential cnn({Input({8, 8, 1}), Conv2D(4, 3, {.padding = "same"}), MaxPooling2D(2), AveragePooling2D(2),
                  GlobalAveragePooling2D(), Dense(2)});
  const auto a = Input({4}), b = Input({4});
  Model merged({.inputs = {a, b}, .outputs = {Dense(3)(Concatenate()({Add()({a, b}), a}))}});
  const Tensor nothing = Tensor::zeros({0, 4});
  for (auto& [model, x, units] : {std::tuple<Model, Tensors, std::int64_t>{mlp, nothing, 3},
                                  {cnn, Tensor::zeros({0, 8, 8, 1}), 2},
                                  {merged, std::vector<Tensor>{nothing, nothing}, 3}}) {
    Model m = model;
    m.compile({.optimizer = "sgd", .loss = "mse", .metrics = {"mae"}});
    std::vector<Tensor> some;
    for (const Tensor& t : x) some.push_back(Tensor::full(t.shape().tail().prepend(3), 1));
    const Tensor y = Tensor::zeros({0, units}), some_y = Tensor::zeros({3, units});
    const auto before = m.get_weights();
    const Shape none = {0, units};
    EXPECT_EQ(m.predict(x, {.verbose = 0}).shape(), none);
    EXPECT_EQ(m.predict(x, {.batch_size = 1, .verbose = 1}).shape(), none);
    EXPECT_EQ(m.predict_on_batch(x).shape(), none);
    EXPECT_EQ(m(x).shape(), none);
    Tensor out = Tensor::zeros({0, units});
    m.predict_into(x, out);
    EXPECT_ERROR(ValueError, "fit: x has no samples", m.fit(x, y, {.verbose = 0}));
    EXPECT_ERROR(ValueError, "no samples", m.fit(x, y, {.verbose = 0, .validation_split = 0.5}));
    EXPECT_ERROR(ValueError, "fit: validation_data: x has no samples",
                 m.fit(some, some_y, {.verbose = 0, .validation_data = {x, y}}));
    EXPECT_ERROR(ValueError, "evaluate: x has no samples", m.evaluate(x, y, {.verbose = 0}));
    EXPECT_ERROR(ValueError, "train_on_batch: x has no samples", m.train_on_batch(x, y));
    EXPECT_ERROR(ValueError, "test_on_batch: x has no samples", m.test_on_batch(x, y));
    for (std::size_t i = 0; i < before.size(); i++) EXPECT_EQ(floats(m.get_weights()[i]), floats(before[i]));
    EXPECT_EQ(m.predict(some, {.verbose = 0}).shape(), (Shape{3, units})) << "and it still works";
  }
}

// ---- case 33: broadcasting
// ---------------------------------------------------------------------------------

TEST(Case33, SizesOfOneBroadcastAndTheirGradientsSum) {
  const auto a = Input({1, 3}), b = Input({4, 1});
  struct Multiply final : LayerImpl {
    void build_all(std::span<const Shape>) override {}
    std::vector<graph::Value> call_all(Call&, std::span<const graph::Value> xs) override {
      return {xs[0] * xs[1]};
    }
  };
  Model product({.inputs = {a, b}, .outputs = {make_layer<Multiply>()({a, b})}});
  const Tensor left(ramp(6), {2, 1, 3}), right(std::vector<float>{1, 2, 3, 4, 1, 2, 3, 4}, {2, 4, 1});
  const Tensor y = product(Tensors{left, right});
  EXPECT_EQ(y.shape(), (Shape{2, 4, 3}));
  double sum = 0;
  for (float v : floats(y)) sum += v;
  EXPECT_EQ(sum, 150);
}

TEST(Case33, ABiasGetsTheGradientOfAllItsUses) {
  for (std::int64_t batch : {1, 5}) {
    Sequential model({Input({1, 1, 2}), Dense(3, {.kernel_initializer = "zeros"})});
    model.compile({.optimizer = optimizers::SGD({.learning_rate = 1}),
                   .loss = losses::make_loss(
                       "total", [](graph::Value, graph::Value p) { return graph::reduce_sum(p, {1, 2, 3}); },
                       {.reduction = "sum"})});
    model.train_on_batch(Tensor::full({batch, 1, 1, 2}, 1), Tensor::zeros({batch, 1, 1, 3}));
    for (float b : floats(model.get_weights()[1])) EXPECT_EQ(b, -static_cast<float>(batch));
  }
}

// ---- case 35: concatenation
// --------------------------------------------------------------------------------

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
  EXPECT_EQ(floats(rows(Tensors{Tensor(std::vector<float>{5, 6}, {1, 1, 2, 1}), a})),
            (std::vector<float>{5, 6, 1, 2, 3, 4}));
}

TEST(Case35, BranchesOfConvolutionsLandAtTheirChannels) {
  set_random_seed(4);
  const auto x = Input({6, 6, 2});
  std::vector<SymbolicTensor> branches;
  for (std::int64_t channels : {1, 2, 3, 5})
    branches.push_back(Conv2D(channels, 3, {.padding = "same", .activation = "relu"})(x));
  Model all({.inputs = {x}, .outputs = {Concatenate()(branches)}});
  const Tensor image(ramp(3 * 72, -50), {3, 6, 6, 2});
  const Tensor joined = all(image);
  std::int64_t offset = 0;
  for (const SymbolicTensor& branch : branches) {
    const Tensor alone = Model({.inputs = {x}, .outputs = {branch}})(image);
    for (std::int64_t i = 0; i < 3; i++)
      for (std::int64_t c = 0; c < alone.dim(3); c++)
        for (std::int64_t r = 0; r < 6; r++)
          EXPECT_FLOAT_EQ(joined(i, r, 5 - r, offset + c), alone(i, r, 5 - r, c));
    offset += alone.dim(3);
  }
}

}  // namespace
}  // namespace kiln
