// Datasets by themselves: sources, steps, iteration, threads.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>

#include "tests/api/support.h"

namespace kiln::data {
namespace {

using testing::floats;

Tensor numbers(std::int64_t n) {
  std::vector<float> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), 0.0f);
  return Tensor(v);
}
/// 0, 1, 2, ... n - 1, made one by one.
Dataset counting(std::int64_t n) {
  return Dataset::from_generator([i = std::int64_t{0}, n]() mutable -> std::optional<Item> {
    if (i == n) return std::nullopt;
    return Item{Tensor::scalar(static_cast<double>(i++))};
  });
}
/// All elements of x, item after item.
std::vector<float> all(const Dataset& dataset) {
  std::vector<float> values;
  for (const Item& item : dataset)
    for (float v : item.x[0].to_vector<float>()) values.push_back(v);
  return values;
}
std::vector<std::int64_t> sizes(const Dataset& dataset) {
  std::vector<std::int64_t> rows;
  for (const Item& batch : dataset) rows.push_back(batch.x[0].dim(0));
  return rows;
}
using Floats = std::vector<float>;

TEST(Dataset, RowsOfArrays) {
  const Tensor x({{1.f, 2.f}, {3.f, 4.f}, {5.f, 6.f}}), y({7, 8, 9}), w({.1f, .2f, .3f});
  const Dataset dataset = Dataset::from_tensor_slices({x, y, w});
  EXPECT_EQ(dataset.cardinality(), 3);
  std::vector<Item> items;
  for (const Item& item : dataset) items.push_back(item);
  ASSERT_EQ(items.size(), 3u);
  EXPECT_EQ(floats(items[1].x[0]), (Floats{3, 4}));
  EXPECT_EQ(items[2].y[0].shape(), Shape{});
  EXPECT_EQ(items[2].y[0].item(), 9);
  EXPECT_FLOAT_EQ(static_cast<float>(items[0].sample_weight.item()), .1f);
  for (const Item& item : Dataset::from_tensor_slices(x)) EXPECT_TRUE(item.y.empty());
  for (const Item& item : Dataset::from_tensor_slices({{x, y}, {y, w}}).batch(2)) {
    EXPECT_EQ(item.x.size(), 2u);
    EXPECT_EQ(item.y[1].dtype(), DType::f32);
  }
  EXPECT_EQ(all(Dataset::from_tensor_slices(std::vector<float>{4, 5})), (Floats{4, 5}));
}

TEST(Dataset, ArraysWithStridesAndWithoutRows) {
  const Tensor columns = Tensor({{1.f, 2.f}, {3.f, 4.f}});
  const Tensor turned = Tensor::view(const_cast<float*>(columns.data<float>()), {2, 2}, {1, 2});
  EXPECT_EQ(all(Dataset::from_tensor_slices(turned).batch(2)), (Floats{1, 3, 2, 4}));
  const Dataset none = Dataset::from_tensor_slices(Tensor::zeros({0, 3}));
  EXPECT_EQ(none.cardinality(), 0);
  EXPECT_TRUE(all(none.batch(2).prefetch(1)).empty());
}

TEST(Dataset, BatchesOfRowsInOrderAreViews) {
  const Tensor x = numbers(5);
  std::vector<Item> batches;
  for (const Item& b : Dataset::from_tensor_slices(x).batch(2)) batches.push_back(b);
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[1].x[0].raw(), static_cast<const float*>(x.raw()) + 2);
  EXPECT_EQ(floats(batches[2].x[0]), (Floats{4}));
}

