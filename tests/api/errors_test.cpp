// One test for each mistake a user can make: what the message names, and that nothing was changed.
#include <limits>

#include "tests/api/support.h"

namespace kiln {
namespace {

using namespace layers;
using testing::line;

TEST(Errors, DenseOnAnUnknownSize) {
  EXPECT_ERROR(ShapeError, "(None, 3, None)", Dense(4, {.name = "head"})(Input({3, None})));
  EXPECT_ERROR(ShapeError, "\"head\"", Dense(4, {.name = "head"})(Input({3, None})));
  // Flatten of an image of unknown size has an unknown size, too.
  EXPECT_ERROR(ShapeError, "must be known", Dense(4)(Flatten()(Input({None, None, 3}))));
}

TEST(Errors, AnotherNumberOfFeaturesThanTheLayerWasBuiltFor) {
  Layer dense = Dense(4, {.name = "dense_x"});
  dense(Input({784}));
  EXPECT_ERROR(
      ShapeError,
      "Input 0 of layer \"dense_x\" is incompatible with the layer: expected axis -1 of input shape to have "
      "value 784, but received input with shape (None, 10)",
      dense(Input({10})));
  Layer conv = Conv2D(4, 3, {.name = "conv_x"});
  conv(Input({8, 8, 3}));
  EXPECT_ERROR(ShapeError, "expected axis -1 of input shape to have value 3", conv(Input({8, 8, 1})));
}

TEST(Errors, WrongNumberOfAxes) {
  EXPECT_ERROR(ShapeError, "Reshape({height, width, 1})", Conv2D(4, 3)(Input({28, 28})));
  EXPECT_ERROR(ShapeError, "received input with shape (None,)", Dense(4)(Input({})));
}

TEST(Errors, RowsOfXAndYDiffer) {
  Sequential model = line(1);
  model.compile({.loss = "mse"});
  const Tensor x = Tensor::zeros({5, 1}), y = Tensor::zeros({4, 1});
  EXPECT_ERROR(ShapeError, "x has 5 rows, but y has 4", model.fit(x, y, {.verbose = 0}));
  EXPECT_ERROR(ShapeError, "x has 5 rows, but y has 4", model.evaluate(x, y, {.verbose = 0}));
  EXPECT_ERROR(ShapeError, "x has 5 rows, but sample_weight has 4",
               model.fit(x, x, {.verbose = 0, .sample_weight = Tensor::zeros({4})}));
}

TEST(Errors, AnImageOfAnotherSize) {
  Sequential model({Input({28, 28, 1}), Flatten(), Dense(2)}, {.name = "net"});
  EXPECT_ERROR(ShapeError,
               "Input 0 of model \"net\" is incompatible with it: expected shape=(None, 28, 28, 1), found "
               "shape=(3, 784)",
               model.predict(Tensor::zeros({3, 784}), {.verbose = 0}));
  // A missing channel axis is mended, as Keras does.
  EXPECT_EQ(model.predict(Tensor::zeros({3, 28, 28}), {.verbose = 0}).shape(), (Shape{3, 2}));
}

TEST(Errors, UnknownNamesSuggestTheNearest) {
  EXPECT_ERROR(ValueError, "activation \"rellu\" is not known. Did you mean \"relu\"?",
               Dense(1, {.activation = "rellu"}));
  EXPECT_ERROR(ValueError, "Did you mean \"adam\"?", Optimizer("adm"));
  EXPECT_ERROR(ValueError, "Did you mean \"accuracy\"?", Metric("acuracy"));
  EXPECT_ERROR(ValueError, "Did you mean \"sparse_categorical_crossentropy\"?",
               Loss("sparse_categorical_crosentropy"));
  EXPECT_ERROR(ValueError, "Did you mean \"glorot_uniform\"?", Initializer("glorot_unifrom"));
  EXPECT_ERROR(ValueError, "Did you mean \"l1_l2\"?", Regularizer("l1+l2"));
  EXPECT_ERROR(ValueError, "Did you mean \"same\"?", Conv2D(1, 1, {.padding = "Same"}));
  EXPECT_ERROR(ValueError, "Known names: \"valid\", \"same\"", MaxPooling2D(2, {.padding = "xxxxxxxxxxxx"}));
  EXPECT_ERROR(ValueError, "mode", callbacks::EarlyStopping({.mode = "mx"}));
  EXPECT_ERROR(ValueError, "Did you mean \"sum\"?", losses::MeanSquaredError({.reduction = "sun"}));
  Sequential model({Input({1}), Dense(1, {.name = "out"})});
  EXPECT_ERROR(ValueError, "Did you mean \"out\"?", model.get_layer("ot"));
  EXPECT_ERROR(ShapeError, "none at index 1", model.get_layer(1));
}

TEST(Errors, FitBeforeCompile) {
  Sequential model = line(1);
  const Tensor x = Tensor::zeros({2, 1});
  EXPECT_ERROR(StateError, "call compile", model.fit(x, x, {.verbose = 0}));
  EXPECT_ERROR(StateError, "before evaluate", model.evaluate(x, x, {.verbose = 0}));
  EXPECT_ERROR(StateError, "before train_on_batch", model.train_on_batch(x, x));
  EXPECT_NO_THROW(model.predict(x, {.verbose = 0}));
}

TEST(Errors, CompileWithoutALoss) {
  Sequential model = line(1);
  EXPECT_ERROR(ValueError, "needs a loss", model.compile({.optimizer = "sgd"}));
}

TEST(Errors, ArgumentsOutOfRange) {
  EXPECT_ERROR(ValueError, "units must be positive, not 0", Dense(0));
  EXPECT_ERROR(ValueError, "filters must be positive", Conv2D(-1, 3));
  EXPECT_ERROR(ValueError, "kernel_size must be positive, not (3, 0)", Conv2D(1, {3, 0}));
  EXPECT_ERROR(ValueError, "strides must be positive", Conv2D(1, 3, {.strides = 0}));
  EXPECT_ERROR(ValueError, "multiple of groups", Conv2D(4, 3, {.groups = 3}));
  EXPECT_ERROR(ShapeError, "3 channels don't divide into 2 groups",
               Conv2D(4, 3, {.groups = 2})(Input({8, 8, 3})));
  EXPECT_ERROR(ValueError, "rate must be in [0, 1]", Dropout(1.5));
  EXPECT_ERROR(ValueError, "negative_slope must not be negative", ReLU({.negative_slope = -1}));
  EXPECT_ERROR(ValueError, "p must be 1, 2 or", losses::PNorm(3));
  EXPECT_ERROR(ValueError, "label_smoothing", losses::BinaryCrossentropy({.label_smoothing = 2}));
  EXPECT_ERROR(ValueError, "learning_rate", optimizers::SGD({.learning_rate = -1}));
  EXPECT_ERROR(ValueError, "beta_2 must be in [0, 1)", optimizers::Adam({.beta_2 = 1}));
  EXPECT_ERROR(ValueError, "only one of", optimizers::SGD({.clipnorm = 1, .clipvalue = 1}));
  EXPECT_ERROR(ValueError, "clipnorm must be positive", optimizers::SGD({.clipnorm = 0}));
  EXPECT_ERROR(ShapeError, "every size must be positive", Input({0}));
  Sequential model = line(1);
  model.compile({.loss = "mse"});
  const Tensor x = Tensor::zeros({2, 1});
  EXPECT_ERROR(ValueError, "batch_size must be positive", model.fit(x, x, {.batch_size = 0}));
  EXPECT_ERROR(ValueError, "batch_size must be positive", model.predict(x, {.batch_size = -3}));
  EXPECT_ERROR(ValueError, "epochs", model.fit(x, x, {.epochs = -1}));
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  EXPECT_ERROR(ValueError, "fit: batch_size must be below 2^31", model.fit(x, x, {.batch_size = huge}));
  EXPECT_ERROR(ValueError, "evaluate: batch_size must be below", model.evaluate(x, x, {.batch_size = huge}));
  EXPECT_ERROR(ValueError, "predict: batch_size must be below", model.predict(x, {.batch_size = huge}));
  EXPECT_ERROR(ValueError, "initial_epoch must not be negative", model.fit(x, x, {.initial_epoch = -1}));
  EXPECT_ERROR(ValueError, "validation_data has no x", model.fit(x, x, {.validation_data = {.y = x}}));
  for (std::int64_t steps : {std::int64_t{0}, std::int64_t{-2}}) {
    EXPECT_ERROR(ValueError, "evaluate: steps must be positive", model.evaluate(x, x, {.steps = steps}));
    EXPECT_ERROR(ValueError, "predict: steps must be positive", model.predict(x, {.steps = steps}));
    EXPECT_ERROR(ValueError, "fit: validation_steps must be positive",
                 model.fit(x, x, {.validation_data = {x, x}, .validation_steps = steps}));
  }
  // More steps than there are rows for are all rows.
  EXPECT_EQ(model.predict(x, {.verbose = 0, .steps = huge}).dim(0), 2);
  EXPECT_NO_THROW(model.evaluate(x, x, {.verbose = 0, .steps = huge}));
  EXPECT_ERROR(ValueError, "not both",
               model.fit(x, x, {.verbose = 0, .validation_split = 0.5, .validation_data = {x, x}}));
  EXPECT_ERROR(
      ValueError, "can't be given together",
      model.fit(x, x, {.verbose = 0, .class_weight = {{0, 1.0}}, .sample_weight = Tensor::zeros({2})}));
}

TEST(Errors, ShapesThatDoNotMerge) {
  const auto a = Input({4}), b = Input({5});
  EXPECT_ERROR(ShapeError, "incompatible shapes: (None, 4), (None, 5)", Add()({a, b}));
  EXPECT_ERROR(ShapeError, "two inputs or more", Add()({a}));
  EXPECT_ERROR(ShapeError, "matching shapes", Concatenate({.axis = 1})({Input({2, 4}), Input({2, 5})}));
  EXPECT_ERROR(ShapeError, "have no axis 3", Concatenate({.axis = 3})({a, b}));
  EXPECT_ERROR(ShapeError, "has no axis 2", Softmax({.axis = 2})(a));
  EXPECT_ERROR(ShapeError, "total size must stay the same", Reshape({3, 3})(Input({8})));
  EXPECT_ERROR(ShapeError, "only one size may be -1", Reshape({-1, -1}));
  EXPECT_ERROR(ShapeError, "takes one input, but got 2", Dense(1)({a, a}));
}

TEST(Errors, ModelsThatAreNotConnected) {
  const auto a = Input({4}), b = Input({4});
  EXPECT_ERROR(StateError, "not among the inputs", Model({.inputs = {a}, .outputs = {Dense(1)(b)}}));
  EXPECT_ERROR(ValueError, "inputs come from Input",
               Model({.inputs = {Dense(1)(a)}, .outputs = {Dense(1)(a)}}));
  EXPECT_ERROR(ValueError, "at least one", Model({.inputs = {a}, .outputs = {}}));
  EXPECT_ERROR(ValueError, "among the inputs twice", Model({.inputs = {a, a}, .outputs = {Dense(1)(a)}}));
  EXPECT_ERROR(StateError, "empty SymbolicTensor", Dense(1)(SymbolicTensor()));
  EXPECT_ERROR(StateError, "empty Layer", Layer()(a));
  EXPECT_ERROR(ValueError, "two layers are named \"same\"",
               Sequential({Input({1}), Dense(1, {.name = "same"}), Dense(1, {.name = "same"})}));
  const Layer automatic = Dense(1);
  EXPECT_ERROR(ValueError, "one of them got this name by itself",
               Sequential({Input({4}), automatic, Dense(1, {.name = automatic.name()})}));
  EXPECT_ERROR(ValueError, "one of them got this name by itself",
               Model({.inputs = {a}, .outputs = {Dense(1, {.name = automatic.name()})(automatic(a))}}));
  EXPECT_ERROR(ValueError, "added twice", Sequential({Input({4}), automatic, automatic}));
  EXPECT_ERROR(ValueError, "must be the first layer", Sequential({Dense(1), Input({1})}));
  EXPECT_ERROR(StateError, "no layer to pop", Sequential().pop());
  EXPECT_ERROR(StateError, "has no layers", Sequential().predict(Tensor::zeros({1, 1})));
}

TEST(Errors, ReshapingAndMergingLayers) {
  EXPECT_ERROR(ValueError, "order of 1 to 2 (axis 0, the batch, stays), but they are [0, 1]",
               Permute({0, 1}));
  EXPECT_ERROR(ShapeError, "dims [2, 1] are for inputs of 3 axes", Permute({2, 1})(Input({4})));
  EXPECT_ERROR(ValueError, "n must be positive, not 0", RepeatVector(0));
  EXPECT_ERROR(ShapeError, "(batch, features), but received (None, 4, 5)", RepeatVector(2)(Input({4, 5})));
  const auto a = Input({3, 4}), b = Input({4}), c = Input({2, 4});
  EXPECT_ERROR(ShapeError, "(Subtract) needs two inputs", Subtract()({a, a, a}));
  EXPECT_ERROR(ShapeError, "(Average) needs two inputs or more", Average()({a}));
  EXPECT_ERROR(ShapeError,
               "(Multiply): inputs have incompatible shapes: (None, 4), (None, 3, 4), (None, 2, 4)",
               Multiply()({b, a, c}));
  EXPECT_EQ(Multiply()({b, a}).shape(), (Shape{None, 3, 4}));
  EXPECT_ERROR(ValueError, "LeakyReLU: negative_slope", LeakyReLU({.negative_slope = -1}));
}

TEST(Errors, OutputsThatDoNotFitTheCall) {
  const auto x = Input({2});
  Model two({.inputs = {x}, .outputs = {Dense(1)(x), Dense(2)(x)}});
  EXPECT_ERROR(StateError, "call predict_all", two.predict(Tensor::zeros({1, 2}), {.verbose = 0}));
  EXPECT_ERROR(StateError, "`apply`", two(Input({2})));
  two.compile({.loss = "mse"});
  EXPECT_ERROR(ShapeError, "has 2 outputs, but y holds 1",
               two.fit(Tensor::zeros({1, 2}), Tensor::zeros({1, 1})));
  Sequential one({Input({2}), Dense(3)});
  Tensor wrong = Tensor::zeros({4, 2});
  EXPECT_ERROR(ShapeError, "of shape (4, 3) and type float32, but it has shape (4, 2)",
               one.predict_into(Tensor::zeros({4, 2}), wrong));
  Tensor whole_numbers = Tensor::zeros({4, 3}, DType::i32);
  EXPECT_ERROR(TypeError, "type float32, but it has shape (4, 3) and type int32",
               one.predict_into(Tensor::zeros({4, 2}), whole_numbers));
  Tensor nothing, columns = Tensor::zeros({3, 4});
  Tensor strided = Tensor::view(columns.raw(), {4, 3}, DType::f32, {1, 4});
  EXPECT_ERROR(ShapeError, "but it is an empty Tensor", one.predict_into(Tensor::zeros({4, 2}), nothing));
  EXPECT_ERROR(ShapeError, "(4, 3) and type float32 and isn't contiguous",
               one.predict_into(Tensor::zeros({4, 2}), strided));
  Sequential square({Input({2}), Dense(2)});
  Tensor rows = Tensor::zeros({5, 2}), later = rows.slice(1, 5);
  EXPECT_ERROR(ValueError, "`out` lies over `x`", square.predict_into(rows.slice(0, 4), later));
  EXPECT_ERROR(ShapeError, "has 2 weights, but set_weights got 1", one.set_weights({wrong}));
  EXPECT_ERROR(ShapeError, "(2, 3), but set_weights got shape (4, 2)", one.set_weights({wrong, wrong}));
}

TEST(Errors, MetricsThatDoNotFitTheOutputsFailInCompile) {
  const auto x = Input({1});
  Model model({.inputs = {x}, .outputs = {Dense(1)(x), Dense(1)(x)}});
  const Tensor data = Tensor::zeros({2, 1});
  EXPECT_ERROR(ValueError, "3 metrics for 2 outputs",
               model.compile({.loss = "mse", .metrics = {"mae", "mae", "mae"}}));
  EXPECT_ERROR(StateError, "call compile", model.fit(data, {data, data}, {.verbose = 0}));
}

// Without an Input the outputs aren't known before data come.
TEST(Errors, LossesThatDoNotFitTheOutputsFailEveryTime) {
  Sequential model({Dense(1)});
  model.compile({.loss = {"mse", "mae"}});
  const Tensor data = Tensor::zeros({2, 1});
  for (int attempt = 0; attempt < 2; attempt++)
    EXPECT_ERROR(ValueError, "2 losses for 1 outputs", model.fit(data, data, {.verbose = 0}));
  EXPECT_EQ(model.metrics_names(), (std::vector<std::string>{"loss"}));
}

TEST(Errors, AnOptimizerBelongsToOneModel) {
  Optimizer adam = optimizers::Adam();
  Sequential first = line(1), second = line(1);
  first.compile({.optimizer = adam, .loss = "mse"});
  EXPECT_NO_THROW(first.compile({.optimizer = adam, .loss = "mae"}));
  EXPECT_ERROR(StateError, "already trains another model",
               second.compile({.optimizer = adam, .loss = "mse"}));
}

TEST(Errors, SparseLabelsOfTheWrongShape) {
  Sequential model({Input({2}), Dense(3)});
  model.compile({.loss = losses::SparseCategoricalCrossentropy({.from_logits = true})});
  EXPECT_ERROR(ShapeError, "use CategoricalCrossentropy",
               model.fit(Tensor::zeros({4, 2}), Tensor::zeros({4, 3}), {.verbose = 0}));
}

TEST(Errors, NamesOfLogsAndHistory) {
  Sequential model = line(1);
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const Tensor x = Tensor::zeros({2, 1});
  EXPECT_ERROR(ValueError, "Did you mean \"loss\"?", model.evaluate(x, x, {.verbose = 0})["los"]);
  EXPECT_ERROR(ValueError, "Known names: \"loss\"", model.fit(x, x, {.verbose = 0})["val_loss"]);
}

TEST(Errors, AFailedLayerCanBeUsedAfterwards) {
  Layer conv = Conv2D(2, 5);
  EXPECT_ERROR(ShapeError, "zero or negative", conv(Input({4, 4, 1})));
  EXPECT_FALSE(conv.built());
  EXPECT_EQ(conv(Input({8, 8, 1})).shape(), (Shape{None, 4, 4, 2}));
  Sequential model({Input({4}), Dense(2)});
  EXPECT_ERROR(ShapeError, "four axes", model.add(Conv2D(1, 1)));
  EXPECT_EQ(model.layers().size(), 1u);
  EXPECT_EQ(model.predict(Tensor::zeros({1, 4}), {.verbose = 0}).shape(), (Shape{1, 2}));
}

TEST(Errors, ALayerWithoutCall) {
  struct Nothing final : LayerImpl {};
  EXPECT_ERROR(StateError, "overrides neither", make_layer<Nothing>()(Input({1})));
}

}  // namespace
}  // namespace kiln
