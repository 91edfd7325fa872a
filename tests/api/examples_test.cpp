// The programs of examples/, run with fewer steps: they must end well and learn something.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/api/image_files.h"
#include "tests/support/files.h"
#include "tests/support/process.h"

namespace {

using kiln::testing::Outcome;

Outcome run(const std::string& command) {
  return kiln::testing::run_command(command);
}

std::string example(const std::string& name) {
  return std::string(KILN_EXAMPLES_DIR) + "/" + name;
}

class Examples : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(example("lenet"))) GTEST_SKIP() << "the examples were not built";
  }

  /// Runs an example on few images and checks its last line, "test accuracy 0.1234".
  static void expect_accuracy(const std::string& command, double at_least,
                              const std::string& line = "test accuracy ") {
    const Outcome outcome = run(example(command));
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    const std::size_t at = outcome.output.find(line);
    ASSERT_NE(at, std::string::npos) << outcome.output;
    EXPECT_GE(std::stod(outcome.output.substr(at + line.size())), at_least) << outcome.output;
  }
};

TEST_F(Examples, LinearRegressionFindsTheWeightsWithEachNorm) {
  const Outcome outcome = run(example("linear_regression"));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
}
TEST_F(Examples, SoftmaxRegressionLearns) {
  expect_accuracy("softmax_regression --epochs 2 --train-samples 5000", 0.68);
}
TEST_F(Examples, TrainingLoopLearns) {
  expect_accuracy("training_loop --epochs 2 --train-samples 6000", 0.70);
}
TEST_F(Examples, MlpLearns) {
  expect_accuracy("mlp --epochs 2 --train-samples 4000", 0.70);
}
TEST_F(Examples, LenetLearns) {
  const auto file = std::filesystem::temp_directory_path() / "kiln_example_lenet_sigmoid.safetensors";
  expect_accuracy("lenet --epochs 4 --train-samples 6000 --save " + file.string(), 0.55);
  EXPECT_TRUE(std::filesystem::remove(file));
}
TEST_F(Examples, LenetWithReluLearns) {
  const auto file = std::filesystem::temp_directory_path() / "kiln_example_lenet.safetensors";
  expect_accuracy("lenet --activation relu --epochs 2 --train-samples 4000 --save " + file.string(), 0.60);
  EXPECT_TRUE(std::filesystem::remove(file));
}
// A second process reads what the first compiled, and trains to the same weights.
TEST_F(Examples, LenetTrainsTheSameFromTheDiskCache) {
  const kiln::testing::TemporaryFolder folder;
  const std::string cache = folder / "cache";
  const auto train = [&](const std::string& file) {
    const Outcome outcome =
        run("KILN_CACHE=" + cache + " " + example("lenet --epochs 1 --train-samples 640 --save ") + file);
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    return kiln::testing::read_file(file);
  };
  // What is compiled anew is written anew, as another file.
  const auto inodes = [&] {
    std::vector<ino_t> result;
    for (const auto& entry : std::filesystem::directory_iterator(cache)) {
      struct stat info{};
      EXPECT_EQ(stat(entry.path().c_str(), &info), 0);
      result.push_back(info.st_ino);
    }
    std::sort(result.begin(), result.end());
    return result;
  };
  const std::string first = train(folder / "first.safetensors");
  const std::vector<ino_t> written = inodes();
  EXPECT_GE(written.size(), 2U) << "a program that trains and one that evaluates";
  const std::string second = train(folder / "second.safetensors");
  EXPECT_EQ(inodes(), written);
  EXPECT_FALSE(first.empty());
  EXPECT_EQ(first, second);
}
TEST_F(Examples, TwoBranchesLearn) {
  expect_accuracy("functional_two_branches --epochs 1 --train-samples 3000", 0.60);
}
// The large ones run for a few steps, on enlarged images that are smaller than the books'.
TEST_F(Examples, LargeNetworksTrainForSomeSteps) {
  const std::string few = " --epochs 1 --train-samples 32 --test-samples 64 --batch-size 16";
  for (const char* name :
       {"alexnet", "vgg --size 64", "nin --size 96", "googlenet --size 64", "resnet --size 64"})
    expect_accuracy(name + few, 0);
}
TEST_F(Examples, VisionTransformerLearns) {
  expect_accuracy("vision_transformer --epochs 2 --train-samples 3000 --test-samples 1000", 0.55);
}
TEST_F(Examples, AutoencoderLearns) {
  const Outcome outcome = run(example("autoencoder --epochs 5 --train-samples 4000 --test-samples 500"));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  const std::string last = "mean squared error ";
  const std::size_t at = outcome.output.find(last);
  ASSERT_NE(at, std::string::npos) << outcome.output;
  EXPECT_LT(std::stod(outcome.output.substr(at + last.size())), 0.05) << outcome.output;
}
TEST_F(Examples, TabularLearns) {
  expect_accuracy("tabular --epochs 10", 0.85);
}
TEST_F(Examples, ImageFolderLearns) {
  const kiln::testing::TemporaryFolder folder;
  for (const auto& [name, brightness] : {std::pair("dark", 20), std::pair("bright", 200)}) {
    std::filesystem::create_directory(folder / name);
    for (int i = 0; i < 20; i++)
      kiln::testing::write_png(folder / name + "/" + std::to_string(i) + ".png",
                               kiln::Tensor::full({10, 12, 3}, brightness + i, kiln::DType::u8));
  }
  expect_accuracy("image_folder --size 16 --epochs 8 --batch-size 8 --folder " + folder.path(), 0.9,
                  "validation accuracy ");
  EXPECT_NE(run(example("image_folder")).status, 0);
}
TEST_F(Examples, TourLearnsSavesAndRestores) {
  const auto file = std::filesystem::temp_directory_path() / "kiln_example_tour.safetensors";
  const Outcome outcome = run(example("tour --epochs 15 --save " + file.string()));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_TRUE(std::filesystem::remove(file));
  const std::string last = "mean absolute error ";
  const std::size_t at = outcome.output.find(last);
  ASSERT_NE(at, std::string::npos) << outcome.output;
  EXPECT_LT(std::stod(outcome.output.substr(at + last.size())), 0.03) << outcome.output;
}

}  // namespace