TEST(Dataset, GeneratorsStartAnew) {
  const Dataset dataset = counting(3);
  EXPECT_EQ(dataset.cardinality(), unknown_cardinality);
  EXPECT_EQ(all(dataset), (Floats{0, 1, 2}));
  EXPECT_EQ(all(dataset), (Floats{0, 1, 2}));
  EXPECT_EQ(all(dataset.repeat(2).batch(4)), (Floats{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(Dataset::from_generator([] { return std::optional<Item>(); }, {.cardinality = 7}).cardinality(),
            7);
}

TEST(Dataset, StepsAndTheirCardinality) {
  const Dataset ten = Dataset::from_tensor_slices(numbers(10));
  EXPECT_EQ(sizes(ten.batch(4)), (std::vector<std::int64_t>{4, 4, 2}));
  EXPECT_EQ(sizes(ten.batch(4, {.drop_remainder = true})), (std::vector<std::int64_t>{4, 4}));
  EXPECT_EQ(ten.batch(4).cardinality(), 3);
  EXPECT_EQ(ten.batch(5).cardinality(), 2);
  EXPECT_EQ(ten.batch(4, {.drop_remainder = true}).cardinality(), 2);
  EXPECT_EQ(all(ten.take(3)), (Floats{0, 1, 2}));
  EXPECT_EQ(all(ten.skip(7)), (Floats{7, 8, 9}));
  EXPECT_EQ(ten.take(-1).cardinality(), 10);
  EXPECT_EQ(ten.take(30).cardinality(), 10);
  EXPECT_EQ(ten.skip(30).cardinality(), 0);
  EXPECT_TRUE(all(ten.skip(30)).empty());
  EXPECT_TRUE(all(ten.skip(-1)).empty());
  EXPECT_EQ(ten.repeat(3).cardinality(), 30);
  EXPECT_EQ(ten.repeat().cardinality(), infinite_cardinality);
  EXPECT_EQ(ten.repeat(INT64_MAX).cardinality(), infinite_cardinality);
  EXPECT_EQ(ten.repeat().take(25).cardinality(), 25);
  EXPECT_EQ(all(ten.repeat().take(25).skip(20)), (Floats{0, 1, 2, 3, 4}));
  EXPECT_EQ(ten.repeat().batch(3).cardinality(), infinite_cardinality);
  EXPECT_EQ(counting(3).batch(2).prefetch(2).shuffle(3).cardinality(), unknown_cardinality);
  EXPECT_TRUE(all(ten.repeat(0)).empty());
  EXPECT_TRUE(all(ten.take(0).repeat()).empty()) << "nothing forever must end";
  EXPECT_EQ(all(ten.batch(2).skip(1).take(2)), (Floats{2, 3, 4, 5}));
}

TEST(Dataset, BatchesAcrossTheEndOfARepetition) {
  const Dataset dataset = Dataset::from_tensor_slices({numbers(3), numbers(3)}).repeat(2).batch(4);
  EXPECT_EQ(all(dataset), (Floats{0, 1, 2, 0, 1, 2}));
}

TEST(Dataset, ShuffleKeepsAllAndReshufflesReproducibly) {
  const auto make = [](std::int64_t buffer, ShuffleArgs args) {
    return Dataset::from_tensor_slices({numbers(20), numbers(20)}).shuffle(buffer, args);
  };
  const Dataset dataset = make(20, {.seed = 3});
  const Floats first = all(dataset), second = all(dataset);
  EXPECT_NE(first, second);
  EXPECT_NE(first, floats(numbers(20)));
  for (Floats values : {first, second}) {
    std::sort(values.begin(), values.end());
    EXPECT_EQ(values, floats(numbers(20)));
  }
  Floats both = first;
  both.insert(both.end(), second.begin(), second.end());
  EXPECT_EQ(all(make(20, {.seed = 3}).repeat(2)), both) << "each repetition shuffles anew";
  EXPECT_NE(all(make(20, {.seed = 4})), first);
  const Dataset fixed = make(20, {.seed = 3, .reshuffle_each_iteration = false});
  EXPECT_EQ(all(fixed), first);
  EXPECT_EQ(all(fixed), first);
  set_random_seed(5);
  const Floats a = all(make(20, {}));
  set_random_seed(5);
  EXPECT_EQ(all(make(20, {})), a);
}

TEST(Dataset, ASmallBufferShufflesNearby) {
  const Floats values = all(counting(100).shuffle(5, {.seed = 1}));
  ASSERT_EQ(values.size(), 100u);
  for (std::size_t i = 0; i < values.size(); i++) EXPECT_LE(values[i], static_cast<float>(i + 4));
  EXPECT_EQ(all(counting(10).shuffle(1)), floats(numbers(10)));
}

TEST(Dataset, ShuffledRowsKeepTheirLabels) {
  for (const Item& b : Dataset::from_tensor_slices({numbers(9), numbers(9)}).shuffle(9).batch(4))
    EXPECT_EQ(floats(b.x[0]), floats(b.y[0]));
}

// ---- map --------------------------------------------------------------------------------------------------

TEST(DatasetMap, OnXOnBothAndInCpp) {
  const Dataset dataset = Dataset::from_tensor_slices({numbers(5), numbers(5)});
  const auto half = [](graph::Value x) { return x / 2.0; };
  EXPECT_EQ(all(dataset.map(half)), (Floats{0, .5f, 1, 1.5f, 2}));
  EXPECT_EQ(all(dataset.batch(2).map(half)), (Floats{0, .5f, 1, 1.5f, 2}));
  const Dataset swapped =
      dataset.batch(5).map([](graph::Value x, graph::Value y) { return std::pair(y + 1.0, x); });
  for (const Item& b : swapped) {
    EXPECT_EQ(floats(b.x[0]), (Floats{1, 2, 3, 4, 5}));
    EXPECT_EQ(floats(b.y[0]), (Floats{0, 1, 2, 3, 4}));
  }
  const Dataset host = dataset.map([](Item item) {
    item.y = {};
    item.x = Tensor({static_cast<float>(item.x[0].item()), -1.f});
    return item;
  });
  for (const Item& item : host) EXPECT_TRUE(item.y.empty());
  EXPECT_EQ(all(host.take(2)), (Floats{0, -1, 1, -1}));
}

TEST(DatasetMap, TypesAndShapesMayChange) {
  const Dataset bytes = Dataset::from_tensor_slices(Tensor(std::vector<std::uint8_t>{0, 51, 255}));
  const auto scale = [](graph::Value x) { return graph::convert(x, DType::f32) / 255.0; };
  EXPECT_EQ(all(bytes.batch(2).map(scale)), (Floats{0, .2f, 1}));
  const auto widen = [](graph::Value x) { return graph::reshape(x, {x.shape()[0], 1}); };
  for (const Item& b : bytes.batch(3).map(widen)) EXPECT_EQ(b.x[0].shape(), (Shape{3, 1}));
}

TEST(DatasetMap, LayersAndModels) {
  const Tensor images = Tensor::full({5, 4, 4, 1}, 3);
  const Dataset large =
      Dataset::from_tensor_slices({images, numbers(5)}).batch(2).map(layers::Resizing(8, 6));
  std::int64_t rows = 0;
  for (const Item& b : large) {
    EXPECT_EQ(b.x[0].shape(), (Shape{b.y[0].dim(0), 8, 6, 1}));
    rows += b.x[0].dim(0);
  }
  EXPECT_EQ(rows, 5);
  const Sequential model({Input({1}), layers::Dense(2)});
  const Tensor x = numbers(4).reshape({4, 1});
  EXPECT_EQ(all(Dataset::from_tensor_slices(x).batch(4).map(model)), floats(model(x)));
}

TEST(DatasetMap, AugmentationWhereItTrains) {
  const Tensor rows = numbers(64).reshape({32, 1, 2, 1});
  const Dataset batches = Dataset::from_tensor_slices(rows).batch(32);
  EXPECT_EQ(all(batches.map(layers::RandomFlip("horizontal"))), floats(rows));
  const auto flipped = [&](std::int64_t seed) {
    return batches.map(layers::RandomFlip("horizontal"), {.training = true, .seed = seed});
  };
  const Dataset dataset = flipped(1);
  const Floats first = all(dataset), second = all(dataset);
  EXPECT_NE(first, floats(rows));
  EXPECT_NE(first, second) << "each pass draws anew";
  EXPECT_EQ(all(flipped(1)), first);
}

// ---- prefetch ---------------------------------------------------------------------------------------------

TEST(Prefetch, GivesTheSameInOrder) {
  EXPECT_EQ(all(counting(100).prefetch(3)), floats(numbers(100)));
  EXPECT_EQ(all(counting(100).prefetch(1).shuffle(10, {.seed = 1}).batch(7).prefetch(2)),
            all(counting(100).shuffle(10, {.seed = 1}).batch(7)));
  EXPECT_EQ(all(counting(5).prefetch(2).repeat(2)), (Floats{0, 1, 2, 3, 4, 0, 1, 2, 3, 4}));
}

TEST(Prefetch, IsNeverFurtherAheadThanItsBuffer) {
  for (std::int64_t buffer : {1, 3}) {
    std::atomic<int> made = 0;
    const Dataset dataset = Dataset::from_generator([&made]() -> std::optional<Item> {
                              if (made == 40) return std::nullopt;
                              return Item{Tensor::scalar(++made)};
                            }).prefetch(buffer);
    int taken = 0;
    bool read_ahead = false;
    for ([[maybe_unused]] const Item& item : dataset) {
      taken++;
      for (int wait = 0; wait < 5 && made < taken + buffer; wait++)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      EXPECT_LE(made, taken + buffer);
      read_ahead = read_ahead || made > taken;
    }
    EXPECT_EQ(taken, 40);
    EXPECT_TRUE(read_ahead);
  }
}

/// Tells when it was destroyed: with the stream, after its thread.
struct Alive {
  explicit Alive(std::atomic<int>& count) : count(count) { count++; }
  ~Alive() { count--; }
  std::atomic<int>& count;
};

TEST(Prefetch, LeavingTheLoopEndsTheThread) {
  std::atomic<int> streams = 0, made = 0;
  const Dataset endless =
      Dataset::from_generator([&, alive = std::shared_ptr<Alive>()]() mutable -> std::optional<Item> {
        if (!alive) alive = std::make_shared<Alive>(streams);
        return Item{Tensor::scalar(++made)};
      }).prefetch(4);
  int count = 0;
  for ([[maybe_unused]] const Item& item : endless)
    if (++count == 3) break;
  EXPECT_EQ(streams, 0);
  const int at_end = made;
  EXPECT_LE(at_end, 8);
  EXPECT_THROW(
      {
        for ([[maybe_unused]] const Item& item : endless) throw std::runtime_error("the loop's own");
      },
      std::runtime_error);
  EXPECT_EQ(streams, 0);
  {
    const auto it = endless.begin();
  }
  EXPECT_EQ(streams, 0);
}

TEST(Prefetch, ErrorsComeAfterWhatWasMadeBefore) {
  const Dataset failing = Dataset::from_generator([i = 0]() mutable -> std::optional<Item> {
                            if (i == 3) throw std::runtime_error("the disk is gone");
                            return Item{Tensor::scalar(i++)};
                          })
                              .prefetch(10)
                              .batch(1)
                              .prefetch(2);
  for (int pass = 0; pass < 2; pass++) {
    Floats seen;
    std::string message;
    try {
      for (const Item& item : failing) seen.push_back(item.x[0].to_vector<float>()[0]);
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    EXPECT_EQ(seen, (Floats{0, 1, 2}));
    EXPECT_EQ(message, "the disk is gone");
  }
}

TEST(Prefetch, SeveralThreadsIterateOverOneDataset) {
  const Dataset dataset = Dataset::from_tensor_slices(numbers(50))
                              .shuffle(50)
                              .batch(8)
                              .map([](graph::Value x) { return x * 2.0; })
                              .prefetch(2);
  std::vector<std::thread> threads;
  std::array<float, 4> sums{};
  for (float& sum : sums)
    threads.emplace_back([&] {
      for (float v : all(dataset)) sum += v;
    });
  for (std::thread& t : threads) t.join();
  for (float sum : sums) EXPECT_EQ(sum, 50 * 49);
}

}  // namespace
}  // namespace kiln::data
