#include "evaluate.h"

namespace kiln::graph::testing {
namespace {

/// Keras's rule for padding "same" along one axis: the odd zero comes last.
ConvAttrs same_padding(std::int64_t n, std::int64_t k, std::int64_t stride, std::int64_t dilation) {
  const std::int64_t out = (n + stride - 1) / stride;
  const std::int64_t total = std::max<std::int64_t>((out - 1) * stride + (k - 1) * dilation + 1 - n, 0);
  return {{stride}, {total / 2}, {total - total / 2}, {dilation}, 1};
}

Tensor conv_1d(const std::vector<double>& x, const std::vector<double>& kernel, std::int64_t stride,
               std::int64_t dilation) {
  const auto n = static_cast<std::int64_t>(x.size()), k = static_cast<std::int64_t>(kernel.size());
  Expression e;
  const Value y = conv(e.input(tensor({1, n, 1}, x)), e.input(tensor({k, 1, 1}, kernel)),
                       same_padding(n, k, stride, dilation));
  return e.evaluate(y).reshape({None});
}

// "same" puts the odd zero after the input, and counts stride and dilation (keras2c#14 and others).
TEST(Conv, SamePaddingInOneDimension) {
  expect_tensor(conv_1d({1, 2, 3, 4, 5, 6}, {1, 10, 100}, 2, 1), {3}, {321, 543, 65});
  expect_tensor(conv_1d({1, 2, 3, 4, 5, 6, 7}, {1, 10, 100}, 2, 1), {4}, {210, 432, 654, 76});
  expect_tensor(conv_1d({1, 2, 3, 4, 5}, {1, 10, 100, 1000}, 1, 1), {5}, {3210, 4321, 5432, 543, 54});
  expect_tensor(conv_1d({1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}, 2, 1), {4}, {5, 7, 6, 4});
  expect_tensor(conv_1d({1, 2, 3, 4, 5, 6, 7, 8}, {1, 10}, 1, 3), {8}, {30, 41, 52, 63, 74, 85, 6, 7});
  expect_tensor(conv_1d({1, 2}, {1, 10, 100, 1000, 10000}, 3, 1), {1}, {210});
}

// The first of these as an outer product: both axes must follow the rule, and not each other's.
TEST(Conv, SamePaddingInTwoDimensions) {
  const std::vector<double> x = {1, 2, 3, 4, 5, 6}, k = {1, 10, 100}, y = {321, 543, 65};
  Tensor image({1, 6, 6, 1}, DType::f64), kernel({3, 3, 1, 1}, DType::f64),
      expected({1, 3, 3, 1}, DType::f64);
  for (int i = 0; i < 6; i++)
    for (int j = 0; j < 6; j++) image(0, i, j, 0) = x[i] * x[j];
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++) {
      kernel(i, j, 0, 0) = k[i] * k[j];
      expected(0, i, j, 0) = y[i] * y[j];
    }
  Expression e;
  const Value result = conv(e.input(image), e.input(kernel), {{2, 2}, {0, 0}, {1, 1}, {1, 1}, 1});
  expect_close(e.evaluate(result), expected);
}

// Different kernels, strides and paddings on the two axes; x[i, j] = a[i] b[j] and k = p q make y = y1 y2.
TEST(Conv, AxesKeepTheirOwnAttributes) {
  const std::vector<double> a = {1, 2, 3, 4, 5, 6, 7}, b = {1, 2, 3, 4, 5, 6, 7, 8}, p = {1, 10, 100},
                            q = {1, 10};
  const std::vector<double> rows = {210, 432, 654, 76}, columns = {30, 41, 52, 63, 74, 85, 6, 7};
  Tensor image({1, 7, 8, 1}, DType::f64), kernel({3, 2, 1, 1}, DType::f64),
      expected({1, 4, 8, 1}, DType::f64);
  for (int i = 0; i < 7; i++)
    for (int j = 0; j < 8; j++) image(0, i, j, 0) = a[i] * b[j];
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 2; j++) kernel(i, j, 0, 0) = p[i] * q[j];
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 8; j++) expected(0, i, j, 0) = rows[i] * columns[j];
  Expression e;
  const Value y = conv(e.input(image), e.input(kernel), {{2, 1}, {1, 1}, {1, 2}, {1, 3}, 1});
  expect_close(e.evaluate(y), expected);
}

