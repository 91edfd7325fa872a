// fit, evaluate and predict from datasets.
#include <gtest/gtest.h>

#include <atomic>

#include "tests/api/support.h"

namespace kiln {
namespace {

using data::Dataset;
using data::Item;
using testing::floats;
using namespace layers;

const Tensor kX({1.f, 2.f, 3.f, 4.f, 5.f, 6.f, 7.f}), kY({2.f, 1.f, 4.f, 3.f, 6.f, 5.f, 9.f}),
    kWeight({1.f, 2.f, 1.f, .5f, 1.f, 3.f, 1.f});

Sequential model_of_two_layers() {
  set_random_seed(11);
  Sequential model({Input({1}), Dense(8, {.activation = "tanh"}), Dropout(0.2), Dense(1)});
  model.compile({.optimizer = optimizers::Adam({.learning_rate = 0.01}), .loss = "mse", .metrics = {"mae"}});
  return model;
}
void expect_same_weights(const Model& a, const Model& b) {
  const auto left = a.get_weights(), right = b.get_weights();
  ASSERT_EQ(left.size(), right.size());
  for (std::size_t i = 0; i < left.size(); i++) EXPECT_EQ(floats(left[i]), floats(right[i]));
}

TEST(FitDataset, GivesTheBitsOfArrays) {
  Sequential a = model_of_two_layers();
  const History from_arrays = a.fit(kX, kY,
                                    {.batch_size = 3,
                                     .epochs = 3,
                                     .verbose = 0,
                                     .validation_data = {kX, kY, kWeight},
                                     .shuffle = false,
                                     .sample_weight = kWeight});
  Sequential b = model_of_two_layers();
  const Dataset batches = Dataset::from_tensor_slices({kX, kY, kWeight}).batch(3);
  const History from_dataset =
      b.fit(batches.prefetch(2), {.epochs = 3, .verbose = 0, .validation_data = batches});
  EXPECT_EQ(from_arrays.history, from_dataset.history);
  expect_same_weights(a, b);
  EXPECT_EQ(floats(a.predict(kX, {.verbose = 0})), floats(b.predict(batches, {.verbose = 0})));
  const Logs of_arrays = a.evaluate(kX, kY, {.batch_size = 3, .verbose = 0, .sample_weight = kWeight});
  const Logs of_dataset = b.evaluate(batches, {.verbose = 0});
  EXPECT_EQ(of_arrays["loss"], of_dataset["loss"]);
  EXPECT_EQ(of_arrays["mae"], of_dataset["mae"]);
}

TEST(FitDataset, ClassWeightsAndMultipleInputs) {
  const auto make = [] {
    set_random_seed(3);
    const auto p = Input({1}), q = Input({2});
    Model model({.inputs = {p, q}, .outputs = {Dense(2)(Concatenate()({p, q}))}});
    model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.1}),
                   .loss = losses::SparseCategoricalCrossentropy({.from_logits = true})});
    return model;
  };
  const Tensor p({{1.f}, {2.f}, {3.f}}), q({{0.f, 1.f}, {1.f, 0.f}, {1.f, 1.f}}), y({0, 1, 1});
  Model a = make(), b = make();
  a.fit({p, q}, y, {.batch_size = 2, .verbose = 0, .shuffle = false, .class_weight = {{0, 2.0}, {1, 0.5}}});
  b.fit(Dataset::from_tensor_slices({{p, q}, y}).batch(2),
        {.verbose = 0, .class_weight = {{0, 2.0}, {1, 0.5}}});
  expect_same_weights(a, b);
}

TEST(FitDataset, BuildsAModelWithoutInput) {
  Sequential model({Dense(1)});
  model.compile({.loss = "mse"});
  model.fit(Dataset::from_tensor_slices({Tensor::zeros({4, 3}), Tensor::zeros({4, 1})}).batch(2),
            {.verbose = 0});
  EXPECT_EQ(model.get_weights()[0].shape(), (Shape{3, 1}));
}

Dataset ones(std::int64_t batches, std::int64_t cardinality = data::unknown_cardinality) {
  return Dataset::from_generator(
      [i = std::int64_t{0}, batches]() mutable -> std::optional<Item> {
        if (i++ == batches) return std::nullopt;
        return Item{Tensor::full({2, 1}, 1), Tensor::full({2, 1}, static_cast<double>(i))};
      },
      {.cardinality = cardinality});
}
/// Which batches were trained on, by their mean target (weights stand still, the prediction is 0).
struct Recorder : Callback {
  std::vector<std::vector<int>> epochs;
  std::int64_t steps_at_begin = -1;
  void on_train_begin(const Logs&) override { steps_at_begin = params().steps; }
  void on_epoch_begin(std::int64_t, const Logs&) override { epochs.emplace_back(); }
  void on_train_batch_end(std::int64_t batch, const Logs&) override {
    epochs.back().push_back(static_cast<int>(batch));
  }
};
using Epochs = std::vector<std::vector<int>>;

