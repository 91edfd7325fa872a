// What the callbacks do; EarlyStopping and the order of hooks are in training_test.cpp.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/api/support.h"
#include "tests/support/coverage.h"

namespace kiln {
namespace {

using testing::CapturedConsole;
using testing::line;

const Tensor one({1.f}), zero({0.f});

Sequential compiled(
    double learning_rate,
    Optimizer (*make)(double) = [](double rate) { return optimizers::SGD({.learning_rate = rate}); }) {
  Sequential model = line(1);
  model.compile({.optimizer = make(learning_rate), .loss = "mse"});
  return model;
}

Optimizer with_ema(double rate) {
  return optimizers::SGD({.learning_rate = rate, .use_ema = true, .ema_momentum = 0.5});
}

double weight_of(const Model& model) {
  return model.get_weights()[0].item();
}

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// A file that is gone afterwards.
struct TemporaryFile {
  std::string path = (std::filesystem::temp_directory_path() /
                      ("kiln_callbacks_test_" + std::to_string(::getpid()) + ".csv"))
                         .string();
  ~TemporaryFile() { std::filesystem::remove(path); }
};

TEST(Callbacks, CSVLoggerWritesALineForEachEpoch) {
  const TemporaryFile file;
  Sequential model = compiled(0.25);  // w -> w / 2
  callbacks::CSVLogger logger(file.path);
  model.fit(one, zero, {.epochs = 3, .verbose = 0, .callbacks = {logger}});
  const std::string first = "epoch,loss,val_loss\r\n0,1,NA\r\n1,0.25,NA\r\n2,0.0625,NA\r\n";
  EXPECT_EQ(contents(file.path), first);

  // Appended lines have no second header; the columns are those of this training.
  callbacks::CSVLogger more(file.path, {.append = true});
  model.fit(one, zero, {.epochs = 1, .verbose = 0, .callbacks = {more}, .validation_data = {one, zero}});
  EXPECT_EQ(contents(file.path), first + "0,0.015625,0.00390625\r\n");

  model.fit(one, zero,
            {.epochs = 1, .verbose = 0, .callbacks = {callbacks::CSVLogger(file.path, {.separator = ";"})}});
  EXPECT_TRUE(contents(file.path).starts_with("epoch;loss;val_loss\r\n0;")) << contents(file.path);
  testing::covers("Callbacks", "CSVLogger", "behaviour");
}

TEST(Callbacks, CSVLoggerSaysWhatIsWrong) {
  EXPECT_ERROR(ValueError, "CSVLogger: separator must be one character, but it is \"\"",
               callbacks::CSVLogger("x.csv", {.separator = ""}));
  Sequential model = compiled(0.25);
  EXPECT_ERROR(FileError, "CSVLogger: \"/nowhere/x.csv\" can't be written",
               model.fit(one, zero, {.verbose = 0, .callbacks = {callbacks::CSVLogger("/nowhere/x.csv")}}));
}

TEST(Callbacks, LearningRateSchedulerSetsTheRateOfEachEpoch) {
  Sequential model = compiled(0.4);
  CapturedConsole console;
  callbacks::LearningRateScheduler halve(
      [](std::int64_t epoch, double rate) { return epoch == 0 ? rate : rate / 2; }, {.verbose = 1});
  const History history = model.fit(one, zero, {.epochs = 3, .verbose = 0, .callbacks = {halve}});
  EXPECT_EQ(history["learning_rate"], (std::vector<double>{0.4, 0.2, 0.1}));
  EXPECT_NEAR(weight_of(model), (1 - 0.8) * (1 - 0.4) * (1 - 0.2), 1e-6);
  EXPECT_NE(console.text.find("\nEpoch 2: LearningRateScheduler setting learning rate to 0.2.\n"),
            std::string::npos)
      << console.text;
  callbacks::LearningRateScheduler by_epoch(
      [](std::int64_t epoch) { return 0.1 * static_cast<double>(epoch); });
  EXPECT_EQ(model.fit(one, zero, {.epochs = 2, .verbose = 0, .callbacks = {by_epoch}})["learning_rate"],
            (std::vector<double>{0, 0.1}));
  testing::covers("Callbacks", "LearningRateScheduler", "behaviour");
  testing::covers("Callbacks", "History", "behaviour");
}

TEST(Callbacks, LearningRateSchedulerSaysWhatIsWrong) {
  Sequential model = compiled(0.1);
  callbacks::LearningRateScheduler negative([](std::int64_t) { return -1.0; });
  EXPECT_ERROR(ValueError, "the learning rate must be finite and not negative, but it is -1",
               model.fit(one, zero, {.verbose = 0, .callbacks = {negative}}));
  Sequential scheduled = line(1);
  scheduled.compile(
      {.optimizer = optimizers::SGD({.learning_rate = optimizers::schedules::CosineDecay(0.1, 5)}),
       .loss = "mse"});
  EXPECT_ERROR(TypeError, "follows the schedule CosineDecay, so it can't be set",
               scheduled.fit(one, zero, {.verbose = 0, .callbacks = {negative}}));
}

TEST(Callbacks, ReduceLROnPlateauReducesWhenNothingImproves) {
  const auto rates = [](callbacks::ReduceLROnPlateauArgs args, std::int64_t epochs) {
    Sequential model = compiled(1);  // w -> -w: the loss stays 1 until the rate is less
    args.monitor = "loss";
    callbacks::ReduceLROnPlateau reduce(args);
    return model.fit(one, zero, {.epochs = epochs, .verbose = 0, .callbacks = {reduce}})["learning_rate"];
  };
  // The first epoch is the best so far; then two without an improvement.
  EXPECT_EQ(rates({.factor = 0.5, .patience = 2}, 5), (std::vector<double>{1, 1, 1, 0.5, 0.5}));
  EXPECT_EQ(rates({.factor = 0.5, .patience = 1, .mode = "max"}, 4), (std::vector<double>{1, 1, 0.5, 0.25}));
  EXPECT_EQ(rates({.factor = 0.5, .patience = 1, .mode = "max", .cooldown = 2}, 6),
            (std::vector<double>{1, 1, 0.5, 0.5, 0.25, 0.25}));
  EXPECT_EQ(rates({.factor = 0.1, .patience = 1, .mode = "max", .min_lr = 0.3}, 4),
            (std::vector<double>{1, 1, 0.3, 0.3}));
  EXPECT_EQ(rates({.factor = 0.5, .patience = 1, .min_delta = 10}, 3), (std::vector<double>{1, 1, 0.5}));
  testing::covers("Callbacks", "ReduceLROnPlateau", "behaviour");
}

TEST(Callbacks, ReduceLROnPlateauSaysWhatItDoesAndWhatIsWrong) {
  CapturedConsole console;
  Sequential model = compiled(1);
  callbacks::ReduceLROnPlateau reduce({.monitor = "loss", .patience = 1, .verbose = 1});
  model.fit(one, zero, {.epochs = 2, .verbose = 0, .callbacks = {reduce}});
  EXPECT_EQ(console.text, "\nEpoch 2: ReduceLROnPlateau reducing learning rate to 0.1.\n");
  console.text.clear();
  model.fit(one, zero, {.verbose = 0, .callbacks = {callbacks::ReduceLROnPlateau()}});
  EXPECT_NE(console.text.find("conditioned on metric `val_loss` which is not available"), std::string::npos);
  EXPECT_ERROR(ValueError, "ReduceLROnPlateau: factor must be in [0, 1)",
               callbacks::ReduceLROnPlateau({.factor = 1}));
  EXPECT_ERROR(ValueError, "ReduceLROnPlateau: patience must not be negative, but it is -1",
               callbacks::ReduceLROnPlateau({.patience = -1}));
  EXPECT_ERROR(ValueError, "Did you mean \"max\"?", callbacks::ReduceLROnPlateau({.mode = "mx"}));
  EXPECT_ERROR(ValueError, "EarlyStopping: start_from_epoch must not be negative",
               callbacks::EarlyStopping({.start_from_epoch = -1}));
}

TEST(Callbacks, TerminateOnNaNEndsTraining) {
  CapturedConsole console;
  Sequential model = compiled(0.1);
  const Tensor x({1.f, 1.f, 1.f, 1.f}), y({0.f, std::numeric_limits<float>::infinity(), 0.f, 0.f});
  const FitArgs args{.batch_size = 1,
                     .epochs = 3,
                     .verbose = 0,
                     .callbacks = {callbacks::TerminateOnNaN()},
                     .shuffle = false};
  EXPECT_EQ(model.fit(x, y, args).epoch.size(), 1u);
  EXPECT_EQ(model.optimizer().iterations(), 2);
  EXPECT_EQ(console.text, "Batch 1: Invalid loss, terminating training\n");
  Sequential other = compiled(0.1);
  FitArgs strict = args;
  strict.callbacks = {callbacks::TerminateOnNaN({.raise_error = true})};
  EXPECT_ERROR(ValueError, "TerminateOnNaN: the loss is inf at batch 1", other.fit(x, y, strict));
  testing::covers("Callbacks", "TerminateOnNaN", "behaviour");
}

TEST(Callbacks, FitEndsWithTheAverages) {
  Sequential model = compiled(0.25, with_ema);  // w: 1, 1/2, 1/4; averages: 1/2, (1/2 + 1/4) / 2
  model.fit(one, zero, {.epochs = 2, .verbose = 0});
  EXPECT_EQ(weight_of(model), 0.375);
  // Without a step there is nothing to average: the weights stay.
  Sequential untouched = compiled(0.25, with_ema);
  untouched.fit(one, zero, {.epochs = 2, .verbose = 0, .initial_epoch = 2});
  EXPECT_EQ(weight_of(untouched), 1);
}

TEST(Callbacks, SwapEMAWeightsPutsAveragesIntoTheModel) {
  Sequential model = compiled(0.25, with_ema);
  std::vector<double> at_epoch_end;
  callbacks::LambdaCallback watch(
      {.on_epoch_end = [&](std::int64_t, const Logs&) { at_epoch_end.push_back(weight_of(model)); }});
  const History history = model.fit(one, zero,
                                    {.epochs = 3,
                                     .verbose = 0,
                                     .callbacks = {callbacks::SwapEMAWeights(), watch},
                                     .validation_data = {one, zero}});
  // Validated are the averages 1/2, 3/8, 1/4; training goes on with 1/2, 1/4, 1/8.
  EXPECT_EQ(history["val_loss"], (std::vector<double>{0.25, 0.375 * 0.375, 0.0625}));
  EXPECT_EQ(at_epoch_end, (std::vector<double>{0.5, 0.25, 0.125}));
  EXPECT_EQ(weight_of(model), 0.25);

  // After each prediction and evaluation the weights are back.
  model.train_on_batch(one, zero);  // w = 1/8, average 3/16
  EXPECT_EQ(weight_of(model), 0.125);
  EXPECT_EQ(model.predict(one, {.verbose = 0, .callbacks = {callbacks::SwapEMAWeights()}}).item(), 0.1875);
  EXPECT_EQ(weight_of(model), 0.125);
  EXPECT_EQ(model.evaluate(one, zero, {.verbose = 0, .callbacks = {callbacks::SwapEMAWeights()}})["loss"],
            0.1875 * 0.1875);
  EXPECT_EQ(weight_of(model), 0.125);
  testing::covers("Callbacks", "SwapEMAWeights", "behaviour");
  testing::covers("Callbacks", "LambdaCallback", "behaviour");
}

TEST(Callbacks, SwapEMAWeightsOnEpochKeepsThemBetweenEpochs) {
  for (const bool stopped : {false, true}) {
    Sequential model = compiled(0.25, with_ema);
    std::vector<double> at_epoch_end;
    callbacks::LambdaCallback watch({.on_epoch_end = [&](std::int64_t epoch, const Logs&) {
      at_epoch_end.push_back(weight_of(model));
      if (stopped && epoch == 2) model.stop_training();
    }});
    model.fit(one, zero,
              {.epochs = stopped ? 9 : 3,
               .verbose = 0,
               .callbacks = {callbacks::SwapEMAWeights({.swap_on_epoch = true}), watch}});
    EXPECT_EQ(at_epoch_end, (std::vector<double>{0.5, 0.375, 0.25}));
    EXPECT_EQ(weight_of(model), 0.25);
  }
}

TEST(Callbacks, SwapEMAWeightsWantsAverages) {
  Sequential model = compiled(0.25);
  EXPECT_ERROR(ValueError,
               "SwapEMAWeights: the optimizer \"sgd\" keeps no averages; make it with .use_ema = true",
               model.predict(one, {.verbose = 0, .callbacks = {callbacks::SwapEMAWeights()}}));
}

TEST(Callbacks, ProgbarLoggerTakesThePlaceOfTheBuiltInLines) {
  const Tensor x({1.f, 2.f}), y({0.f, 0.f});
  // The times differ from run to run.
  const auto without_times = [](const std::string& text) {
    std::string kept;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
      kept +=
          line.substr(0, line.find(' ')) + line.substr(std::min(line.size(), line.find(" - loss"))) + "\n";
    return kept;
  };
  const auto text = [&](std::vector<CallbackHandle> callbacks, int verbose) {
    CapturedConsole console;
    Sequential model = compiled(0.125);
    model.fit(x, y, {.epochs = 2, .verbose = verbose, .callbacks = callbacks, .validation_data = {x, y}});
    model.evaluate(x, y, {.verbose = verbose, .callbacks = callbacks});
    model.predict(x, {.verbose = verbose, .callbacks = callbacks});
    return without_times(console.text);
  };
  callbacks::ProgbarLogger logger;
  for (int verbose : {0, 1, 2}) EXPECT_EQ(text({logger}, verbose), text({}, verbose)) << verbose;
  EXPECT_NE(text({logger}, 1).find("val_loss"), std::string::npos);
  testing::covers("Callbacks", "ProgbarLogger", "behaviour");
}

}  // namespace
}  // namespace kiln