// Correlation, not convolution: the kernel isn't reversed. Channels and filters each at its own place.
TEST(Conv, ChannelsAndFiltersByHand) {
  Expression e;
  const Value x = e.input(tensor({1, 2, 2}, {1, 2, 3, 4}));  // two positions, two channels
  const Value kernel = e.input(tensor({2, 2, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1, 10, 100, 1000}));
  // filter 0: x00 + 10 x11; filter 1: x01 + 100 x11; filter 2: x10 + 1000 x11
  expect_tensor(e.evaluate(conv(x, kernel, {})), {1, 1, 3}, {41, 402, 4003});
}

TEST(Conv, GroupsSeeTheirOwnChannels) {
  Expression e;
  const Value x = e.input(tensor({1, 1, 4}, {1, 2, 3, 4}));
  const Value kernel = e.input(tensor({1, 2, 4}, {1, 2, 3, 4, 10, 20, 30, 40}));
  // group 0 (channels 1, 2; filters 0, 1), group 1 (channels 3, 4; filters 2, 3)
  expect_tensor(e.evaluate(conv(x, kernel, {.groups = 2})), {1, 1, 4}, {21, 42, 129, 172});
}

TEST(Conv, StrideLargerThanKernelSkips) {
  Expression e;
  const Value x = e.input(tensor({1, 8, 1}, {1, 2, 3, 4, 5, 6, 7, 8}));
  const Value kernel = e.input(tensor({2, 1, 1}, {1, 10}));
  expect_tensor(e.evaluate(conv(x, kernel, {.strides = {4}})), {1, 2, 1}, {21, 65});
}

TEST(Conv, PaddingLargerThanKernelGivesZeros) {
  Expression e;
  const Value x = e.input(tensor({1, 1, 1}, {7})), kernel = e.input(tensor({2, 1, 1}, {1, 10}));
  expect_tensor(e.evaluate(conv(x, kernel, {.low = {3}, .high = {2}})), {1, 5, 1}, {0, 0, 70, 7, 0});
}

TEST(Conv, EmptyBatch) {
  Expression e;
  const Value x = e.input(Tensor({0, 5, 5, 2}, DType::f64)),
              kernel = e.input(Tensor({3, 3, 2, 4}, DType::f64));
  const Value y = conv(x, kernel, {});
  EXPECT_EQ(e.evaluate(y).shape(), (Shape{0, 3, 3, 4}));
  const Value dk = conv_kernel_grad(x, y, kernel.shape(), {});
  for (double v : e.evaluate(dk).to_vector<double>()) EXPECT_EQ(v, 0);
}

TEST(Conv, KernelSumsAreTheGradientsOfPartsOfTheBatch) {
  Expression e;
  const Value x = e.input(tensor({4, 3, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 0, 2}));
  const Value dy = e.input(tensor({4, 2, 1}, {1, 1, 1, 2, 0, 1, 3, 1}));
  // Image by image: (1 + 2, 2 + 3), (4 + 10, 5 + 12), (8, 9), (3 + 0, 0 + 2)
  expect_tensor(e.evaluate(conv_kernel_sums(x, dy, Shape{2, 1, 1}, {}, 2)), {2, 2, 1, 1}, {17, 22, 11, 11});
  expect_tensor(e.evaluate(conv_kernel_grad(x, dy, Shape{2, 1, 1}, {})), {2, 1, 1}, {28, 33});
  expect_error<ShapeError>([&] { conv_kernel_sums(x, dy, Shape{2, 1, 1}, {}, 3); }, {"parts", "4", "3"});
}

TEST(Conv, BatchLastIsTheSameWithAxesMoved) {
  Expression e;
  const Value x = e.input(tensor({2, 4, 1}, {1, 2, 3, 4, 5, 6, 7, 8}));
  const Value kernel = e.input(tensor({2, 1, 2}, {1, 10, 2, 20}));
  expect_tensor(e.evaluate(conv(x, kernel, {})), {2, 3, 2},
                {5, 50, 8, 80, 11, 110, 17, 170, 20, 200, 23, 230});
  expect_tensor(e.evaluate(conv_batch_last(transpose(x, {1, 2, 0}), kernel, {})), {3, 2, 2},
                {5, 17, 50, 170, 8, 20, 80, 200, 11, 23, 110, 230});
  // Parts of the first axis, then.
  const Value dy = e.input(tensor({2, 1, 2}, {1, 2, 3, 4}));
  const Value sums =
      conv_kernel_sums(e.input(tensor({3, 1, 2}, {1, 2, 3, 4, 5, 6})), dy, Shape{2, 1, 1}, {}, 2,
                       /*batch_last=*/true);
  expect_tensor(e.evaluate(sums), {2, 2, 1, 1}, {5, 11, 25, 39});
}

