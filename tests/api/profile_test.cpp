// Where a step's time goes. No figure is checked that depends on the machine's load.
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/api/support.h"

namespace kiln {
namespace {

using namespace layers;

constexpr std::int64_t rows = 64, features = 100, units = 50;

struct ProfileTest : ::testing::Test {
  Sequential model{{Input({features}), Dense(units, {.activation = "relu"}), Dense(1)}};
  Tensor x = Tensor::full({rows, features}, 0.5), y = Tensor::full({rows, 1}, 1);
  void SetUp() override { model.compile({.optimizer = "adam", .loss = "mse", .metrics = {"mae"}}); }
};

double flops_of(const Profile& profile) {
  double flops = 0;
  for (const KernelProfile& k : profile.kernels) flops += k.flops;
  return flops;
}

TEST_F(ProfileTest, HasEachKernelOfAPrediction) {
  const Profile profile = model.profile(x, {.batch_size = 16, .repeats = 3});
  ASSERT_FALSE(profile.kernels.empty());
  EXPECT_GE(flops_of(profile), 2.0 * 16 * (features * units + units));
  EXPECT_GT(profile.flops_per_second, 1e8);
  EXPECT_GT(profile.bytes_per_second, 1e8);
  double seconds = 0;
  for (const KernelProfile& k : profile.kernels) {
    EXPECT_FALSE(k.name.empty());
    EXPECT_GT(k.bytes, 0);
    EXPECT_GT(k.limit_seconds, 0);
    EXPECT_GT(k.seconds, 0);
    seconds += k.seconds;
    EXPECT_NE(profile.to_string().find(k.name), std::string::npos);
  }
  EXPECT_DOUBLE_EQ(profile.seconds(), seconds);
}

TEST_F(ProfileTest, OfATrainingStepChangesNothing) {
  model.train_on_batch(x, y);
  const std::vector<Tensor> before = model.get_weights();
  const Profile profile = model.profile(x, y, {.repeats = 2});
  EXPECT_GE(flops_of(profile), 2 * 2.0 * 32 * features * units);  // forward and the weights' gradient
  const std::vector<Tensor> after = model.get_weights();
  for (std::size_t i = 0; i < before.size(); i++)
    EXPECT_EQ(before[i].to_vector<float>(), after[i].to_vector<float>());

  // A model that was not profiled goes on in the same way.
  set_random_seed(3);
  Sequential other{{Input({features}), Dense(units, {.activation = "relu"}), Dense(1)}};
  other.set_weights(before);
  other.compile({.optimizer = "sgd", .loss = "mse"});
  model.compile({.optimizer = "sgd", .loss = "mse"});
  model.profile(x, y, {.batch_size = rows, .repeats = 1});
  EXPECT_EQ(model.train_on_batch(x, y)["loss"], other.train_on_batch(x, y)["loss"]);
}

// A kernel's transform is computed once for all predictions, and in every step that trains.
TEST_F(ProfileTest, WhatIsPreparedIsNoPartOfAPrediction) {
  Sequential cnn({Input({16, 16, 8}), Conv2D(8, 3, {.padding = "same"}), GlobalAveragePooling2D()});
  cnn.get_layer(0).set_trainable(false);
  const Tensor images = Tensor::full({4, 16, 16, 8}, 0.5);
  const auto prepared = [](const Profile& profile) {
    double seconds = 0;
    for (const KernelProfile& k : profile.kernels) seconds += k.prepared ? k.seconds : 0;
    return seconds;
  };
  const auto all = [](const Profile& profile) {
    double seconds = 0;
    for (const KernelProfile& k : profile.kernels) seconds += k.seconds;
    return seconds;
  };
  const Profile prediction = cnn.profile(images, {.repeats = 3});
  EXPECT_GT(prepared(prediction), 0);
  EXPECT_DOUBLE_EQ(prediction.seconds(), all(prediction) - prepared(prediction));
  EXPECT_NE(prediction.to_string().find(" once "), std::string::npos) << prediction.to_string();

  Sequential trained({Input({16, 16, 8}), cnn, Dense(1)});
  trained.compile({.optimizer = "sgd", .loss = "mse"});
  const Profile step = trained.profile(images, Tensor::zeros({4, 1}), {.repeats = 3});
  EXPECT_EQ(prepared(step), 0);
  EXPECT_DOUBLE_EQ(step.seconds(), all(step));
}

TEST_F(ProfileTest, TraceIsWhatChromeReads) {
  const Profile profile = model.profile(x, y, {.repeats = 1});
  const auto path = std::filesystem::temp_directory_path() / "kiln_profile_test.json";
  profile.save_trace(path.string());
  std::ifstream file(path);
  const nlohmann::json trace = nlohmann::json::parse(file);
  std::filesystem::remove(path);
  ASSERT_EQ(trace["traceEvents"].size(), profile.kernels.size());
  double end = 0;
  for (std::size_t i = 0; i < profile.kernels.size(); i++) {
    const nlohmann::json& event = trace["traceEvents"][i];
    EXPECT_EQ(event["name"], profile.kernels[i].name);
    EXPECT_EQ(event["ph"], "X");
    EXPECT_DOUBLE_EQ(event["ts"].get<double>(), end);
    end += event["dur"].get<double>();
  }
  EXPECT_THROW(profile.save_trace("/nonexistent/trace.json"), FileError);
}

TEST_F(ProfileTest, MistakesAreErrors) {
  Sequential fresh{{Input({features}), Dense(1)}};
  EXPECT_THROW(fresh.profile(x, y), StateError);  // not compiled
  EXPECT_THROW(model.profile(x, y, {.batch_size = 0}), ValueError);
  EXPECT_THROW(model.profile(x, {.repeats = 0}), ValueError);
  EXPECT_THROW(model.profile(Tensor::zeros({0, features})), ValueError);
  EXPECT_THROW(model.profile(Tensor::zeros({3, 7})), ShapeError);
}

}  // namespace
}  // namespace kiln
