// Layers and models: shapes, names, weights, files, custom layers, initial values.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "kiln/graph/gradient.h"
#include "kiln/graph/interpreter.h"
#include "tests/api/support.h"
#include "tests/support/coverage.h"

namespace kiln {
namespace {

using namespace layers;
using testing::expect_near;
using testing::floats;
using testing::run;

TEST(Shapes, AreKerasShapes) {
  const auto x = Input({28, 28, 3});
  EXPECT_EQ(x.shape().to_string(), "(None, 28, 28, 3)");
  EXPECT_EQ(Conv2D(6, 5)(x).shape(), (Shape{None, 24, 24, 6}));
  EXPECT_EQ(Conv2D(6, 5, {.strides = {2, 3}, .padding = "same"})(x).shape(), (Shape{None, 14, 10, 6}));
  EXPECT_EQ(Conv2D(6, 3, {.dilation_rate = 2, .groups = 3})(x).shape(), (Shape{None, 24, 24, 6}));
  EXPECT_EQ(MaxPooling2D(3)(x).shape(), (Shape{None, 9, 9, 3}));
  EXPECT_EQ(AveragePooling2D(3, {.strides = 2, .padding = "same"})(x).shape(), (Shape{None, 14, 14, 3}));
  EXPECT_EQ(GlobalAveragePooling2D({.keepdims = true})(x).shape(), (Shape{None, 1, 1, 3}));
  EXPECT_EQ(Flatten()(x).shape(), (Shape{None, 2352}));
  EXPECT_EQ(Flatten()(Input({})).shape(), (Shape{None, 1}));
  EXPECT_EQ(Reshape({-1, 21})(x).shape(), (Shape{None, 112, 21}));
  EXPECT_EQ(Reshape({3, -1})(Input({None, None})).shape(), (Shape{None, 3, None}));
  EXPECT_EQ(Reshape({-1, 15})(Input({None, 2})).shape(), (Shape{None, None, 15}));
  EXPECT_EQ(Dense(7)(x).shape(), (Shape{None, 28, 28, 7}));
  EXPECT_EQ(Concatenate({.axis = 1})({x, x}).shape(), (Shape{None, 56, 28, 3}));
}

TEST(Layers, ComputeWhatTheirNamesSay) {
  const Tensor image(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 3, 3, 1});
  EXPECT_EQ(floats(run(MaxPooling2D(2, {.strides = 1}), image)), (std::vector<float>{5, 6, 8, 9}));
  EXPECT_EQ(floats(run(AveragePooling2D(2, {.padding = "same"}), image)),
            (std::vector<float>{3, 4.5, 7.5, 9}));
  EXPECT_EQ(floats(run(GlobalAveragePooling2D(), image)), (std::vector<float>{5}));
  EXPECT_EQ(floats(run(Rescaling(2, {.offset = 1}), image)),
            (std::vector<float>{3, 5, 7, 9, 11, 13, 15, 17, 19}));
  const Tensor v({{-3.f, -0.5f, 0.f, 2.f, 9.f}});
  EXPECT_EQ(floats(run(ReLU(), v)), (std::vector<float>{0, 0, 0, 2, 9}));
  EXPECT_EQ(floats(run(ReLU({.max_value = 6, .negative_slope = 0.5}), v)),
            (std::vector<float>{-1.5, -0.25, 0, 2, 6}));
  EXPECT_EQ(floats(run(ReLU({.threshold = 1}), v)), (std::vector<float>{0, 0, 0, 2, 9}));
  EXPECT_EQ(floats(run(ReLU({.threshold = 2}), v)), (std::vector<float>{0, 0, 0, 0, 9}));
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(floats(run(ReLU({.threshold = 2}), Tensor({{-inf, inf}}))), (std::vector<float>{0, inf}));
  expect_near(run(Softmax(), Tensor({{0.f, std::log(3.f)}})), {0.25, 0.75});
  expect_near(run(Softmax({.axis = 1}), Tensor(std::vector<float>{0, 0, std::log(3.f), 0}, {1, 2, 2})),
              {0.25, 0.5, 0.75, 0.5});
}

// The function of the maxima, which are fewer: the same numbers as the other way round.
TEST(Layers, MaximaAreTakenBeforeTheActivation) {
  graph::Graph g;
  Call call(g, false);
  const graph::Value x = g.input("x", {DType::f32, {2, 5, 5, 3}});
  for (const auto function : {graph::sigmoid, graph::tanh}) {
    const graph::Value y = MaxPooling2D(2, {.strides = 1, .padding = "same"}).impl().call(call, function(x));
    ASSERT_EQ(y.node->op, function(x).node->op);
    EXPECT_EQ(y.node->operand(0).node->op, graph::Op::window_max);
    EXPECT_EQ(y.node->operand(0).node->operand(0), x);
  }
  const graph::Value clamped = MaxPooling2D(2).impl().call(call, activations::relu(x));
  ASSERT_EQ(clamped.node->op, graph::Op::select);
  EXPECT_EQ(clamped.node->operand(2).node->op, graph::Op::window_max);
  EXPECT_EQ(clamped.node->operand(2).node->operand(0), x);
  // Other selects stay: relu6 has ties at 6, where its slope ends.
  for (const auto function : {activations::relu6, activations::leaky_relu})
    EXPECT_EQ(MaxPooling2D(2).impl().call(call, function(x)).node->op, graph::Op::window_max);
  const Tensor image(std::vector<float>{-9, -2, 3, -4, 5, -6, 7, 8, -INFINITY}, {1, 3, 3, 1});
  const auto input = Input({3, 3, 1});
  const auto active = layers::Activation("tanh")(input);
  const Model model({.inputs = {input}, .outputs = {MaxPooling2D(2, {.strides = 1})(active), active}});
  const std::vector<Tensor> y = model.predict_all(image, {.verbose = 0});
  expect_near(y[0], {std::tanh(5.0), std::tanh(5.0), std::tanh(8.0), std::tanh(8.0)});
  EXPECT_EQ(y[1].shape(), image.shape());
}

// Windows without a positive element, with several largest ones, and with NaN: every bit of the gradient is
// that of the maxima of relu.
TEST(Layers, MaximaBeforeReluHaveTheGradientOfMaximaOfRelu) {
  const Tensor image(std::vector<float>{-1, -2, 5, 5,     //
                                        0, -3, 5, -1,     //
                                        NAN, 2, -0.f, 0,  //
                                        2, 2, -4, -4},
                     {1, 4, 4, 1});
  for (std::int64_t stride : {1, 2}) {
    graph::Graph g;
    Call call(g, false);
    const graph::Value x = g.input("x", {DType::f32, image.shape()});
    const graph::Value y = MaxPooling2D(2, {.strides = stride}).impl().call(call, activations::relu(x));
    const graph::Value direct =
        graph::window_max(activations::relu(x), {{1, 2, 2, 1}, {1, stride, stride, 1}, {}, {}});
    const graph::Value dy = g.input("dy", y.type());
    for (const graph::Value& result : {y, direct}) {
      g.output("y", result);
      g.output("dx", graph::gradient(result, {&x, 1}, dy)[0]);
    }
    const Tensor inputs[] = {image, Tensor::full(y.shape(), 3, DType::f32)};
    const std::vector<Tensor> out = graph::interpret(g, inputs, {}).outputs;
    for (int i : {0, 1}) {
      const auto a = out[static_cast<std::size_t>(i)].to_vector<float>();
      const auto b = out[static_cast<std::size_t>(i + 2)].to_vector<float>();
      ASSERT_EQ(a.size(), b.size());
      EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << stride << " " << i;
    }
  }
}

TEST(Layers, ActivationsFollowTheirFormulas) {
  const std::vector<double> at = {-3, -0.5, 0, 0.7, 4};
  const Tensor x({{-3.f, -0.5f, 0.f, 0.7f, 4.f}});
  const auto expect = [&](const char* name, double (*f)(double)) {
    std::vector<double> right;
    for (double v : at) right.push_back(f(v));
    SCOPED_TRACE(name);
    expect_near(run(Activation(name), x), right, 2e-6);
  };
  expect("linear", [](double v) { return v; });
  expect("relu", [](double v) { return std::max(v, 0.0); });
  expect("relu6", [](double v) { return std::min(std::max(v, 0.0), 6.0); });
  expect("leaky_relu", [](double v) { return v < 0 ? 0.2 * v : v; });
  expect("elu", [](double v) { return v > 0 ? v : std::expm1(v); });
  expect("selu", [](double v) { return 1.05070098 * (v > 0 ? v : 1.67326324 * std::expm1(v)); });
  expect("softplus", [](double v) { return std::log1p(std::exp(v)); });
  expect("softsign", [](double v) { return v / (1 + std::abs(v)); });
  expect("silu", [](double v) { return v / (1 + std::exp(-v)); });
  expect("gelu", [](double v) { return v * 0.5 * (1 + std::erf(v / std::sqrt(2))); });
  expect("tanh", [](double v) { return std::tanh(v); });
  expect("sigmoid", [](double v) { return 1 / (1 + std::exp(-v)); });
  expect("log_sigmoid", [](double v) { return -std::log1p(std::exp(-v)); });
  expect("hard_sigmoid", [](double v) { return std::min(std::max(v / 6 + 0.5, 0.0), 1.0); });
  expect("exponential", [](double v) { return std::exp(v); });
  expect("mish", [](double v) { return v * std::tanh(std::log1p(std::exp(v))); });
}

TEST(Layers, AFunctionCanBeAnActivation) {
  const Tensor x({{-1.f, 2.f}});
  EXPECT_EQ(floats(run(Activation(activations::relu), x)), (std::vector<float>{0, 2}));
  EXPECT_EQ(floats(run(Activation([](graph::Value v) { return v * v + 1.0; }), x)),
            (std::vector<float>{2, 5}));
}

// The layer of the documentation.
struct Scale : LayerImpl {
  Variable factor;
  void build(const Shape& input) override {
    factor = add_weight({.name = "factor", .shape = {input.back()}, .initializer = "ones"});
  }
  graph::Value call(Call& call, graph::Value x) override { return x * call(factor); }
};

TEST(Layers, OnesOwnLayerTrainsAndSaves) {
  Sequential model({Input({4}), make_layer<Scale>(), Dense(1)});
  EXPECT_EQ(model.layers()[0].class_name(), "Scale");
  EXPECT_EQ(model.named_weights()[0].first, "scale/factor");
  model.compile({.optimizer = "sgd", .loss = "mse"});
  model.train_on_batch(Tensor::full({2, 4}, 1), Tensor::full({2, 1}, 3));
  EXPECT_NE(floats(model.get_weights()[0]), (std::vector<float>{1, 1, 1, 1}));
}

// Returns the same tensor whatever it is asked for.
struct Given : InitializerImpl {
  explicit Given(Tensor t) : values(std::move(t)) {}
  Tensor operator()(const Shape&, DType) const override { return values; }
  Tensor values;
};

TEST(Layers, AnInitializersTensorStaysItsOwn) {
  const Tensor values({{2.f}});
  const Initializer given(std::make_shared<Given>(values));
  const auto args = [&] { return DenseArgs{.use_bias = false, .kernel_initializer = given}; };
  Sequential model({Input({1}), Dense(1, args()), Dense(1, args())});
  model.set_weights({Tensor({{3.f}}), Tensor({{4.f}})});
  EXPECT_EQ(values.item(), 2);
  EXPECT_EQ(model.get_weights()[0].item(), 3);
}

TEST(Layers, AnInitializerMustReturnWhatItIsAskedFor) {
  const auto kernel_from = [](const Tensor& t) {
    Dense(2, {.kernel_initializer = Initializer(std::make_shared<Given>(t)), .name = "head"})(Input({3}));
  };
  EXPECT_ERROR(ShapeError,
               "layer \"head\": the initializer of weight \"kernel\" returned shape (2, 3) and type float32, "
               "but it was asked for shape (3, 2) and type float32",
               kernel_from(Tensor::zeros({2, 3})));
  EXPECT_ERROR(ShapeError, "type float64", kernel_from(Tensor::zeros({3, 2}, DType::f64)));
}

TEST(Models, NamesOfWeightsPassOverTheUsersNames) {
  // Layers without a name are counted over the whole program; these use up the names that the user gives
  // below.
  for (int i = 0; i < 3; i++) Dense(1);
  Sequential model({Input({2}), Dense(2, {.use_bias = false}), Dense(2, {.use_bias = false, .name = "dense"}),
                    Dense(2, {.use_bias = false}), Dense(2, {.use_bias = false, .name = "dense_2"})});
  std::vector<std::string> names;
  for (const auto& [name, weight] : model.named_weights()) names.push_back(name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"dense_1/kernel", "dense/kernel", "dense_3/kernel", "dense_2/kernel"}));
  const std::string path = (std::filesystem::temp_directory_path() / "kiln_taken_names.safetensors").string();
  const auto saved = floats(model.get_weights()[2]);
  model.save_weights(path);
  model.set_weights(std::vector<Tensor>(4, Tensor::zeros({2, 2})));
  model.load_weights(path);
  EXPECT_EQ(floats(model.get_weights()[2]), saved);
  std::filesystem::remove(path);
}

