// The programs of examples/embedded, built and run as its README says.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <regex>

#include "tests/embedded/device.h"

namespace kiln {
namespace {

using kiln::testing::Device;
using kiln::testing::Outcome;
using kiln::testing::TemporaryFolder;

class EmbeddedExample : public ::testing::TestWithParam<const char*> {};

TEST_P(EmbeddedExample, ClassifiesAsTheHostDoes) {
  const Device& device = kiln::testing::device(GetParam());
  const TemporaryFolder folder;
  const Outcome made = kiln::testing::run_command(fmt::format(
      "{}/train_and_export --epochs 2 --train-samples 6000 --out {} --target {} {}", KILN_EXAMPLES_DIR,
      folder / "lenet", device.args.target, device.args.cpu.empty() ? "" : "--cpu " + device.args.cpu));
  ASSERT_EQ(made.status, 0) << made.output;
  const Outcome ran = kiln::testing::run_on(device, folder, "lenet.o",
                                            std::string(KILN_EMBEDDED_EXAMPLES_DIR) + "/classify.c", "");
  EXPECT_EQ(ran.status, 0) << ran.output;
  std::smatch match;
  ASSERT_TRUE(
      std::regex_search(ran.output, match, std::regex("right: ([0-9]+) of 200; as on the host: ([0-9]+)")))
      << ran.output;
  EXPECT_GE(std::stoi(match[1]), 120);
  EXPECT_EQ(match[2], "200");
}
INSTANTIATE_TEST_SUITE_P(Devices, EmbeddedExample,
                         ::testing::Values("x86_64", "aarch64", "riscv64", "cortex_m4", "cortex_m7",
                                           "cortex_m33"),
                         [](const auto& info) { return std::string(info.param); });

class TrainingExample : public ::testing::TestWithParam<const char*> {};

TEST_P(TrainingExample, LearnsAsTheHostDoes) {
  const Device& device = kiln::testing::device(GetParam());
  const TemporaryFolder folder;
  const Outcome made = kiln::testing::run_command(fmt::format(
      "{}/export_training --epochs 2 --train-samples 6000 --out {} --target {} {}", KILN_EXAMPLES_DIR,
      folder / "lenet", device.args.target, device.args.cpu.empty() ? "" : "--cpu " + device.args.cpu));
  ASSERT_EQ(made.status, 0) << made.output;
  const Outcome ran = kiln::testing::run_on(device, folder, "lenet.o",
                                            std::string(KILN_EMBEDDED_EXAMPLES_DIR) + "/adapt.c", "");
  EXPECT_EQ(ran.status, 0) << ran.output;
  const std::regex line("training: ([0-9]+) of 200; on the host: ([0-9]+)");
  std::vector<int> right, on_the_host;
  for (std::sregex_iterator at(ran.output.begin(), ran.output.end(), line), end; at != end; ++at) {
    right.push_back(std::stoi((*at)[1]));
    on_the_host.push_back(std::stoi((*at)[2]));
  }
  ASSERT_EQ(right.size(), 2u) << ran.output;
  EXPECT_EQ(right[0], on_the_host[0]);
  EXPECT_NEAR(right[1], on_the_host[1], 1);  // sums in another order, 80 steps long
  EXPECT_GE(right[1], right[0] + 40) << ran.output;
}
INSTANTIATE_TEST_SUITE_P(Devices, TrainingExample,
                         ::testing::Values("x86_64", "aarch64", "riscv64", "cortex_m4"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace kiln
