// Faults that other projects had, each as a test of its kind: training, evaluation, data.
#include <sys/wait.h>
#include <unistd.h>
#include <cmath>
#include <filesystem>

#include "tests/api/cases_support.h"

namespace kiln {
namespace {

using namespace layers;
using testing::Emitted;
using testing::floats;
using testing::line;
using testing::ramp;
using testing::run;

// ---- case 8: one layer in two places
// -----------------------------------------------------------------------

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

TEST(Case8, UsesInBranchesAndInModelsWithinModelsAdd) {
  const Layer dense = Dense(1, {.use_bias = false, .kernel_initializer = "zeros"});
  const auto x = Input({1}), inner_x = Input({1}), middle_x = Input({1});
  const Model inner({.inputs = {inner_x}, .outputs = {dense(inner_x)}});
  const Model middle({.inputs = {middle_x}, .outputs = {inner(inner(middle_x))}});
  struct Form {
    Model model;
    double step;  // of w = 3 at x = 1, target 0
  };
  const Form forms[] = {
      {Model({.inputs = {x}, .outputs = {Add()({dense(x), dense(Rescaling(2)(x))})}}), 2 * 9 * 3},  // w + 2w
      {Model({.inputs = {x}, .outputs = {inner(inner(x))}}), 2 * 9 * 6},                            // w^2
      {Model({.inputs = {x}, .outputs = {middle(x)}}), 2 * 9 * 6},
      {Model({.inputs = {x}, .outputs = {dense(middle(x))}}), 2 * 27 * 27}};  // w^3
  for (const Form& form : forms) {
    Model model = form.model;
    EXPECT_EQ(model.count_params(), 1);
    model.set_weights({Tensor({{3.f}})});
    model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.001}), .loss = "mse"});
    model.train_on_batch(Tensor({{1.f}}), Tensor({{0.f}}));
    EXPECT_NEAR(model.get_weights()[0].item(), 3 - 0.001 * form.step, 1e-5);
  }
}

// ---- cases 22 and 23: callbacks, validation split
// ----------------------------------------------------------

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
    if (patience == 10) {
      EXPECT_NEAR(h["val_loss"][2], 2.985984, 1e-6);
    }
    EXPECT_NEAR(model.get_weights()[0].item(), -1.2, 1e-6);
  }
}

TEST(Case22, TheBestWeightsComeBackWhenAnotherCallbackStops) {
  Sequential model = line(1);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 1.1}), .loss = "mse"});
  const Tensor x({1.f}), y({0.f});
  auto stop = callbacks::LambdaCallback({.on_epoch_end = [&](std::int64_t epoch, const Logs&) {
    if (epoch == 1) model.stop_training();
  }});
  const History h = model.fit(
      x, y,
      {.epochs = 5,
       .verbose = 0,
       .callbacks = {stop, callbacks::EarlyStopping({.patience = 10, .restore_best_weights = true})},
       .validation_data = {x, y}});
  EXPECT_EQ(h["val_loss"].size(), 2u);
  EXPECT_NEAR(model.get_weights()[0].item(), -1.2, 1e-6);
}