TEST(Layers, OfDoublesComputeInDoubles) {
  Sequential model({Input({1}, {.dtype = DType::f64}),
                    Dense(1, {.kernel_initializer = initializers::Constant(1.0 / 3), .dtype = DType::f64})});
  const Tensor y = model(Tensor(std::vector<double>{0.1}, {1, 1}));
  EXPECT_EQ(y.dtype(), DType::f64);
  EXPECT_DOUBLE_EQ(y.item(), 0.1 / 3);

  // Layers that only move or average elements keep them double as well, if they are told to.
  const Layer movers[] = {MaxPooling2D(2, {.dtype = DType::f64}),
                          AveragePooling2D(2, {.padding = "same", .dtype = DType::f64}),
                          GlobalAveragePooling2D({.dtype = DType::f64}), Flatten({.dtype = DType::f64}),
                          Reshape({4}, {.dtype = DType::f64})};
  const auto x = Input({2, 2, 1}, {.dtype = DType::f64});
  for (const Layer& layer : movers) {
    const Tensor z =
        Model({.inputs = {x}, .outputs = {layer(x)}})(Tensor::full({1, 2, 2, 1}, 0.1, DType::f64));
    EXPECT_EQ(z.dtype(), DType::f64) << layer.name();
    EXPECT_DOUBLE_EQ(z.to_vector<double>()[0], 0.1) << layer.name();
  }
}