Sequential still() {
  Sequential model = testing::line(0);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mae"});
  return model;
}

TEST(FitDataset, EpochsEndWithTheDataset) {
  for (std::int64_t cardinality : {data::unknown_cardinality, std::int64_t{3}}) {
    Sequential model = still();
    Recorder recorder;
    const History h = model.fit(ones(3, cardinality), {.epochs = 2, .verbose = 0, .callbacks = {recorder}});
    EXPECT_EQ(recorder.epochs, (Epochs{{0, 1, 2}, {0, 1, 2}}));
    EXPECT_EQ(recorder.steps_at_begin, std::max<std::int64_t>(0, cardinality));
    EXPECT_EQ(h["loss"], (std::vector<double>{2, 2}));
  }
}

TEST(FitDataset, StepsPerEpochGoOnWhereTheLastEpochEnded) {
  Sequential model = still();
  const History h = model.fit(ones(4), {.epochs = 2, .verbose = 0, .steps_per_epoch = 2});
  EXPECT_EQ(h["loss"], (std::vector<double>{1.5, 3.5}));
  const History endless = model.fit(ones(3).repeat(), {.epochs = 3, .verbose = 0, .steps_per_epoch = 2});
  EXPECT_EQ(endless["loss"], (std::vector<double>{1.5, 2, 2.5}));
}

TEST(FitDataset, RunningOutOfDataIsTold) {
  testing::CapturedConsole console;
  Sequential model = still();
  Recorder recorder;
  model.fit(ones(3), {.epochs = 3, .verbose = 0, .callbacks = {recorder}, .steps_per_epoch = 2});
  EXPECT_EQ(recorder.epochs, (Epochs{{0, 1}, {0}, {0, 1}}));
  EXPECT_EQ(console.text,
            "fit: the data ended after 1 of 2 steps of epoch 2; a dataset goes on with repeat()\n");
}

TEST(FitDataset, AnEpochOfOneBatch) {
  Sequential model = still();
  for (const Dataset& dataset : {ones(1), ones(1, 1)}) {
    const History h = model.fit(dataset, {.epochs = 3, .verbose = 0});
    EXPECT_EQ(h["loss"], (std::vector<double>{1, 1, 1}));
  }
  testing::CapturedConsole console;
  Recorder recorder;
  model.fit(ones(1), {.epochs = 2, .verbose = 0, .callbacks = {recorder}, .steps_per_epoch = 2});
  EXPECT_EQ(recorder.epochs, (Epochs{{0}, {0}}));
}

TEST(FitDataset, ValidationByStepsAndFromArrays) {
  Sequential model = still();
  History h = model.fit(
      ones(2), {.epochs = 2, .verbose = 0, .validation_data = ones(4).repeat(), .validation_steps = 3});
  EXPECT_EQ(h["val_loss"], (std::vector<double>{2, 2}));
  h = model.fit(ones(2), {.verbose = 0, .validation_data = {Tensor({1.f}), Tensor({7.f})}});
  EXPECT_EQ(h["val_loss"], (std::vector<double>{7}));
  h = model.fit(Tensor({1.f}), Tensor({7.f}), {.verbose = 0, .validation_data = ones(3)});
  EXPECT_EQ(h["val_loss"], (std::vector<double>{2}));
}

TEST(FitDataset, TheProgressOfAnUnknownNumberOfSteps) {
  testing::CapturedConsole console;
  Sequential model = still();
  model.fit(ones(3), {.epochs = 2});
  EXPECT_NE(console.text.find("3/3 ━━━━━━━━━━━━━━━━━━━━"), std::string::npos) << console.text;
  console.text.clear();
  callbacks::ProgbarLogger logger;
  model.fit(ones(3), {.callbacks = {logger}});
  EXPECT_NE(console.text.find("3/3 ━━━━━━━━━━━━━━━━━━━━"), std::string::npos) << console.text;
  const testing::CapturedConsole terminal(true);
  model.fit(ones(3));
  EXPECT_NE(terminal.text.find("1/Unknown"), std::string::npos) << terminal.text;
}

