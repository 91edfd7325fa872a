// compile({..., .memory_limit = bytes}): training steps with a bound on their arena give the same bits.
#include "tests/api/support.h"
#include "tests/support/hash_data.h"

namespace kiln {
namespace {

using namespace layers;

constexpr std::int64_t batch = 128;

struct Trained {
  std::int64_t arena = 0;
  std::vector<double> losses;
  std::vector<std::vector<float>> weights;
};

struct MemoryLimit : ::testing::Test {
  Trained train(const std::function<Sequential()>& make, std::int64_t limit) {
    set_random_seed(7);
    Sequential model = make();
    const Shape shape = model.inputs()[0].shape().tail().prepend(batch);
    const Tensor x = testing::hash_uniform("memory limit x", shape);
    const Tensor y = testing::hash_labels("memory limit y", {batch}, 10);
    model.compile({.optimizer = optimizers::Adam({.learning_rate = 0.01}),
                   .loss = losses::SparseCategoricalCrossentropy({.from_logits = true}),
                   .memory_limit = limit});
    Trained result;
    for (int step = 0; step < 3; step++) result.losses.push_back(model.train_on_batch(x, y)["loss"]);
    for (const Tensor& w : model.get_weights()) result.weights.push_back(w.to_vector<float>());
    result.arena = model.memory({.batch_size = batch}).step("train").arena;
    return result;
  }

  void expect_same(const std::function<Sequential()>& make, double share) {
    const Trained free = train(make, 0);
    const auto limit = static_cast<std::int64_t>(share * static_cast<double>(free.arena));
    const Trained bound = train(make, limit);
    EXPECT_LE(bound.arena, limit);
    EXPECT_EQ(bound.losses, free.losses);
    EXPECT_EQ(bound.weights, free.weights);
  }
};

Sequential lenet() {
  return Sequential({Input({28, 28, 1}), Conv2D(6, 5, {.padding = "same", .activation = "sigmoid"}), MaxPooling2D(2),
                     Conv2D(16, 5, {.activation = "sigmoid"}), MaxPooling2D(2), Flatten(),
                     Dense(120, {.activation = "sigmoid"}), Dense(84, {.activation = "sigmoid"}), Dense(10)});
}

TEST_F(MemoryLimit, OfLeNetKeepsEveryBit) {
  expect_same(lenet, 0.99);
}

TEST_F(MemoryLimit, OfAVggKeepsEveryBit) {
  const auto vgg = [] {
    Sequential model({Input({32, 32, 3})});
    for (const std::int64_t filters : {8, 16, 32}) {
      for (int i = 0; i < 2; i++) model.add(Conv2D(filters, 3, {.padding = "same", .activation = "relu"}));
      model.add(MaxPooling2D(2));
    }
    model.add(Flatten());
    model.add(Dense(10));
    return model;
  };
  expect_same(vgg, 0.85);
}

// What is random must be drawn again as it was.
TEST_F(MemoryLimit, WithDropoutKeepsEveryBit) {
  const auto model = [] {
    Sequential model({Input({512})});
    for (int i = 0; i < 6; i++) {
      model.add(Dense(512, {.activation = i % 2 ? "tanh" : "softplus"}));
      model.add(Dropout(0.3));
      model.add(ReLU());
    }
    model.add(Dense(10));
    return model;
  };
  expect_same(model, 0.9);
}

TEST_F(MemoryLimit, ThatCannotBeKeptIsAnError) {
  EXPECT_ERROR(ValueError, "the limit of 1000 bytes can't be kept", train(lenet, 1000));
  EXPECT_ERROR(ValueError, "smaller batch_size", train(lenet, 1000));
  EXPECT_ERROR(ValueError, "memory_limit is -1", train(lenet, -1));
  // Only training is bound.
  Sequential model = lenet();
  model.compile({.optimizer = "sgd", .loss = "mse", .memory_limit = 1});
  EXPECT_NO_THROW(model.test_on_batch(Tensor::zeros({2, 28, 28, 1}), Tensor::zeros({2, 10})));
}

}  // namespace
}  // namespace kiln