TEST(Layers, FlattenAndReshapeKeepWholeNumbersAsKerasDoes) {
  const auto x = Input({2, 1}, {.dtype = DType::i64});
  const Tensor large(std::vector<std::int64_t>{(std::int64_t{1} << 40) + 1, 3}, {1, 2, 1});
  for (const Layer& layer : {Flatten(), Reshape({2})}) {
    const Tensor y = Model({.inputs = {x}, .outputs = {layer(x)}})(large);
    EXPECT_EQ(y.dtype(), DType::i64);
    EXPECT_EQ(y.to_vector<std::int64_t>(), large.to_vector<std::int64_t>());
  }
  EXPECT_EQ(Flatten()(Input({2}, {.dtype = DType::f64})).dtype(), DType::f32);
}

TEST(Models, WithoutInputAreBuiltByTheirData) {
  Sequential model({Dense(3), Dense(2)});
  EXPECT_FALSE(model.layers()[0].built());
  EXPECT_ERROR(StateError, "put an Input in front", model.save_weights("unused"));
  EXPECT_EQ(model.predict(Tensor::zeros({5, 4}), {.verbose = 0}).shape(), (Shape{5, 2}));
  EXPECT_EQ(model.count_params(), 4 * 3 + 3 + 3 * 2 + 2);
  Sequential built({Dense(3)});
  built.build({None, 6});
  EXPECT_EQ(built.count_params(), 21);
  EXPECT_ERROR(ShapeError, "incompatible", built.build({None, 7}));
}