TEST(FitDataset, CallbacksStopIt) {
  struct Stop : Callback {
    void on_train_batch_end(std::int64_t batch, const Logs&) override {
      if (batch == 1) stop_training();
    }
  } stop;
  std::atomic<int> made = 0;
  const Dataset endless = Dataset::from_generator([&made]() -> std::optional<Item> {
                            return Item{Tensor::full({2, 1}, ++made), Tensor::zeros({2, 1})};
                          }).prefetch(2);
  Sequential model = still();
  model.fit(endless, {.verbose = 0, .callbacks = {stop}});
  EXPECT_LE(made, 4);
}

TEST(EvaluateDataset, ByStepsAndOnAMapped) {
  Sequential model = still();
  EXPECT_EQ(model.evaluate(ones(3), {.verbose = 0})["loss"], 2);
  EXPECT_EQ(model.evaluate(ones(3).repeat(), {.verbose = 0, .steps = 2})["loss"], 1.5);
  const Dataset doubled = ones(3).map([](graph::Value x, graph::Value y) { return std::pair(x, y * 2.0); });
  EXPECT_EQ(model.evaluate(doubled.prefetch(1), {.verbose = 0})["loss"], 4);
}

TEST(PredictDataset, RowsBelowEachOther) {
  const Sequential model = testing::line(2);
  const Dataset xs = Dataset::from_tensor_slices(kX).batch(3);
  EXPECT_EQ(floats(model.predict(xs, {.verbose = 0})), (std::vector<float>{2, 4, 6, 8, 10, 12, 14}));
  EXPECT_EQ(model.predict(xs, {.verbose = 0, .steps = 2}).shape(), (Shape{6, 1}));
  EXPECT_EQ(model.predict(xs.repeat(), {.verbose = 0, .steps = 3}).shape(), (Shape{7, 1}));
  EXPECT_EQ(model.predict_all(ones(2), {.verbose = 0})[0].shape(), (Shape{4, 1})) << "y is left alone";
}

// ---- errors on the way ------------------------------------------------------------------------------------

TEST(FitDataset, ErrorsOfTheProducerComeOutOfFitAndTheNextFitWorks) {
  Sequential model = model_of_two_layers();
  const Dataset good = Dataset::from_tensor_slices({kX, kY}).batch(2);
  const Dataset failing = Dataset::from_generator([i = 0]() mutable -> std::optional<Item> {
    if (++i == 3) throw std::runtime_error("the line is down");
    return Item{Tensor::full({2, 1}, i), Tensor::zeros({2, 1})};
  });
  for (const Dataset& dataset : {failing, failing.prefetch(1), failing.prefetch(5)}) {
    EXPECT_ERROR(std::runtime_error, "the line is down", model.fit(dataset, {.epochs = 2, .verbose = 0}));
    EXPECT_ERROR(std::runtime_error, "the line is down", model.evaluate(dataset, {.verbose = 0}));
    EXPECT_ERROR(std::runtime_error, "the line is down", model.predict(dataset, {.verbose = 0}));
    EXPECT_ERROR(std::runtime_error, "the line is down",
                 model.fit(good, {.verbose = 0, .validation_data = dataset}));
    EXPECT_EQ(model.fit(good.prefetch(2), {.epochs = 2, .verbose = 0})["loss"].size(), 2u);
  }
  const Dataset unfit = good.map([](graph::Value x) { return graph::reshape(x, {2, 7}); }).prefetch(2);
  EXPECT_ERROR(ShapeError, "map, on x of shape (2,): ", model.fit(unfit, {.verbose = 0}));
  EXPECT_EQ(model.fit(good, {.verbose = 0})["loss"].size(), 1u);
}

TEST(FitDataset, DataErrorsNameTheBatch) {
  Sequential model({Input({1}), Dense(2)});
  model.compile({.loss = losses::SparseCategoricalCrossentropy({.from_logits = true})});
  const Dataset wrong =
      Dataset::from_tensor_slices({Tensor::zeros({5, 1}), Tensor({0, 1, 0, 7, 1})}).batch(2);
  EXPECT_ERROR(ValueError, "in batch 1 of the dataset: sparse_categorical_crossentropy: label 7 in row 1",
               model.fit(wrong, {.verbose = 0}));
  EXPECT_ERROR(ValueError, "fit: in the validation data: in batch 1 of the dataset: sparse_cat",
               model.fit(wrong.take(1), {.verbose = 0, .validation_data = wrong}));
}

}  // namespace
}  // namespace kiln
