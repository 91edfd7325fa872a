// The programs of examples/, run with fewer steps: they must end well and learn something.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <string>

namespace {

struct Outcome {
  int status;
  std::string output;
};

Outcome run(const std::string& command) {
  Outcome outcome{-1, ""};
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[4096];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) outcome.output.append(buffer, n);
  outcome.status = pclose(pipe);
  return outcome;
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
  static void expect_accuracy(const std::string& command, double at_least) {
    const Outcome outcome = run(example(command));
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    const std::size_t at = outcome.output.find("test accuracy ");
    ASSERT_NE(at, std::string::npos) << outcome.output;
    EXPECT_GE(std::stod(outcome.output.substr(at + 14)), at_least) << outcome.output;
  }
};

TEST_F(Examples, LinearRegressionFindsTheWeightsWithEachNorm) {
  const Outcome outcome = run(example("linear_regression"));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
}
TEST_F(Examples, SoftmaxRegressionLearns) {
  expect_accuracy("softmax_regression --epochs 2 --train-samples 5000", 0.68);
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
TEST_F(Examples, TwoBranchesLearn) {
  expect_accuracy("functional_two_branches --epochs 1 --train-samples 3000", 0.60);
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