TEST(Models, GrowAndShrinkLayerByLayer) {
  Sequential model;
  model.add(Input({4}));
  model.add(Dense(3));
  model.add(Dense(2));
  EXPECT_EQ(model.outputs()[0].shape(), (Shape{None, 2}));
  model.pop();
  EXPECT_EQ(model.outputs()[0].shape(), (Shape{None, 3}));
  EXPECT_EQ(model.layers().size(), 1u);
  EXPECT_EQ(model.predict(Tensor::zeros({2, 4}), {.verbose = 0}).shape(), (Shape{2, 3}));
}

TEST(Models, NamesOfWeightsCountInTheModelNotInTheProgram) {
  const auto make = [] {
    Sequential inner({Input({3}), Dense(3), Dense(3, {.name = "mine"})});
    return Sequential({Input({3}), Dense(3), inner, Dense(1)});
  };
  make();  // uses names up
  std::vector<std::string> names;
  for (const auto& [name, weight] : make().named_weights()) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"dense/kernel", "dense/bias", "sequential/dense/kernel",
                                             "sequential/dense/bias", "sequential/mine/kernel",
                                             "sequential/mine/bias", "dense_1/kernel", "dense_1/bias"}));
}

class WeightFiles : public ::testing::Test {
 protected:
  std::string path =
      std::filesystem::temp_directory_path() /
      ("kiln_weights_" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) + ".safetensors");
  void TearDown() override { std::filesystem::remove(path); }
};

