// Faults that other projects had, each as a test of its kind: the windows of convolutions and poolings.
#include "tests/api/cases_support.h"

namespace kiln {
namespace {

using namespace layers;
using testing::Shift;
using testing::floats;
using testing::ramp;

// ---- case 6: "same" padding, the extra zero at the end; stride and dilation count -------------------------

std::vector<float> convolved(const std::vector<float>& x, const std::vector<float>& kernel, Conv2DArgs args,
                             bool down) {
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
    const auto stride = [&](std::int64_t s) {
      return Conv2DArgs{.strides = down ? Size2(s, 1) : Size2(1, s)};
    };
    EXPECT_EQ(convolved(ramp(6, 1), {1, 10, 100}, stride(2), down), (std::vector<float>{321, 543, 65}));
    EXPECT_EQ(convolved(ramp(7, 1), {1, 10, 100}, stride(2), down), (std::vector<float>{210, 432, 654, 76}));
    EXPECT_EQ(convolved(ramp(5, 1), {1, 10, 100, 1000}, stride(1), down),
              (std::vector<float>{3210, 4321, 5432, 543, 54}));
    EXPECT_EQ(convolved(ramp(8, 1, 0), std::vector<float>(7, 1), stride(2), down),
              (std::vector<float>{5, 7, 6, 4}));
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

/// One axis of a window: the formula of the case's text.
struct Axis {
  std::int64_t n, window, stride, dilation;
  std::int64_t outputs() const { return (n + stride - 1) / stride; }
  /// The input element that output i's window element k reads; outside [0, n) it is padding.
  std::int64_t at(std::int64_t i, std::int64_t k) const {
    const std::int64_t total =
        std::max<std::int64_t>((outputs() - 1) * stride + (window - 1) * dilation + 1 - n, 0);
    return i * stride + k * dilation - total / 2;
  }
  bool inside(std::int64_t i, std::int64_t k) const { return at(i, k) >= 0 && at(i, k) < n; }
};

enum class Kind { conv, max, average };
struct Window {
  Kind kind;
  Size2 size, strides, dilation = 1;
};

/// A layer of windows over one image by plain loops: outputs, and for given adjoints of them the gradients of
/// image and kernel. Whole numbers but for averages.
struct Reference {
  std::vector<double> y, dx, dkernel;

  Reference(const Window& w, Axis rows, Axis columns, const std::vector<float>& x,
            const std::vector<float>& kernel, const std::function<double(std::size_t)>& up)
      : dx(x.size()), dkernel(kernel.size()) {
    for (std::int64_t i = 0; i < rows.outputs(); i++)
      for (std::int64_t j = 0; j < columns.outputs(); j++) {
        const double dy = up(y.size());
        double sum = 0;
        std::vector<std::size_t> covered;
        for (std::int64_t r = 0; r < rows.window; r++)
          for (std::int64_t c = 0; c < columns.window; c++) {
            if (!rows.inside(i, r) || !columns.inside(j, c)) continue;
            covered.push_back(static_cast<std::size_t>(rows.at(i, r) * columns.n + columns.at(j, c)));
            const double v = x[covered.back()];
            if (w.kind != Kind::conv) {
              sum += v;
              continue;
            }
            const auto k = static_cast<std::size_t>(r * columns.window + c);
            sum += v * kernel[k];
            dkernel[k] += v * dy;
            dx[covered.back()] += kernel[k] * dy;
          }
        if (w.kind == Kind::average) {
          const auto count = static_cast<double>(covered.size());
          for (std::size_t e : covered) dx[e] += dy / count;
          sum /= count;
        } else if (w.kind == Kind::max) {
          const std::size_t best = *std::max_element(
              covered.begin(), covered.end(), [&](std::size_t a, std::size_t b) { return x[a] < x[b]; });
          dx[best] += dy;
          sum = x[best];
        }
        y.push_back(sum);
      }
  }
};

// Odd and even windows, strides and dilations, other ones for rows and columns; values and all gradients.
TEST(Case6, SamePaddingByTheFormulaForEveryWindow) {
  const Window windows[] = {{Kind::conv, {1, 2}, {1, 2}},         {Kind::conv, {2, 3}, {2, 1}},
                            {Kind::conv, {3, 4}, {2, 3}},         {Kind::conv, {4, 5}, {3, 2}},
                            {Kind::conv, {5, 7}, {2, 2}},         {Kind::conv, {2, 3}, 1, {3, 2}},
                            {Kind::conv, {3, 2}, 1, {2, 4}},      {Kind::conv, {2, 2}, {2, 3}, {1, 1}},
                            {Kind::conv, {3, 2}, {2, 2}, {2, 3}}, {Kind::max, {2, 3}, {1, 2}},
                            {Kind::max, {3, 2}, {2, 3}},          {Kind::max, {4, 5}, {3, 1}},
                            {Kind::average, {2, 3}, {1, 2}},      {Kind::average, {3, 2}, {2, 3}},
                            {Kind::average, {4, 5}, {3, 1}}};
  for (const Size2 size : {Size2(6, 7), Size2(1, 10)}) {
    const std::int64_t elements = size.height * size.width;
    std::vector<float> x;
    for (std::int64_t i = 0; i < elements; i++) x.push_back(static_cast<float>(i * 37 % 101 - 50));
    const auto input = Input({size.height, size.width, 1});
    const Layer shift = make_layer<Shift>();
    const auto shifted = shift(input);
    std::vector<Layer> layers;
    std::vector<SymbolicTensor> outputs;
    for (const Window& w : windows) {
      layers.push_back(
          w.kind == Kind::conv
              ? Conv2D(
                    1, w.size,
                    {.strides = w.strides, .padding = "same", .dilation_rate = w.dilation, .use_bias = false})
          : w.kind == Kind::max ? MaxPooling2D(w.size, {.strides = w.strides, .padding = "same"})
                                : AveragePooling2D(w.size, {.strides = w.strides, .padding = "same"}));
      outputs.push_back(Flatten()(layers.back()(shifted)));
    }
    Model model({.inputs = {input}, .outputs = {Concatenate()(outputs)}});
    std::vector<float> expected, adjoints;
    std::vector<double> dx(x.size());
    std::vector<std::vector<double>> dkernels;
    std::vector<std::vector<float>> kernels;
    for (std::size_t i = 0; i < layers.size(); i++) {
      const Window& w = windows[i];
      std::vector<float> kernel;
      if (w.kind == Kind::conv)
        for (std::int64_t k = 0; k < w.size.height * w.size.width; k++)
          kernel.push_back(static_cast<float>(k * 5 % 7 - 2));
      const Reference right(w, {size.height, w.size.height, w.strides.height, w.dilation.height},
                            {size.width, w.size.width, w.strides.width, w.dilation.width}, x, kernel,
                            [](std::size_t k) { return static_cast<double>(k * 3 % 5) - 1; });
      for (std::size_t k = 0; k < right.y.size(); k++) {
        expected.push_back(static_cast<float>(right.y[k]));
        adjoints.push_back(static_cast<float>(k * 3 % 5) - 1);
      }
      for (std::size_t k = 0; k < dx.size(); k++) dx[k] += right.dx[k];
      if (w.kind != Kind::conv) continue;
      layers[i].set_weights({Tensor(kernel, {w.size.height, w.size.width, 1, 1})});
      dkernels.push_back(right.dkernel);
      kernels.push_back(kernel);
    }
    const Tensor image(x, {1, size.height, size.width, 1});
    ASSERT_EQ(model.outputs()[0].shape()[1], static_cast<std::int64_t>(expected.size()));
    const auto y = floats(model(image));
    for (std::size_t k = 0; k < y.size(); k++) EXPECT_FLOAT_EQ(y[k], expected[k]) << "output " << k;
    model.compile({.optimizer = optimizers::SGD({.learning_rate = 1}),
                   .loss = losses::make_loss("adjoints", [](graph::Value up, graph::Value p) {
                     return graph::reduce_sum(up * p, {1});
                   })});
    model.train_on_batch(image, Tensor(adjoints, {1, static_cast<std::int64_t>(adjoints.size())}));
    const auto stepped = floats(shift.weights()[0].value());
    for (std::size_t k = 0; k < dx.size(); k++) EXPECT_NEAR(-stepped[k], dx[k], 1e-4) << "pixel " << k;
    std::size_t conv = 0;
    for (const Layer& layer : layers) {
      if (layer.weights().empty()) continue;
      const auto w = floats(layer.get_weights()[0]);
      for (std::size_t k = 0; k < w.size(); k++)
        EXPECT_FLOAT_EQ(kernels[conv][k] - w[k], static_cast<float>(dkernels[conv][k]))
            << "convolution " << conv << ", element " << k;
      conv++;
    }
  }
}

// ---- case 32: windows larger than their input -------------------------------------------------------------

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
}

TEST(Case32, EveryWindowFitsOrIsAnError) {
  for (std::int64_t n = 1; n <= 6; n++)
    for (std::int64_t window = 1; window <= 5; window++)
      for (std::int64_t stride = 1; stride <= 3; stride++)
        for (std::int64_t dilation = 1; dilation <= 3; dilation++) {
          const std::int64_t span = (window - 1) * dilation + 1;
          for (bool down : {false, true}) {
            const auto size = [&](std::int64_t v) { return down ? Size2(v, 1) : Size2(1, v); };
            const auto input = Input(down ? Shape{n, 1, 1} : Shape{1, n, 1});
            const int axis = down ? 1 : 2;
            for (const char* padding : {"valid", "same"}) {
              const bool same = padding == std::string("same");
              std::vector<Layer> layers = {
                  Conv2D(1, size(window),
                         {.strides = size(stride), .padding = padding, .dilation_rate = size(dilation)})};
              if (dilation == 1)
                for (auto pooling : {MaxPooling2D, AveragePooling2D})
                  layers.push_back(pooling(size(window), {.strides = size(stride), .padding = padding}));
              for (const Layer& layer : layers) {
                if (!same && span > n) {
                  EXPECT_ERROR(ShapeError, layer.name(), layer(input));
                } else {
                  EXPECT_EQ(layer(input).shape()[axis],
                            same ? (n + stride - 1) / stride : (n - span) / stride + 1);
                }
              }
            }
          }
        }
}

TEST(Case32, ASizeKnownOnlyLaterIsCheckedThen) {
  for (const Layer& layer : {Conv2D(1, 3), MaxPooling2D(3), AveragePooling2D(3)}) {
    const auto input = Input({None, None, 1});
    Model model({.inputs = {input}, .outputs = {layer(input)}});
    EXPECT_EQ(model(Tensor::zeros({1, 3, 4, 1})).shape()[1], 1);
    EXPECT_ERROR(ShapeError, layer.name(), model(Tensor::zeros({1, 2, 4, 1})));
    EXPECT_ERROR(ShapeError, layer.name(), model.predict(Tensor::zeros({1, 4, 2, 1}), {.verbose = 0}));
  }
}

}  // namespace
}  // namespace kiln
