// Mistakes with datasets: whole messages.
#include <gtest/gtest.h>

#include "tests/api/support.h"

namespace kiln::data {
namespace {

using testing::message_of;

const Dataset kRows = Dataset::from_tensor_slices({Tensor::zeros({4, 2}), Tensor::zeros({4, 1})});

/// Reads all, so that what is wrong with an item is told.
void read(const Dataset& dataset) {
  for ([[maybe_unused]] const Item& item : dataset) continue;
}
Dataset of_items(std::vector<Item> items) {
  return Dataset::from_generator([items, i = std::size_t{0}]() mutable -> std::optional<Item> {
    if (i == items.size()) return std::nullopt;
    return items[i++];
  });
}
template <class F>
std::string value_error(F f) {
  return message_of<ValueError>(f);
}
template <class F>
std::string shape_error(F f) {
  return message_of<ShapeError>(f);
}

TEST(DatasetMistakes, Arrays) {
  EXPECT_EQ(shape_error([] { Dataset::from_tensor_slices(Item{}); }),
            "from_tensor_slices: there is no x; give arrays with one row for each sample");
  EXPECT_EQ(shape_error([] { Dataset::from_tensor_slices(Tensor()); }),
            "from_tensor_slices: x is an empty Tensor; give an array with one row for each sample");
  EXPECT_EQ(shape_error([] { Dataset::from_tensor_slices(Tensor::scalar(3)); }),
            "from_tensor_slices: x has shape (), a single number; it must be an array with one row for each "
            "sample");
  EXPECT_EQ(
      shape_error([] { Dataset::from_tensor_slices({Tensor::zeros({4, 2}), Tensor::zeros({3, 1})}); }),
      "from_tensor_slices: the first x has 4 rows, but y has 3 (its shape is (3, 1)); every sample needs its "
      "own");
  EXPECT_EQ(
      shape_error(
          [] { Dataset::from_tensor_slices({Tensor::zeros({4}), Tensor::zeros({4}), Tensor::zeros({5})}); }),
      "from_tensor_slices: the first x has 4 rows, but sample_weight has 5 (its shape is (5,)); every sample "
      "needs its own");
}

TEST(DatasetMistakes, Generators) {
  EXPECT_EQ(value_error([] { Dataset::from_generator({}); }),
            "from_generator: the function is empty; give one that returns items");
  EXPECT_EQ(
      value_error([] { Dataset::from_generator([] { return std::optional<Item>(); }, {.cardinality = -3}); }),
      "from_generator: cardinality is -3; give a number of items, infinite_cardinality or "
      "unknown_cardinality");
  const std::string rest =
      "; return Item{x}, Item{x, y} or Item{x, y, sample_weight}, and std::nullopt at the end";
  EXPECT_EQ(shape_error([] { read(of_items({{Tensor::zeros({2})}, Item{}})); }),
            "from_generator: item 1 has no x" + rest);
  EXPECT_EQ(shape_error([] { read(of_items({{Tensor::zeros({2}), Tensor()}})); }),
            "from_generator: item 0 has an empty Tensor" + rest);
}

TEST(DatasetMistakes, ArgumentsOfSteps) {
  EXPECT_EQ(value_error([] { (void)kRows.shuffle(0); }),
            "shuffle: buffer_size must be at least 1, but it is 0");
  EXPECT_EQ(value_error([] { (void)kRows.batch(-2); }), "batch: batch_size must be at least 1, but it is -2");
  EXPECT_EQ(value_error([] { (void)kRows.prefetch(0); }),
            "prefetch: buffer_size must be at least 1, but it is 0");
  EXPECT_EQ(value_error([] { (void)kRows.repeat(-2); }),
            "repeat: count is -2; give a number of times, or -1 for ever");
  EXPECT_EQ(value_error([] { (void)kRows.take(-2); }),
            "take: count is -2; give a number of items, or -1 for all");
  EXPECT_EQ(value_error([] { (void)kRows.skip(-2); }),
            "skip: count is -2; give a number of items, or -1 for all");
}

TEST(DatasetMistakes, ItemsThatDoNotMakeABatch) {
  const std::string mend = "; make them alike with map, or batch them one by one";
  EXPECT_EQ(shape_error([] { read(of_items({{Tensor::zeros({2})}, {Tensor::zeros({3})}}).batch(2)); }),
            "batch: x of item 1 of the batch has shape (3,), but that of the first has (2,)" + mend);
  EXPECT_EQ(message_of<TypeError>([] {
              read(of_items({{{Tensor({1}), Tensor({1})}}, {{Tensor({1}), Tensor({1.f})}}}).batch(2));
            }),
            "batch: x[1] of item 1 of the batch is float32, but that of the first is int32" + mend);
  EXPECT_EQ(
      shape_error([] { read(of_items({{Tensor({1}), Tensor({1})}, {Tensor({1})}}).batch(2)); }),
      "batch: item 1 of the batch has 1 x, 0 y and no sample_weight, but the first has 1, 1 and no; all need "
      "the same parts");
}

TEST(DatasetMistakes, Maps) {
  const auto plus_y = [](graph::Value x, graph::Value y) { return std::pair(x + y, y); };
  EXPECT_EQ(shape_error([&] { read(Dataset::from_tensor_slices(Tensor::zeros({4})).map(plus_y)); }),
            "map: the function is for one y, but the items have none; write one for a data::Item");
  const Dataset two =
      Dataset::from_tensor_slices({{Tensor::zeros({4}), Tensor::zeros({4})}, Tensor::zeros({4})});
  EXPECT_EQ(shape_error([&] { read(two.map([](graph::Value x) { return x; })); }),
            "map: the function is for one x, but the items have 2; write one for a data::Item");
  EXPECT_EQ(value_error([] { (void)kRows.map(layers::Dense(2, {.name = "d"})); }),
            "map: layer \"d\" takes batches, but the dataset's items are single samples; call batch "
            "before map");
  EXPECT_EQ(message_of<StateError>([] { read(kRows.map([](graph::Value) { return graph::Value(); })); }),
            "function \"map\": the body returned an empty Value, one that no op made; return what its last "
            "op gives");
  EXPECT_EQ(value_error([] { (void)kRows.map(std::function<graph::Value(graph::Value)>()); }),
            "map: the function is empty; give one that emits ops");
  EXPECT_ERROR(ShapeError, "map, on x of shape (2, 2) and y of shape (2, 1): ",
               read(kRows.batch(2).map(
                   [](graph::Value x, graph::Value y) { return std::pair(graph::reshape(x, {3, 3}), y); })));
}

TEST(DatasetMistakes, Iterating) {
  auto it = Dataset::from_tensor_slices(Tensor::zeros({1})).begin();
  ++it;
  EXPECT_EQ(message_of<StateError>([&] { (void)*it; }),
            "Dataset: the iteration is at its end; there is no item to read");
  EXPECT_EQ(message_of<StateError>([&] { ++it; }),
            "Dataset: the iteration is at its end; there is no next item");
}

TEST(DatasetMistakes, Training) {
  Sequential model({Input({2}), layers::Dense(1)}, {.name = "m"});
  model.compile({.loss = "mse"});
  const std::string samples =
      ": the dataset's items are single samples, but a model takes batches; call .batch(32) on it";
  EXPECT_EQ(value_error([&] { model.fit(kRows); }), "fit" + samples);
  EXPECT_EQ(value_error([&] { model.evaluate(kRows.shuffle(2)); }), "evaluate" + samples);
  EXPECT_EQ(value_error([&] { model.predict(kRows.take(2)); }), "predict" + samples);
  const Dataset good = kRows.batch(2);
  EXPECT_EQ(value_error([&] { model.fit(good, {.verbose = 0, .validation_data = kRows}); }),
            "fit: validation_data" + samples);
  EXPECT_EQ(value_error([&] { model.fit(good.repeat()); }),
            "fit: the dataset has no end; give .steps_per_epoch = ...");
  EXPECT_EQ(value_error([&] { model.evaluate(good.repeat()); }),
            "evaluate: the dataset has no end; give .steps = ...");
  EXPECT_EQ(value_error([&] { model.predict(good.repeat()); }),
            "predict: the dataset has no end; give .steps = ...");
  EXPECT_EQ(value_error([&] { model.fit(good, {.validation_data = good.repeat()}); }),
            "fit: the dataset has no end; give .validation_steps = ...");
  EXPECT_EQ(value_error([&] { model.fit(good.take(0)); }), "fit: the dataset has no items");
  EXPECT_EQ(value_error([&] { model.evaluate(good.take(0)); }), "evaluate: the dataset has no items");
  EXPECT_EQ(value_error([&] { model.predict(good.take(0), {.verbose = 0}); }),
            "predict: the dataset has no items");
  EXPECT_EQ(value_error([&] { model.fit(good, {.steps_per_epoch = 0}); }),
            "fit: steps_per_epoch must be positive, but it is 0");
  EXPECT_EQ(value_error([&] { model.evaluate(good, {.steps = -1}); }),
            "evaluate: steps must be positive, but it is -1");
  ValidationData both = good;
  both.x = Tensor::zeros({4, 2});
  EXPECT_EQ(value_error([&] { model.fit(good, {.validation_data = both}); }),
            "fit: validation_data has both arrays and a dataset; give one of them");
  EXPECT_EQ(value_error([&] {
              model.fit(Tensor::zeros({4, 2}), Tensor::zeros({4, 1}),
                        {.validation_split = 0.5, .validation_data = good});
            }),
            "fit: give validation_split or validation_data, not both");
  EXPECT_EQ(
      shape_error([&] { model.fit(Dataset::from_tensor_slices(Tensor::zeros({4, 2})).batch(2)); }),
      "fit: batch 0 of the dataset: model \"m\" has 1 output, but y holds 0 arrays; give targets for each "
      "output");
  const Dataset narrow = Dataset::from_tensor_slices({Tensor::zeros({4, 3}), Tensor::zeros({4, 1})}).batch(4);
  EXPECT_ERROR(ShapeError, "fit: batch 0 of the dataset: ", model.fit(narrow));
  EXPECT_ERROR(ShapeError, "fit: validation_data: batch 0 of the dataset: ",
               model.fit(good, {.verbose = 0, .validation_data = narrow}));
  EXPECT_EQ(message_of<StateError>([&] {
              Sequential({Input({2}), layers::Dense(1)}, {.name = "n"}).fit(good);
            }).find("model \"n\""),
            0u);
}

}  // namespace
}  // namespace kiln::data