/// The formula of ops.h, element by element over explicitly padded coordinates, for three spatial axes.
Tensor naive_conv(const Tensor& x, const Tensor& k, const ConvAttrs& a) {
  const std::int64_t channels = k.dim(3), filters = k.dim(4) / a.groups;
  std::vector<std::int64_t> out(3);
  for (std::size_t i = 0; i < 3; i++)
    out[i] =
        (x.shape()[i + 1] + a.low[i] + a.high[i] - ((k.shape()[i] - 1) * a.dilation[i] + 1)) / a.strides[i] +
        1;
  Tensor y({x.dim(0), out[0], out[1], out[2], k.dim(4)}, DType::f64);
  const auto padded = [&](std::int64_t n, std::int64_t p, std::int64_t q, std::int64_t r, std::int64_t c) {
    p -= a.low[0], q -= a.low[1], r -= a.low[2];
    const bool inside = p >= 0 && p < x.dim(1) && q >= 0 && q < x.dim(2) && r >= 0 && r < x.dim(3);
    return inside ? x(n, p, q, r, c) : 0.0;
  };
  for (std::int64_t n = 0; n < y.dim(0); n++)
    for (std::int64_t p = 0; p < out[0]; p++)
      for (std::int64_t q = 0; q < out[1]; q++)
        for (std::int64_t r = 0; r < out[2]; r++)
          for (std::int64_t f = 0; f < y.dim(4); f++) {
            double sum = 0;
            for (std::int64_t c = 0; c < channels; c++)
              for (std::int64_t u = 0; u < k.dim(0); u++)
                for (std::int64_t v = 0; v < k.dim(1); v++)
                  for (std::int64_t w = 0; w < k.dim(2); w++)
                    sum += k(u, v, w, c, f) * padded(n, p * a.strides[0] + u * a.dilation[0],
                                                     q * a.strides[1] + v * a.dilation[1],
                                                     r * a.strides[2] + w * a.dilation[2],
                                                     (f / filters) * channels + c);
            y(n, p, q, r, f) = sum;
          }
  return y;
}

/// Drops the leading `count` of three spatial axes (of size 1).
Shape without_leading(const Shape& s, int first, int count) {
  Shape result;
  for (int i = 0; i < s.rank(); i++)
    if (i < first || i >= first + count) result.push_back(s.dim(i));
  return result;
}

// Random sizes, strides, dilation, paddings low != high, groups, in 1, 2 and 3 dimensions.
TEST(Conv, EqualsTheFormula) {
  for_seeds(100, [](Draw& draw) {
    const int missing = static_cast<int>(draw(0, 2));  // leading axes that the op doesn't get
    ConvAttrs full{{}, {}, {}, {}, draw(1, 3)};
    Shape x{draw(1, 3)}, k;
    for (int axis = 0; axis < 3; axis++) {
      const bool real = axis >= missing;
      const std::int64_t window = real ? draw(1, 4) : 1, dilation = real ? draw(1, 3) : 1;
      full.strides.push_back(real ? draw(1, 4) : 1);
      full.dilation.push_back(dilation);
      full.low.push_back(real ? draw(0, 3) : 0);
      full.high.push_back(real ? draw(0, 3) : 0);
      const std::int64_t extent = (window - 1) * dilation + 1;
      const std::int64_t least = std::max<std::int64_t>(1, extent - full.low.back() - full.high.back());
      x.push_back(real ? least + draw(0, 4) : 1);
      k.push_back(window);
    }
    const std::int64_t channels = draw(1, 3), filters = draw(1, 3);
    x.push_back(channels * full.groups);
    k.push_back(channels);
    k.push_back(filters * full.groups);
    const Tensor image = draw.tensor(x), kernel = draw.tensor(k);

    ConvAttrs attrs = full;
    for (Ints* list : {&attrs.strides, &attrs.low, &attrs.high, &attrs.dilation})
      list->erase(list->begin(), list->begin() + missing);
    Expression e;
    const Value y = conv(e.input(image.reshape(without_leading(x, 1, missing))),
                         e.input(kernel.reshape(without_leading(k, 0, missing))), attrs);
    const Tensor expected = naive_conv(image, kernel, full);
    expect_close(e.evaluate(y), expected.reshape(without_leading(expected.shape(), 1, missing)), 1e-13);
  });
}

// ---- errors: one test for each of the user's mistakes -----------------------------------------------------

struct ConvErrors : ::testing::Test {
  Graph g;
  Value f32(Shape shape) { return g.input("x", {DType::f32, std::move(shape)}); }
};

