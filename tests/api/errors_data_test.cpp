// Arguments and data that would train nonsense in silence, and what messages about data hint at.
#include <limits>

#include "api/model/backend.h"
#include "kiln/graph/ops.h"
#include "tests/api/support.h"
#include "tests/support/files.h"

namespace kiln {
namespace {

using namespace layers;
using graph::Value;
using testing::line;

constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

TEST(Nonsense, AnUnknownBackend) {
  EXPECT_EQ(internal::parse_backend(nullptr), internal::Backend::compiled);
  EXPECT_EQ(internal::parse_backend(""), internal::Backend::compiled);
  EXPECT_EQ(internal::parse_backend("interpreter"), internal::Backend::interpreter);
  EXPECT_ERROR(ValueError, "KILN_BACKEND \"interpeter\" is not known. Did you mean \"interpreter\"?",
               internal::parse_backend("interpeter"));
}

TEST(Nonsense, ClassWeights) {
  Sequential model = line(1);
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const Tensor x = Tensor::zeros({2, 1});
  for (double weight : {nan, infinite, -1.0})
    EXPECT_ERROR(ValueError, "gives class 1 the weight",
                 model.fit(x, x, {.verbose = 0, .class_weight = {{0, 1.0}, {1, weight}}}));
  EXPECT_ERROR(ValueError, "class_weight has class -1",
               model.train_on_batch(x, x, {.class_weight = {{-1, 1.0}}}));
  EXPECT_NO_THROW(model.fit(x, x, {.verbose = 0, .class_weight = {{0, 0.0}, {77, 2.0}}}));
}

TEST(Nonsense, OptimizersConstants) {
  for (double epsilon : {nan, infinite, -1e-7}) {
    EXPECT_ERROR(ValueError, "Adam: epsilon must be finite and not negative",
                 optimizers::Adam({.epsilon = epsilon}));
    EXPECT_ERROR(ValueError, "RMSprop: epsilon must be", optimizers::RMSprop({.epsilon = epsilon}));
    EXPECT_ERROR(ValueError, "Adagrad: epsilon must be", optimizers::Adagrad({.epsilon = epsilon}));
  }
  EXPECT_ERROR(ValueError, "initial_accumulator_value",
               optimizers::Adagrad({.initial_accumulator_value = -1}));
  EXPECT_NO_THROW(optimizers::Adam({.epsilon = 0}));
}

// Compiles a model y = w x with a loss of the user's and trains one step.
void train_with(std::function<Value(Value, Value)> values) {
  Sequential model = line(1);
  model.compile({.optimizer = "sgd", .loss = losses::make_loss("mine", std::move(values))});
  model.train_on_batch(Tensor::zeros({3, 1}), Tensor::zeros({3, 1}));
}

TEST(Nonsense, ALossThatIsNotOfEachSample) {
  EXPECT_ERROR(ShapeError, "loss \"mine\": it gave values of shape () for predictions of shape (3, 1)",
               train_with([](Value y, Value p) { return graph::reduce_sum(p - y); }));
  EXPECT_ERROR(ShapeError, "values of shape (1,)",
               train_with([](Value y, Value p) { return graph::reduce_sum(p - y, {0}); }));
  EXPECT_ERROR(ValueError, "returned an empty Value", train_with([](Value, Value) { return Value(); }));
}

TEST(Nonsense, AModelWithoutGradients) {
  const auto ignores = [](Value y, Value) { return y * y; };
  EXPECT_ERROR(ValueError, "No gradients provided for any variable: [\"dense/kernel\"]", train_with(ignores));
  EXPECT_ERROR(ValueError, "No gradients provided",
               train_with([](Value y, Value p) { return y - graph::stop_gradient(p); }));
  EXPECT_ERROR(ValueError, "No gradients provided", train_with([](Value y, Value p) {
                 return graph::convert(graph::compare(y, p, "eq"), DType::f32);
               }));
  // It can be evaluated, and a regularizer is something to train by. Without trainable weights there is
  // nothing to ask a gradient for.
  const Tensor x = Tensor::zeros({3, 1});
  Sequential penalized = line(1, "l2"), frozen = line(1);
  frozen.set_trainable(false);
  for (Sequential* model : {&penalized, &frozen}) {
    model->compile({.optimizer = "sgd", .loss = losses::make_loss("mine", ignores)});
    EXPECT_NO_THROW(model->train_on_batch(x, x));
  }
  // One weight with a gradient is enough, as in Keras.
  const auto input = Input({1});
  Model two({.inputs = {input}, .outputs = {Dense(1)(input), Dense(1)(input)}});
  two.compile({.optimizer = "sgd", .loss = {"mse", losses::make_loss("mine", ignores)}});
  EXPECT_NO_THROW(two.train_on_batch(x, {x, x}));
}

TEST(Nonsense, NamesOfLayersAndFiles) {
  EXPECT_ERROR(ValueError, "a name cannot contain the character \"/\"", Dense(1, {.name = "a/b"}));
  EXPECT_ERROR(ValueError, "\"a/b\"", Input({1}, {.name = "a/b"}));
  EXPECT_ERROR(ValueError, "\"a/b\"", Sequential({}, {.name = "a/b"}));
  const testing::TemporaryFolder folder;
  const Sequential model = line(1);
  for (const char* name : {"w.h5", "w.weights.h5", "w.keras"})
    EXPECT_ERROR(ValueError, "name it NAME.safetensors", model.save_weights(folder / name));
  EXPECT_TRUE(folder.names().empty());
}

TEST(Hints, SeveralArraysForOneInput) {
  Sequential model = line(1);
  model.compile({.loss = "mse"});
  const Tensor x = Tensor::zeros({2, 1});
  EXPECT_ERROR(ShapeError, "takes one input, but x holds 2 arrays. Tensors in braces are several arrays",
               model.predict({{1.f}, {2.f}}, {.verbose = 0}));
  EXPECT_ERROR(ShapeError, "write Tensor({{1, 2}, {3, 4}})", Sequential({Dense(1)}).predict({x, x}));
  EXPECT_ERROR(ShapeError, "has 1 output, but y holds 2 arrays", model.fit(x, {x, x}, {.verbose = 0}));
  const auto a = Input({1}), b = Input({1});
  const Model two({.inputs = {a, b}, .outputs = {Add()({a, b})}});
  EXPECT_ERROR(ShapeError, "takes 2 inputs, but got 1", two.predict(x, {.verbose = 0}));
}

TEST(Hints, OneSample) {
  const Sequential model({Input({3}), Dense(1)});
  const std::vector<float> v = {1, 2, 3};
  EXPECT_ERROR(ShapeError, "For one sample of 3 features write Tensor(v, {1, 3})", model.predict(v));
  EXPECT_EQ(model.predict(Tensor(v, {1, 3}), {.verbose = 0}).shape(), (Shape{1, 1}));
}

TEST(Hints, EmptyTensors) {
  Sequential model = line(1);
  model.compile({.loss = "mse"});
  const Tensor x = Tensor::zeros({2, 1});
  EXPECT_ERROR(ShapeError, "fit: x is an empty Tensor", model.fit(Tensor(), x));
  EXPECT_ERROR(ShapeError, "fit: y is an empty Tensor", model.fit(x, Tensor()));
  EXPECT_ERROR(ShapeError, "evaluate: x is an empty Tensor", model.evaluate(Tensor(), x));
  EXPECT_ERROR(ShapeError, "predict: x is an empty Tensor", model.predict(Tensor()));
}

TEST(Hints, ErrorsOfTheValidationDataSaySo) {
  Sequential model({Input({2}), Dense(3)});
  model.compile({.loss = losses::SparseCategoricalCrossentropy({.from_logits = true})});
  const Tensor x = Tensor::zeros({2, 2}), y({0, 1});
  const auto validate_on = [&](const Tensor& vx, const Tensor& vy) {
    model.fit(x, y, {.verbose = 0, .validation_data = {vx, vy}});
  };
  EXPECT_ERROR(ShapeError, "fit: validation_data: Input 0", validate_on(Tensor::zeros({2, 5}), y));
  EXPECT_ERROR(ShapeError, "fit: validation_data: x is an empty Tensor", validate_on(Tensor(), y));
  EXPECT_ERROR(ValueError, "in the validation data: sparse_categorical_crossentropy: label 7 in row 1",
               validate_on(x, Tensor({0, 7})));
  EXPECT_ERROR(ShapeError, "in the validation data: sparse_categorical_crossentropy: the labels have shape",
               validate_on(x, Tensor::zeros({2, 3})));
}

TEST(Hints, NamesThatOthersUse) {
  EXPECT_ERROR(ValueError, "Did you mean \"sparse_categorical_crossentropy\"?", Loss("sparse_crossentropy"));
  EXPECT_ERROR(ValueError, "Did you mean \"categorical_crossentropy\"?", Loss("cross_entropy"));
  EXPECT_ERROR(ValueError, "Did you mean \"glorot_uniform\"?", Initializer("xavier"));
  EXPECT_ERROR(ValueError, "metric \"ROC curve\" is not known. Known names:", Metric("ROC curve"));
  EXPECT_ERROR(ValueError, "Did you mean \"Adam\"?", Optimizer("ADAM"));
}

TEST(Hints, ImagesWithoutAllAxes) {
  EXPECT_ERROR(ShapeError, "Reshape({height, width, 1})", MaxPooling2D(2)(Input({28, 28})));
  EXPECT_ERROR(ShapeError, "Reshape({height, width, 1})", AveragePooling2D(2)(Input({28, 28})));
  EXPECT_ERROR(ShapeError, "Put it before Flatten", GlobalAveragePooling2D()(Input({784})));
  EXPECT_ERROR(ShapeError, "Put it before Flatten", Conv2D(1, 3)(Input({784})));
}

TEST(Hints, WeightsOfAnotherArchitecture) {
  const testing::TemporaryFolder folder;
  Sequential three({Input({3}), Dense(1)}), four({Input({4}), Dense(1)});
  three.save_weights(folder / "w.safetensors");
  EXPECT_ERROR(ShapeError, "saved by a model of another architecture",
               four.load_weights(folder / "w.safetensors"));
}

}  // namespace
}  // namespace kiln