// Which rows were trained on: weights of the rows' sum show in the loss of a model that gives its input.
TEST(Case23, ValidationTakesTheLastRowsBeforeShuffling) {
  Sequential model = line(1);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mae"});
  const Tensor x(ramp(10)), y = Tensor::zeros({10});
  for (bool shuffle : {true, false}) {
    const History h = model.fit(
        x, y, {.batch_size = 3, .epochs = 2, .verbose = 0, .validation_split = 0.2, .shuffle = shuffle});
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
  EXPECT_ERROR(ValueError, "validation_split",
               model.fit(Tensor({1.f}), Tensor({1.f}), {.verbose = 0, .validation_split = 0.5}));
}

TEST(Case23, EverySplitOfEveryLengthKeepsTheFirstRows) {
  Sequential model = line(1);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mae"});
  for (std::int64_t rows : {2, 3, 7, 10, 11})
    for (int tenths = 1; tenths <= 9; tenths++) {
      const std::int64_t kept = rows * (10 - tenths) / 10;
      const Tensor x(ramp(rows)), y = Tensor::zeros({rows});
      std::vector<float> w = ramp(rows, 1);
      const FitArgs args = {
          .batch_size = 1, .verbose = 0, .validation_split = tenths / 10.0, .sample_weight = Tensor(w)};
      if (kept == 0) {
        EXPECT_ERROR(ValueError, "validation_split", model.fit(x, y, args));
        continue;
      }
      double trained = 0, validated = 0;
      for (std::int64_t i = 0; i < rows; i++)
        (i < kept ? trained : validated) += static_cast<double>(i * (i + 1));
      const History h = model.fit(x, y, args);
      EXPECT_NEAR(h["loss"][0], trained / static_cast<double>(kept), 1e-4) << rows << " rows, " << tenths;
      EXPECT_NEAR(h["val_loss"][0], validated / static_cast<double>(rows - kept), 1e-4);
    }
}

// ---- case 24: regularisation
// -------------------------------------------------------------------------------

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

TEST(Case24, EachWeightsPenaltyCountsOnceWhateverTheBatches) {
  // w = 2 is used twice, b = 1; three rows of which one or two are in a short batch; weights don't scale it.
  const auto x = Input({1});
  const Layer shared = Dense(1, {.kernel_initializer = initializers::Constant(2),
                                 .bias_initializer = "ones",
                                 .kernel_regularizer = regularizers::L1(0.1),
                                 .bias_regularizer = regularizers::L1L2({.l1 = 0.01, .l2 = 0.02})});
  Model model({.inputs = {x}, .outputs = {shared(shared(x))}});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mae", .metrics = {"mae"}});
  const Tensor rows({1.f, 1.f, 1.f}), y = Tensor::zeros({3});  // 2 (2 + 1) + 1 = 7
  for (std::int64_t batch_size : {1, 2, 3})
    for (const auto& [weight, error] :
         {std::pair<Tensor, double>{{}, 7}, {Tensor({0.f, 0.f, 3.f}), 7}, {Tensor({2.f, 2.f, 2.f}), 14}}) {
      const History h = model.fit(rows, y,
                                  {.batch_size = batch_size,
                                   .verbose = 0,
                                   .validation_data = {rows, y, weight},
                                   .sample_weight = weight});
      EXPECT_FLOAT_EQ(h["loss"][0], error + 0.2 + 0.03);
      EXPECT_FLOAT_EQ(h["val_loss"][0], error + 0.2 + 0.03);
      EXPECT_FLOAT_EQ(h["mae"][0], 7);
    }
}

// Case 26: a child process after parallel runs ends with the same numbers, of what the parent compiled and of
// what it compiles itself, predicting and training.
TEST(Case26, PredictAndFitWorkInAForkedChild) {
  for (int threads : {2, 5}) {
    set_num_threads(threads);
    Sequential model({Input({256}), Dense(256)});
    model.compile({.optimizer = "adam", .loss = "mse"});
    const Tensor x(ramp(64 * 256, -1, 1e-4f), {64, 256});
    const auto use = [&](std::int64_t batch_size) {
      auto numbers = floats(model.predict(x, {.batch_size = batch_size, .verbose = 0}));
      const Logs logs = model.evaluate(x, x, {.batch_size = batch_size, .verbose = 0});
      numbers.push_back(static_cast<float>(logs["loss"]));
      return numbers;
    };
    const auto before = use(64);
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      bool good = use(64) == before;
      const auto again = use(48);  // not compiled yet
      for (std::size_t i = 0; i < before.size(); i++) good = good && std::abs(again[i] - before[i]) < 1e-4;
      good = good && std::isfinite(model.fit(x, x, {.verbose = 0})["loss"][0]);
      _exit(good ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status)) << "the child hung or died";
    EXPECT_EQ(WEXITSTATUS(status), 0);
    EXPECT_EQ(use(64), before) << "and the parent goes on";
  }
  set_num_threads(0);
}

// ---- case 30: determinism
// ----------------------------------------------------------------------------------