TEST_F(WeightFiles, GoIntoAnotherModelOfTheSameArchitecture) {
  const auto make = [] { return Sequential({Input({6, 6, 1}), Conv2D(2, 3), Flatten(), Dense(4)}); };
  Sequential a = make(), b = make();
  const Tensor x = Tensor::full({1, 6, 6, 1}, 0.5);
  EXPECT_NE(floats(a(x)), floats(b(x)));
  a.save_weights(path);
  b.load_weights(path);
  EXPECT_EQ(floats(a(x)), floats(b(x)));
}

TEST_F(WeightFiles, ThatDoNotFitChangeNothing) {
  Sequential source({Input({4}), Dense(3), Dense(2)}), more({Input({4}), Dense(3), Dense(2), Dense(1)}),
      fewer({Input({4}), Dense(3)}), other({Input({5}), Dense(3), Dense(2)});
  source.save_weights(path);
  const auto unchanged = [&](Sequential& model, auto try_it) {
    const auto before = model.get_weights();
    try_it();
    for (std::size_t i = 0; i < before.size(); i++)
      EXPECT_EQ(floats(model.get_weights()[i]), floats(before[i]));
  };
  unchanged(more, [&] {
    EXPECT_ERROR(FileError, "lacks \"dense_2/kernel\", \"dense_2/bias\"", more.load_weights(path));
  });
  unchanged(fewer,
            [&] { EXPECT_ERROR(FileError, "the model lacks \"dense_1/kernel\"", fewer.load_weights(path)); });
  unchanged(other, [&] {
    EXPECT_ERROR(ShapeError, "(4, 3), but the model's weight has shape (5, 3)", other.load_weights(path));
  });
  // Case 21: damaged files; each byte of the header in turn.
  std::string whole;
  {
    std::ifstream file(path, std::ios::binary);
    whole.assign(std::istreambuf_iterator<char>(file), {});
  }
  const auto put = [&](const std::string& content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  };
  int refused = 0;
  for (std::size_t at = 0; at < whole.find("}}"); at += 3) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
    put(damaged);
    unchanged(source, [&] {
      try {
        source.load_weights(path);
      } catch (const Error&) {
        refused++;
      }
    });
  }
  EXPECT_GT(refused, 30);
  put(whole);
  // A file that was cut off.
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 5);
  unchanged(source, [&] { EXPECT_ERROR(FileError, path, source.load_weights(path)); });
  std::filesystem::remove(path);
  unchanged(source, [&] { EXPECT_ERROR(FileError, path, source.load_weights(path)); });
}