TEST_F(ConvErrors, KernelLargerThanInput) {
  LabelScope scope(g, "conv2d_1");
  const Value x = f32({1, 4, 9, 1}), k = f32({5, 3, 1, 2});
  expect_error<ShapeError>([&] { conv(x, k, {}); },
                           {"conv2d_1 (conv)", "kernel of 5 x 3", "input of 4 x 9", "same"});
}
TEST_F(ConvErrors, KernelLargerThanInputInOneDimension) {
  const Value x = f32({1, 3, 1}), k = f32({4, 1, 1});
  expect_error<ShapeError>([&] { conv(x, k, {}); }, {"kernel of 4", "input of 3"});
}
TEST_F(ConvErrors, DilatedKernelLargerThanInput) {
  const Value x = f32({1, 4, 1}), k = f32({2, 1, 1});
  expect_error<ShapeError>([&] { conv(x, k, {.dilation = {4}}); },
                           {"kernel of 2", "dilation 4 covering 5", "input of 4"});
}
TEST_F(ConvErrors, KernelLargerThanPaddedInput) {
  const Value x = f32({1, 2, 1}), k = f32({5, 1, 1});
  expect_error<ShapeError>([&] { conv(x, k, {.low = {1}, .high = {1}}); }, {"input of 2", "padded to 4"});
}
TEST_F(ConvErrors, EmptyInput) {
  const Value x = f32({1, 0, 1}), k = f32({1, 1, 1});
  expect_error<ShapeError>([&] { conv(x, k, {}); }, {"kernel of 1", "input of 0"});
}
TEST_F(ConvErrors, ChannelsDiffer) {
  const Value x = f32({1, 5, 5, 3}), k = f32({3, 3, 1, 8});
  expect_error<ShapeError>([&] { conv(x, k, {}); }, {"(3, 3, 1, 8)", "1 channels", "(1, 5, 5, 3) has 3"});
}
TEST_F(ConvErrors, GroupsDontDivide) {
  const Value x = f32({1, 5, 3}), k = f32({3, 1, 8});
  expect_error<ShapeError>([&] { conv(x, k, {.groups = 2}); }, {"groups 2", "3 channels", "8 filters"});
  expect_error<ShapeError>([&] { conv(x, k, {.groups = 0}); }, {"groups 0"});
}
TEST_F(ConvErrors, RankTooSmall) {
  const Value x = f32({28, 28}), k = f32({3, 3});
  expect_error<ShapeError>([&] { conv(x, k, {}); }, {"(batch, spatial..., channels)", "(28, 28)"});
}
TEST_F(ConvErrors, KernelRankDiffers) {
  const Value x = f32({1, 8, 8, 1}), k = f32({3, 1, 1});
  expect_error<ShapeError>([&] { conv(x, k, {}); }, {"(3, 1, 1)", "(1, 8, 8, 1)"});
}
TEST_F(ConvErrors, AttributesPerAxis) {
  const Value x = f32({1, 8, 8, 1}), k = f32({3, 3, 1, 1});
  expect_error<ShapeError>([&] { conv(x, k, {.strides = {2}}); }, {"strides", "2 axes", "[2]"});
  expect_error<ShapeError>([&] { conv(x, k, {.strides = {0, 1}}); }, {"strides", "at least 1", "[0, 1]"});
  expect_error<ShapeError>([&] { conv(x, k, {.dilation = {1, 0}}); }, {"dilation", "at least 1"});
  expect_error<ShapeError>([&] { conv(x, k, {.low = {-1, 0}}); }, {"low", "at least 0"});
}
TEST_F(ConvErrors, Types) {
  const Value x = f32({1, 8, 1}), k = g.input("k", {DType::f64, {3, 1, 1}});
  const Value image = g.input("image", {DType::u8, {1, 8, 1}});
  expect_error<TypeError>([&] { conv(x, k, {}); }, {"float32", "float64"});
  expect_error<TypeError>([&] { conv(image, image, {}); }, {"float32 or float64", "uint8", "convert"});
}
TEST_F(ConvErrors, GradientsCheckDy) {
  const Value x = f32({1, 8, 1}), k = f32({3, 1, 2}), dy = f32({1, 5, 2});
  expect_error<ShapeError>([&] { conv_input_grad(dy, k, x.shape(), {}); }, {"dy", "(1, 6, 2)", "(1, 5, 2)"});
  expect_error<ShapeError>([&] { conv_kernel_grad(x, dy, k.shape(), {}); }, {"dy", "(1, 6, 2)", "(1, 5, 2)"});
}

}  // namespace
}  // namespace kiln::graph::testing