std::vector<std::vector<float>> trained(int threads) {
  set_num_threads(threads);
  set_random_seed(99);
  Sequential model(
      {Input({64}), Dense(33, {.activation = "relu"}), Dropout(0.2), Dense(3, {.activation = "softmax"})});
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

// Convolutions, poolings and their gradients, at the same bits.
TEST(Case30, AConvolutionalNetTrainsEquallyOnAnyNumberOfThreads) {
  std::vector<float> x;
  std::vector<std::int32_t> y;
  for (int i = 0; i < 37 * 144; i++) x.push_back(static_cast<float>((i * 37) % 101) / 50 - 1);
  for (int i = 0; i < 37; i++) y.push_back(i % 3);
  std::vector<std::vector<float>> first;
  for (int threads : {1, 2, 2, 3, 5}) {
    set_num_threads(threads);
    set_random_seed(5);
    Sequential model({Input({12, 12, 1}), Conv2D(5, 3, {.padding = "same", .activation = "relu"}),
                      MaxPooling2D(2), Conv2D(7, 2), AveragePooling2D(2, {.strides = 1}), Dropout(0.3),
                      Flatten(), Dense(3, {.activation = "softmax"})});
    model.compile({.optimizer = "rmsprop", .loss = "sparse_categorical_crossentropy"});
    const Tensor images(x, {37, 12, 12, 1});
    const History h =
        model.fit(images, y, {.batch_size = 16, .epochs = 2, .verbose = 0, .validation_split = 0.2});
    std::vector<std::vector<float>> results = {
        floats(model.predict(images, {.batch_size = 10, .verbose = 0}))};
    for (const Tensor& w : model.get_weights()) results.push_back(floats(w));
    results.push_back({static_cast<float>(h["loss"][1]), static_cast<float>(h["val_loss"][1])});
    if (first.empty()) first = results;
    EXPECT_EQ(results, first) << threads << " threads";
  }
  set_num_threads(0);
}

TEST(Case30, LongSumsAreEqualAndRight) {
  std::vector<float> v;
  for (int i = 0; i < 100003; i++) v.push_back(static_cast<float>((i % 7 + 1) * std::pow(10, i % 5)));
  const Tensor x(v, {1, 100003});
  const auto sum = make_layer<Emitted>([](graph::Value a) { return graph::reduce_sum(a, {1}, true); });
  const auto mean = make_layer<Emitted>([](graph::Value a) { return graph::reduce_mean(a, {1}, true); });
  const auto input = Input({100003});
  const Model both({.inputs = {input}, .outputs = {sum(input), mean(input)}});
  // The gradient of one weight that every row uses: the same sum, down a column.
  Sequential dense({Input({1}), Dense(1, {.use_bias = false, .kernel_initializer = "zeros"})});
  dense.compile({.optimizer = optimizers::SGD({.learning_rate = 1}),
                 .loss = losses::make_loss(
                     "total", [](graph::Value, graph::Value p) { return graph::reduce_sum(p, {1}); },
                     {.reduction = "sum"})});
  const Tensor column(v, {100003, 1});
  std::vector<double> sums, means, gradients;
  for (int threads : {2, 1, 3, 5}) {
    set_num_threads(threads);
    for (int repeat = 0; repeat < (threads == 2 ? 20 : 1); repeat++) {
      const std::vector<Tensor> y = both.predict_all(x, {.verbose = 0});
      sums.push_back(y[0].item());
      means.push_back(y[1].item());
      dense.set_weights({Tensor::zeros({1, 1})});
      dense.train_on_batch(column, column);
      gradients.push_back(-dense.get_weights()[0].item());
    }
  }
  set_num_threads(0);
  for (double s : sums) EXPECT_EQ(s, sums[0]);
  for (double m : means) EXPECT_EQ(m, means[0]);
  for (double g : gradients) EXPECT_EQ(g, gradients[0]);
  EXPECT_NEAR(sums[0], 888890053, 888890053 * 1e-4);
  EXPECT_NEAR(means[0], 8888.63387, 8888.63387 * 1e-4);
  EXPECT_NEAR(gradients[0], 888890053, 888890053 * 1e-4);
}

}  // namespace
}  // namespace kiln
