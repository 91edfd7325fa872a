// Prediction: padding, buffers of the caller, several threads.
#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

#include "tests/api/background.h"
#include "tests/api/support.h"
#include "tests/support/hash_data.h"
#include "tests/support/sanitized.h"

#ifndef KILN_SANITIZED
#define KILN_COUNT_ALLOCATIONS
// g++ 12 inlines only one of the two and takes them for a mismatched pair.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif
namespace {
thread_local std::int64_t allocations = 0;
}
void* operator new(std::size_t size) {
  allocations++;
  if (void* p = std::malloc(size == 0 ? 1 : size)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}
#endif

namespace kiln {
namespace {

using namespace layers;
using testing::Background;
using testing::floats;

Sequential small_net() {
  set_random_seed(2);
  return Sequential({Input({12, 12, 1}), Rescaling(1.0 / 255), Conv2D(3, 3, {.activation = "relu"}),
                     MaxPooling2D(2), Flatten(), Dense(17, {.activation = "tanh"}),
                     Dense(5, {.activation = "softmax"})});
}

Tensor images(std::int64_t n) {
  std::vector<std::uint8_t> bytes;
  for (std::int64_t i = 0; i < n * 144; i++)
    bytes.push_back(static_cast<std::uint8_t>((i * 131 + i / 7) % 256));
  return Tensor(bytes, {n, 12, 12, 1});
}

TEST(Predict, ARowDoesNotDependOnItsBatch) {
  Sequential model = small_net();
  const Tensor x = images(37);
  const auto all = floats(model.predict(x, {.batch_size = 64, .verbose = 0}));
  for (std::int64_t batch_size : {1, 2, 3, 8, 32}) {
    EXPECT_EQ(floats(model.predict(x, {.batch_size = batch_size, .verbose = 0})), all)
        << "batch size " << batch_size;
  }
  for (std::int64_t i : {0, 5, 36})
    EXPECT_EQ(floats(model.predict(x.slice(i, i + 1), {.verbose = 0})),
              std::vector<float>(all.begin() + i * 5, all.begin() + i * 5 + 5));
}

TEST(Predict, ManyBatchSizesGiveTheRightRows) {
  Sequential model = small_net();
  const Tensor x = images(20);
  const auto all = floats(model.predict(x, {.batch_size = 20, .verbose = 0}));
  for (std::int64_t rows = 1; rows <= 20; rows++)
    EXPECT_EQ(floats(model(x.slice(0, rows))), std::vector<float>(all.begin(), all.begin() + rows * 5));
  EXPECT_EQ(model.programs().size(), 7u);  // for 20 rows, and for 1, 2, 4, 8, 16, 32
}

// Of 4 KiB a row between the layers, no core's cache holds 6,000 rows, and each holds 32.
TEST(Predict, LargeBatchesAreCut) {
  set_num_threads(1);
  Sequential model({Input({16}), Dense(1024, {.activation = "relu"}), Dense(3)});
  std::vector<float> values;
  for (int i = 0; i < 7000 * 16; i++) values.push_back(static_cast<float>(i % 37 - i % 11));
  const Tensor x(values, {7000, 16});
  struct Recorder : Callback {
    std::vector<std::int64_t> ended;
    void on_predict_batch_end(std::int64_t batch, const Logs&) override { ended.push_back(batch); }
  };
  Recorder recorder;
  const auto all = floats(model.predict(x, {.batch_size = 6000, .verbose = 0, .callbacks = {recorder}}));
  EXPECT_EQ(recorder.ended, (std::vector<std::int64_t>{0, 1}));  // batches are the user's
  const std::int64_t at_once = model.memory({.batch_size = 6000}).step("predict").batch_size;
  EXPECT_LT(at_once, 6000);
  EXPECT_GE(at_once, 32);
  EXPECT_EQ(floats(model.predict(x, {.batch_size = 7000, .verbose = 0})), all);
  EXPECT_EQ(floats(model.predict(x, {.batch_size = 32, .verbose = 0})), all);
  EXPECT_EQ(floats(model.predict(x.slice(5999, 6001), {.verbose = 0})),
            std::vector<float>(all.begin() + 5999 * 3, all.begin() + 6001 * 3));
  set_num_threads(0);
}

TEST(Predict, IntoTheCallersBuffer) {
  Sequential model = small_net();
  const Tensor x = images(21);
  Tensor out = Tensor::full({21, 5}, -1);
  model.predict_into(x, out, 8);
  EXPECT_EQ(floats(out), floats(model.predict(x, {.verbose = 0})));
  // A part of a larger array.
  std::vector<float> room(100, -1);
  Tensor window = Tensor::view(room.data() + 10, {2, 5});
  model.predict_into(x.slice(3, 5), window, 8);
  EXPECT_EQ(room[9], -1);
  EXPECT_EQ(room[20], -1);
  EXPECT_EQ(std::vector<float>(room.begin() + 10, room.begin() + 20), floats(out.slice(3, 5)));
}

#ifdef KILN_COUNT_ALLOCATIONS
TEST(Predict, IntoABufferAllocatesNothing) {
  Sequential model = small_net();
  const Tensor x = images(21);
  Tensor out = Tensor::zeros({21, 5});
  set_num_threads(1);
  model.predict_into(x, out, 8);
  const std::int64_t before = allocations;
  for (int i = 0; i < 10; i++) model.predict_into(x, out, 8);
  EXPECT_EQ(allocations, before);
  set_num_threads(0);
}
#endif

TEST(Predict, FromManyThreadsIsAsFromOne) {
  Sequential model = small_net();
  const Tensor x = images(40);
  const auto expected = floats(model.predict(x, {.batch_size = 16, .verbose = 0}));
  std::vector<std::vector<float>> results(6);
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&] {
      for (int i = 0; i < 5; i++) result = floats(model.predict(x, {.batch_size = 16, .verbose = 0}));
    });
  for (std::thread& t : threads) t.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

TEST(Predict, DuringTrainingSeesWholeSteps) {
  // Both weights are always equal, for they start equal and get equal gradients; a prediction between two
  // halves of a step would see them differ.
  const auto x = Input({1});
  const auto one = [&] { return Dense(1, {.use_bias = false, .kernel_initializer = "ones"})(x); };
  Model both({.inputs = {x}, .outputs = {Concatenate()({one(), one()})}});
  both.compile({.optimizer = optimizers::SGD({.learning_rate = 1e-3}), .loss = "mse"});
  std::int64_t seen = 0, different = 0;
  {
    const Background reading(1, [&] {
      const auto y = floats(both(Tensor({{1.f}})));
      seen++;
      different += y[0] != y[1];
    });
    both.fit(Tensor::full({2000, 1}, 1), Tensor::zeros({2000, 2}), {.batch_size = 1, .verbose = 0});
  }
  EXPECT_GT(seen, 0);
  EXPECT_EQ(different, 0);
}

// Large weights, so that a step takes a while: without a lock in common these tests fail.
TEST(Predict, OfAnotherModelWithTheSameLayersSeesWholeSteps) {
  const auto x = Input({256});
  const auto one = [&] { return Dense(256, {.use_bias = false, .kernel_initializer = "ones"})(x); };
  const SymbolicTensor both = Concatenate()({one(), one()});
  Model trained({.inputs = {x}, .outputs = {Dense(1, {.kernel_initializer = "ones"})(both)}});
  Model features({.inputs = {x}, .outputs = {both}});
  trained.compile({.optimizer = optimizers::SGD({.learning_rate = 1e-12}), .loss = "mse"});
  std::int64_t seen = 0, different = 0;
  const Tensor row = Tensor::full({1, 256}, 1);
  set_num_threads(1);  // two teams on two cores would wait for each other more than they'd work
  {
    const Background reading(1, [&] {
      const auto y = floats(features(row));
      seen++;
      different += !std::equal(y.begin(), y.begin() + 256, y.begin() + 256);
    });
    trained.fit(Tensor::full({2000, 256}, 1), Tensor::zeros({2000, 1}), {.batch_size = 1, .verbose = 0});
  }
  set_num_threads(0);
  EXPECT_GT(seen, 0);
  EXPECT_EQ(different, 0);
}

TEST(Predict, WeightsSetThroughALayerAreSeenWhole) {
  constexpr std::int64_t width = 1 << 16;
  Sequential model({Input({1}), Dense(width, {.use_bias = false, .name = "wide"})});
  Layer layer = model.get_layer("wide");
  const std::vector<Tensor> values[] = {{Tensor::zeros({1, width})}, {Tensor::full({1, width}, 1)}};
  layer.set_weights(values[0]);
  std::int64_t seen = 0, mixed = 0;
  {
    const Background reading(1, [&] {
      const auto y = floats(model(Tensor({{1.f}})));
      seen++;
      mixed += std::count(y.begin(), y.end(), y[0]) != width;
    });
    for (int i = 0; i < 2000; i++) layer.set_weights(values[i % 2]);
  }
  EXPECT_GT(seen, 0);
  EXPECT_EQ(mixed, 0);
}

// A model whose weights are transformed before they are used: that is done once as long as they stay the
// same.
TEST(Predict, ChangedWeightsAreSeenWhateverWasPrepared) {
  set_random_seed(2);
  const Layer shared = Dense(3);
  Sequential model(
      {Input({12, 12, 16}), Conv2D(16, 3, {.padding = "same"}), GlobalAveragePooling2D(), shared});
  Sequential other({Input({16}), shared});
  const Tensor x = Tensor::full({2, 12, 12, 16}, 0.5, DType::f32);
  const auto prediction = [&] { return floats(model.predict_on_batch(x)); };
  const auto expect_changed = [&](const char* what, const std::vector<float>& before) {
    const std::vector<float> after = prediction();
    EXPECT_NE(after, before) << what;
    EXPECT_EQ(after, prediction()) << what;
    Sequential fresh(
        {Input({12, 12, 16}), Conv2D(16, 3, {.padding = "same"}), GlobalAveragePooling2D(), Dense(3)});
    fresh.set_weights(model.get_weights());
    EXPECT_EQ(floats(fresh.predict_on_batch(x)), after) << what;
    return after;
  };
  auto last = prediction();
  EXPECT_EQ(prediction(), last);

  auto weights = model.get_weights();
  weights[0] = Tensor::full(weights[0].shape(), 0.25, DType::f32);
  model.set_weights(weights);
  last = expect_changed("set_weights of the model", last);
  model.get_layer(0).set_weights({Tensor::full(weights[0].shape(), 0.125, DType::f32), weights[1]});
  last = expect_changed("set_weights of a layer", last);
  model.compile({.optimizer = "sgd", .loss = "mse"});
  model.train_on_batch(x, Tensor::full({2, 3}, 1.0, DType::f32));
  last = expect_changed("a training step", last);
  other.compile({.optimizer = "sgd", .loss = "mse"});
  other.train_on_batch(Tensor::full({2, 16}, 1.0, DType::f32), Tensor::full({2, 3}, 1.0, DType::f32));
  expect_changed("a training step of another model with a shared layer", last);
}

// Predictions of many rows keep large weights in another form; steps that train don't, frozen layers or not.
TEST(Predict, LargeWeightsAreReadTheSameInManyRowsAsInFew) {
  Layer frozen = Dense(1024, {.activation = "relu"});
  Sequential model({Input({1024}), frozen, Dense(2)});
  const Tensor x = testing::hash_signed("rows", {40, 1024}, 1);
  const auto count_panels = [&](const char* mode) {
    int count = 0;
    for (const auto& program : model.programs())
      for (const runtime::Step& step : program->steps)
        count += program->name.find(mode) != std::string::npos &&
                 step.name.find("dot_panels") != std::string::npos;
    return count;
  };
  const auto expect_same = [&](const char* after) {
    const auto many = floats(model.predict(x, {.batch_size = 40, .verbose = 0}));
    EXPECT_EQ(floats(model.predict(x, {.batch_size = 40, .verbose = 0})), many) << after;
    EXPECT_EQ(floats(model.predict(x, {.batch_size = 8, .verbose = 0})), many) << after;
  };
  expect_same("building");
  EXPECT_EQ(count_panels("predict"), 1);
  std::vector<Tensor> weights = model.get_weights();
  weights[0] = testing::hash_signed("other weights", weights[0].shape(), 0.1);
  model.set_weights(weights);
  expect_same("set_weights");
  const Tensor y = Tensor::zeros({40, 2});
  for (const bool trainable : {true, false}) {
    frozen.set_trainable(trainable);
    model.compile({.optimizer = "sgd", .loss = "mse"});
    model.fit(x, y, {.batch_size = 40, .verbose = 0});
    expect_same(trainable ? "training" : "training the other layer");
    EXPECT_EQ(count_panels("train"), 0);
  }
  model.evaluate(x, y, {.batch_size = 40, .verbose = 0});
  EXPECT_EQ(count_panels("test"), 1);
}

// A custom layer may use a weight that no lock of this model counts: nothing that hangs on it may be kept.
TEST(Predict, ChangesOfAWeightFromElsewhereAreSeen) {
  struct Tied final : LayerImpl {
    explicit Tied(Variable w) : weight(std::move(w)) {}
    graph::Value call(Call& call, graph::Value x) override {
      return graph::matmul(x, graph::exp(call(weight)));
    }
    Variable weight;
  };
  const auto ones = [](const Shape& shape) { return Tensor::full(shape, 1.0, DType::f32); };
  Sequential owner({Input({8}), Dense(8)});
  Variable weight = owner.weights()[0];
  Sequential model({Input({8}), make_layer<Tied>(weight)});
  const Tensor x = ones({2, 8});
  const auto prediction = [&] { return floats(model.predict_on_batch(x)); };

  weight.assign(Tensor::zeros({8, 8}));
  EXPECT_EQ(prediction(), std::vector<float>(16, 8));
  EXPECT_EQ(prediction(), std::vector<float>(16, 8));
  owner.compile({.optimizer = "sgd", .loss = "mse"});
  owner.train_on_batch(x, ones({2, 8}));
  const auto trained = prediction();
  EXPECT_NE(trained, std::vector<float>(16, 8));
  weight.assign(Tensor::zeros({8, 8}));
  EXPECT_EQ(prediction(), std::vector<float>(16, 8));
}

// An evaluation only reads the weights, so what hangs on them alone is kept, too.
TEST(Predict, EvaluationSeesChangesOfWeights) {
  Sequential model({Input({16, 16, 8}), Conv2D(8, 3, {.padding = "same"}), GlobalAveragePooling2D()});
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const Tensor x = Tensor::full({4, 16, 16, 8}, 0.5, DType::f32), y = Tensor::zeros({4, 8});
  const auto expect_mean_square = [&](const char* after) {
    double sum = 0;
    for (float p : floats(model.predict_on_batch(x))) sum += p * p;
    for (int i = 0; i < 2; i++)
      EXPECT_NEAR(model.evaluate(x, y, {.batch_size = 4, .verbose = 0})["loss"], sum / 32, 1e-5 * sum)
          << after;
  };
  expect_mean_square("building");
  auto weights = model.get_weights();
  weights[0] = Tensor::full(weights[0].shape(), 0.25, DType::f32);
  model.set_weights(weights);
  expect_mean_square("set_weights");
  model.train_on_batch(x, y);
  expect_mean_square("a training step");
}

TEST(Predict, SeveralInputsAndOutputs) {
  const auto a = Input({2}), b = Input({2});
  Model model({.inputs = {a, b}, .outputs = {Add()({a, b}), Concatenate()({a, b})}});
  const Tensor x({{1.f, 2.f}, {3.f, 4.f}, {5.f, 6.f}}), y({{10.f, 20.f}, {30.f, 40.f}, {50.f, 60.f}});
  const std::vector<Tensor> out = model.predict_all({x, y}, {.batch_size = 2, .verbose = 0});
  EXPECT_EQ(floats(out[0]), (std::vector<float>{11, 22, 33, 44, 55, 66}));
  EXPECT_EQ(floats(out[1]), (std::vector<float>{1, 2, 10, 20, 3, 4, 30, 40, 5, 6, 50, 60}));
}

TEST(Predict, UnknownImageSizesAreCompiledPerSize) {
  const auto x = Input({None, None, 1});
  Model model({.inputs = {x}, .outputs = {GlobalAveragePooling2D()(x)}});
  EXPECT_EQ(model.outputs()[0].shape(), (Shape{None, 1}));
  EXPECT_EQ(floats(model.predict(Tensor::full({3, 4, 5, 1}, 2), {.verbose = 0})),
            (std::vector<float>{2, 2, 2}));
  EXPECT_EQ(floats(model.predict(Tensor::full({1, 7, 3, 1}, 4), {.verbose = 0})), (std::vector<float>{4}));
  Model same({.inputs = {x}, .outputs = {Conv2D(1, 3, {.padding = "same"})(x)}});
  EXPECT_EQ(same.outputs()[0].shape(), (Shape{None, None, None, 1}));
  EXPECT_EQ(same.predict(Tensor::zeros({2, 9, 4, 1}), {.verbose = 0}).shape(), (Shape{2, 9, 4, 1}));
}

}  // namespace
}  // namespace kiln
