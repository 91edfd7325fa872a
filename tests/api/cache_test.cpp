// Models whose programs come from the folder KILN_CACHE.
#include <cstdlib>
#include <filesystem>
#include <map>

#include "tests/api/support.h"
#include "tests/support/files.h"

namespace kiln {
namespace {

using namespace layers;

struct CachedModelTest : ::testing::Test {
  testing::TemporaryFolder folder;
  void SetUp() override { setenv("KILN_CACHE", (folder / "cache").c_str(), 1); }
  void TearDown() override { unsetenv("KILN_CACHE"); }
};

struct Trained {
  std::map<std::string, std::vector<double>> history;
  std::vector<std::vector<float>> weights;
  std::vector<float> predictions;
  int programs = 0, from_cache = 0;
};

/// A model with all kinds of state: slots, a random counter, metrics. 40 rows: the last batch is a short one.
Trained train(const std::string& optimizer = "adam") {
  set_random_seed(5);
  Tensor x = Tensor::zeros({40, 6}), y = Tensor::zeros({40}, DType::i32);
  for (std::int64_t i = 0; i < x.size(); i++) x.data<float>()[i] = static_cast<float>(i % 11) / 11;
  for (std::int64_t i = 0; i < y.size(); i++) y.data<std::int32_t>()[i] = static_cast<std::int32_t>(i % 3);
  Sequential model({Input({6}), Dense(8, {.activation = "relu", .name = "hidden"}),
                    Dropout(0.5, {.name = "drop"}), Dense(3, {.name = "logits"})},
                   {.name = "cached"});
  model.compile({.optimizer = optimizer,
                 .loss = losses::SparseCategoricalCrossentropy({.from_logits = true}),
                 .metrics = {"accuracy"}});
  Trained result;
  result.history = model.fit(x, y, {.batch_size = 16, .epochs = 2, .verbose = 0}).history;
  result.predictions = testing::floats(model.predict(x, {.verbose = 0}));
  for (const Tensor& w : model.get_weights()) result.weights.push_back(testing::floats(w));
  for (const auto& program : model.programs()) {
    result.programs++;
    result.from_cache += program->from_cache ? 1 : 0;
  }
  return result;
}

TEST_F(CachedModelTest, TrainsToTheSameBits) {
  const Trained first = train(), second = train();
  EXPECT_EQ(first.from_cache, 0);
  EXPECT_GE(first.programs, 3);
  EXPECT_EQ(second.programs, first.programs);
  EXPECT_EQ(second.from_cache, second.programs);
  EXPECT_EQ(first.weights, second.weights);
  EXPECT_EQ(first.predictions, second.predictions);
  EXPECT_EQ(first.history, second.history);
}

TEST_F(CachedModelTest, AnotherOptimizerIsAnotherStep) {
  const Trained adam = train("adam"), rmsprop = train("rmsprop");
  EXPECT_LT(rmsprop.from_cache, rmsprop.programs) << "the training steps differ";
  EXPECT_GT(rmsprop.from_cache, 0) << "a prediction doesn't depend on the optimizer";
  EXPECT_NE(adam.weights, rmsprop.weights);
}

TEST_F(CachedModelTest, AFolderThatOthersMayWriteIsAnErrorOfTheModel) {
  std::filesystem::create_directory(folder / "cache");
  std::filesystem::permissions(folder / "cache", std::filesystem::perms::all);
  EXPECT_ERROR(FileError, "may be written by others", train());
}

}  // namespace
}  // namespace kiln