// ---- initial values
// ----------------------------------------------------------------------------------------

struct Moments {
  double mean, deviation, least, largest;
};
Moments moments(const Tensor& t) {
  const auto v = t.to_vector<double>();
  Moments m{0, 0, v[0], v[0]};
  for (double x : v) {
    m.mean += x / static_cast<double>(v.size());
    m.least = std::min(m.least, x);
    m.largest = std::max(m.largest, x);
  }
  for (double x : v) m.deviation += (x - m.mean) * (x - m.mean) / static_cast<double>(v.size());
  m.deviation = std::sqrt(m.deviation);
  return m;
}

TEST(Initializers, HaveTheirMomentsAndBounds) {
  set_random_seed(8);
  const Shape shape = {300, 200};
  const auto expect = [&](const Initializer& initializer, double deviation, double bound) {
    const Moments m = moments(initializer(shape));
    EXPECT_NEAR(m.mean, 0, deviation / 50);
    EXPECT_NEAR(m.deviation, deviation, deviation / 50);
    EXPECT_LE(std::max(m.largest, -m.least), bound);
    EXPECT_GT(std::max(m.largest, -m.least), bound * 0.9);
  };
  const double two_sigma = 2 / 0.87962566103423978;
  expect("glorot_uniform", std::sqrt(2.0 / 500), std::sqrt(6.0 / 500) + 1e-7);
  expect("he_uniform", std::sqrt(2.0 / 300), std::sqrt(6.0 / 300) + 1e-7);
  expect("lecun_uniform", std::sqrt(1.0 / 300), std::sqrt(3.0 / 300) + 1e-7);
  expect("glorot_normal", std::sqrt(2.0 / 500), two_sigma * std::sqrt(2.0 / 500) + 1e-7);
  expect("he_normal", std::sqrt(2.0 / 300), two_sigma * std::sqrt(2.0 / 300) + 1e-7);
  expect("lecun_normal", std::sqrt(1.0 / 300), two_sigma * std::sqrt(1.0 / 300) + 1e-7);
  expect(initializers::RandomUniform({.minval = -0.3, .maxval = 0.3}), 0.3 / std::sqrt(3), 0.3);
  expect(initializers::TruncatedNormal({.stddev = 0.1}), 0.087962566, 0.2 + 1e-7);
  EXPECT_NEAR(moments(initializers::RandomNormal({.mean = 3, .stddev = 2})(shape)).deviation, 2, 0.03);
  EXPECT_NEAR(moments(initializers::RandomNormal({.mean = 3, .stddev = 2})(shape)).mean, 3, 0.03);
  // A kernel of 5 x 5 over 4 channels to 16 filters: fan_in 100, fan_out 400.
  EXPECT_LE(moments(Initializer("glorot_uniform")({5, 5, 4, 16})).largest, std::sqrt(6.0 / 500) + 1e-7);
  EXPECT_EQ(floats(Initializer("ones")({2})), (std::vector<float>{1, 1}));
}

