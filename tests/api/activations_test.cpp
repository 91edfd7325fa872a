// Activations beyond the golden values: names, arguments, errors, and sparsemax, which Keras 3.15.1 computes
// wrongly where more than one element stays.
#include "kiln/graph/gradient.h"
#include "tests/api/support.h"
#include "tests/support/coverage.h"
#include "tests/support/hash_data.h"

namespace kiln {
namespace {

using namespace layers;
using testing::floats;

std::vector<float> apply(const activations::Function& f, const Tensor& x) {
  Sequential model({Input(x.shape().tail()), Activation(f)});
  return floats(model.predict_on_batch(x));
}

// The projection by its definition: max(x - tau, 0), with tau by bisection so that the sum is 1.
std::vector<double> projection(const std::vector<float>& x) {
  double low = -1e3, high = 1e3;
  for (int i = 0; i < 200; i++) {
    const double tau = (low + high) / 2;
    double sum = 0;
    for (float v : x) sum += std::max(v - tau, 0.0);
    (sum > 1 ? low : high) = tau;
  }
  std::vector<double> result;
  for (float v : x) result.push_back(std::max(v - low, 0.0));
  return result;
}

// Where rounding decides who is above tau, the result is still a distribution.
TEST(Activations, SparsemaxOfLargeAndNearNumbers) {
  const std::vector<float> got =
      apply("sparsemax", Tensor({{3.9999998f, 3.f}, {1000.99994f, 1000.f}, {1e8f, 0.f}}));
  for (std::size_t row = 0; row < 3; row++) {
    EXPECT_NEAR(got[row * 2], 1, 1e-4) << row;
    EXPECT_NEAR(got[row * 2 + 1], 0, 1e-4) << row;
    EXPECT_NEAR(got[row * 2] + got[row * 2 + 1], 1, 1e-6) << row;
  }
}

TEST(Activations, SparsemaxIsTheNearestDistribution) {
  for (const double scale : {0.1, 1.0, 10.0}) {
    const Tensor x = testing::hash_signed("sparsemax", {6, 9}, scale);
    const auto got = apply("sparsemax", x);
    const auto along_columns = apply(
        [](graph::Value v) { return graph::transpose(activations::sparsemax(v, {.axis = 1}), {0, 2, 1}); },
        x.reshape({2, 3, 9}));
    int kept = 0;
    for (std::int64_t row = 0; row < 6; row++) {
      const auto expected = projection(floats(x.slice(row, row + 1)));
      for (std::size_t i = 0; i < 9; i++) {
        EXPECT_NEAR(got[static_cast<std::size_t>(row) * 9 + i], expected[i], 1e-6 * scale + 1e-6);
        kept += expected[i] > 0;
      }
    }
    EXPECT_GE(kept, 6);
    EXPECT_GT(kept, scale == 0.1 ? 30 : 0) << "several of a row stay";
    for (std::int64_t block = 0; block < 2; block++)
      for (std::int64_t column = 0; column < 9; column++) {
        std::vector<float> values;
        for (std::int64_t i = 0; i < 3; i++) values.push_back(static_cast<float>(x(block * 3 + i, column)));
        const auto expected = projection(values);
        for (std::size_t i = 0; i < 3; i++)
          EXPECT_NEAR(along_columns[static_cast<std::size_t>(block * 9 + column) * 3 + i], expected[i],
                      1e-6 * scale + 1e-6);
      }
  }
  testing::covers("Activations", "sparsemax", "forward");
}

// dy - its mean over what stays, there; 0 elsewhere (Martins and Astudillo 2016, eq. 14).
TEST(Activations, SparsemaxsGradientIsThePapers) {
  const Tensor x = testing::hash_signed("sparsemax gradient", {5, 7}, 0.5),
               dy = testing::hash_signed("cotangent", {5, 7});
  struct Gradient final : LayerImpl {
    void build_all(std::span<const Shape>) override {}
    std::vector<graph::Value> call_all(Call&, std::span<const graph::Value> xs) override {
      return graph::gradient(activations::sparsemax(xs[0]), xs.first(1), xs[1]);
    }
  };
  const auto a = Input({7}), b = Input({7});
  Model model({.inputs = {a, b}, .outputs = {make_layer<Gradient>()({a, b})}});
  const auto got = floats(model.predict_on_batch({x, dy})), y = apply("sparsemax", x), up = floats(dy);
  for (std::size_t row = 0; row < 5; row++) {
    double sum = 0;
    int count = 0;
    for (std::size_t i = row * 7; i < row * 7 + 7; i++)
      if (y[i] > 0) sum += up[i], count++;
    ASSERT_GT(count, 0);
    for (std::size_t i = row * 7; i < row * 7 + 7; i++)
      EXPECT_NEAR(got[i], y[i] > 0 ? up[i] - sum / count : 0, 1e-6);
  }
  testing::covers("Activations", "sparsemax", "gradient");
}

TEST(Activations, AreGivenByNameFunctionOrLambda) {
  const Tensor x = testing::hash_signed("x", {2, 8}, 4);
  const auto elu = apply("elu", x);
  EXPECT_EQ(apply(activations::elu, x), elu);  // one of two functions of that name
  EXPECT_EQ(apply([](graph::Value v) { return activations::elu(v, {.alpha = 1}); }, x), elu);
  EXPECT_NE(apply([](graph::Value v) { return activations::elu(v, {.alpha = 2}); }, x), elu);
  EXPECT_EQ(apply("hard_swish", x), apply(activations::hard_silu, x));
}

TEST(Activations, NanStaysNan) {
  const Tensor x = Tensor::full({1, 4}, std::numeric_limits<double>::quiet_NaN());
  for (const char* name :
       {"relu",        "relu6",       "leaky_relu",  "elu",         "selu",         "celu",
        "softplus",    "softsign",    "squareplus",  "silu",        "hard_silu",    "gelu",
        "mish",        "tanh",        "sigmoid",     "log_sigmoid", "hard_sigmoid", "hard_tanh",
        "exponential", "hard_shrink", "soft_shrink", "tanh_shrink", "sparse_plus",  "sparse_sigmoid",
        "glu",         "softmax",     "log_softmax", "sparsemax"})
    for (float y : apply(name, x)) EXPECT_TRUE(std::isnan(y)) << name << " gives " << y;
}

TEST(Activations, ArgumentsThatDoNotFit) {
  EXPECT_ERROR(ShapeError, "axis -1 must be of even size", apply("glu", Tensor::zeros({2, 3})));
  EXPECT_ERROR(
      ShapeError, "has no axis 2",
      apply([](graph::Value v) { return activations::softmax(v, {.axis = 2}); }, Tensor::zeros({2, 3})));
  EXPECT_ERROR(
      ValueError, "alpha must not be 0",
      apply([](graph::Value v) { return activations::celu(v, {.alpha = 0}); }, Tensor::zeros({2, 3})));
}

}  // namespace
}  // namespace kiln
