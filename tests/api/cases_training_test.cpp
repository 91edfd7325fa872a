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
    EXPECT_NEAR(model.get_weights()[0].item(), -1.2, 1e-6);
  }
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

}  // namespace
}  // namespace kiln