TEST(Initializers, OrthogonalKeepsNorms) {
  for (const auto& [rows, columns] : {std::pair<std::int64_t, std::int64_t>{20, 20}, {30, 7}, {7, 30}}) {
    const Tensor w = initializers::Orthogonal({.gain = 2})({rows, columns});
    // The products of the shorter side's vectors are 4 on the diagonal, 0 elsewhere; so ||W' d|| = 2 ||d||.
    const std::int64_t n = std::min(rows, columns), length = std::max(rows, columns);
    const auto at = [&](std::int64_t vector, std::int64_t i) {
      return rows <= columns ? w(vector, i) : w(i, vector);
    };
    for (std::int64_t a = 0; a < n; a++)
      for (std::int64_t b = 0; b < n; b++) {
        double sum = 0;
        for (std::int64_t i = 0; i < length; i++) sum += at(a, i) * at(b, i);
        EXPECT_NEAR(sum, a == b ? 4 : 0, 1e-5);
      }
  }
  // ||W' d|| = ||d||, of vectors and of convolutions' kernels, whose leading axes are one.
  for (const Shape& shape : {Shape{7, 30}, Shape{20, 20}, Shape{2, 2, 3, 40}}) {
    const Tensor w = initializers::Orthogonal()(shape).reshape({None, shape.back()});
    double length = 0, product = 0;
    for (std::int64_t i = 0; i < w.dim(0); i++) length += static_cast<double>((i + 1) * (i + 1));
    for (std::int64_t j = 0; j < w.dim(1); j++) {
      double sum = 0;
      for (std::int64_t i = 0; i < w.dim(0); i++) sum += w(i, j) * static_cast<double>(i + 1);
      product += sum * sum;
    }
    EXPECT_NEAR(product, length, 1e-4 * length) << shape.to_string();
  }
  EXPECT_ERROR(ShapeError, "two axes or more", initializers::Orthogonal()({5}));
  const Config config = initializers::serialize(initializers::Orthogonal({.gain = 2}));
  EXPECT_EQ(initializers::serialize(initializers::deserialize(config)), config);
  testing::covers("Initializers", "Orthogonal", "forward config");
}

TEST(Initializers, SeedsDecideTheValues) {
  const auto draw = [](Initializer i) { return floats(i({50})); };
  EXPECT_EQ(draw(initializers::RandomNormal({.seed = 4})), draw(initializers::RandomNormal({.seed = 4})));
  EXPECT_NE(draw(initializers::RandomNormal({.seed = 4})), draw(initializers::RandomNormal({.seed = 5})));
  EXPECT_NE(draw("random_normal"), draw("random_normal"));
  set_random_seed(1);
  const auto first = draw("random_normal");
  set_random_seed(1);
  EXPECT_EQ(draw("random_normal"), first);
}

TEST(Names, OfInitializersLossesMetricsAndRegularizersAreKerass) {
  for (const char* name : {"GlorotUniform",
                           "glorot_uniform",
                           "HeNormal",
                           "he_normal",
                           "Zeros",
                           "zero",
                           "Ones",
                           "one",
                           "normal",
                           "RandomNormal",
                           "uniform",
                           "RandomUniform",
                           "TruncatedNormal",
                           "VarianceScaling",
                           "Orthogonal",
                           "LecunUniform",
                           "LecunNormal",
                           "HeUniform",
                           "GlorotNormal",
                           "Constant"})
    EXPECT_EQ(Initializer(name)({4, 3}).shape(), (Shape{4, 3})) << name;
  EXPECT_EQ(floats(Initializer("one")({2})), (std::vector<float>{1, 1}));
  for (const char* name : {"bce", "BCE", "BinaryCrossentropy", "mse", "MeanAbsoluteError"})
    EXPECT_TRUE(Loss(name).defined()) << name;
  for (const char* name : {"bce", "BCE", "BinaryCrossentropy", "MeanSquaredError", "MeanAbsoluteError"})
    EXPECT_EQ(Metric(name).name(), name);
  for (const char* name : {"l1", "L1", "l2", "L2"}) EXPECT_TRUE(Regularizer(name)) << name;
}

TEST(Names, SnakeCaseIsKeras) {
  for (const auto& [name, snake] : {std::pair<const char*, const char*>{"Conv2D", "conv2d"},
                                    {"MaxPooling2D", "max_pooling2d"},
                                    {"ReLU", "re_lu"},
                                    {"GlobalAveragePooling2D", "global_average_pooling2d"},
                                    {"InputLayer", "input_layer"},
                                    {"RMSprop", "rm_sprop"},
                                    {"PReLU", "p_re_lu"},
                                    {"GRU", "gru"}})
    EXPECT_EQ(internal::snake_case(name), snake);
}

}  // namespace
}  // namespace kiln
