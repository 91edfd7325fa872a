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

/// What a C program of examples/embedded prints on a device, with what `exporter` made for it; it ends well.
std::string printed_by(const char* program, const Device& device, const char* exporter) {
  const TemporaryFolder folder;
  const Outcome made = kiln::testing::run_command(fmt::format(
      "{}/{} --epochs 2 --train-samples 6000 --out {} --target {} {}", KILN_EXAMPLES_DIR, exporter,
      folder / "lenet", device.args.target, device.args.cpu.empty() ? "" : "--cpu " + device.args.cpu));
  EXPECT_EQ(made.status, 0) << made.output;
  if (made.status != 0) return "";
  const Outcome ran = kiln::testing::run_on(device, folder, "lenet.o",
                                            fmt::format("{}/{}", KILN_EMBEDDED_EXAMPLES_DIR, program), "");
  EXPECT_EQ(ran.status, 0) << ran.output;
  return ran.output;
}

class EmbeddedExample : public ::testing::TestWithParam<const char*> {};

TEST_P(EmbeddedExample, ClassifiesAsTheHostDoes) {
  const std::string printed = printed_by("classify.c", kiln::testing::device(GetParam()), "train_and_export");
  std::smatch match;
  ASSERT_TRUE(
      std::regex_search(printed, match, std::regex("right: ([0-9]+) of 200; as on the host: ([0-9]+)")))
      << printed;
  EXPECT_GE(std::stoi(match[1]), 120);
  EXPECT_EQ(match[2], "200");
}
INSTANTIATE_TEST_SUITE_P(Devices, EmbeddedExample,
                         ::testing::Values("x86_64", "aarch64", "riscv64", "cortex_m4", "cortex_m7",
                                           "cortex_m33"),
                         [](const auto& info) { return std::string(info.param); });

class TrainingExample : public ::testing::TestWithParam<const char*> {};

TEST_P(TrainingExample, LearnsAsTheHostDoes) {
  const std::string printed = printed_by("adapt.c", kiln::testing::device(GetParam()), "export_training");
  const std::regex line("training: ([0-9]+) of 200; on the host: ([0-9]+)");
  std::vector<int> right, on_the_host;
  for (std::sregex_iterator at(printed.begin(), printed.end(), line), end; at != end; ++at) {
    right.push_back(std::stoi((*at)[1]));
    on_the_host.push_back(std::stoi((*at)[2]));
  }
  ASSERT_EQ(right.size(), 2u) << printed;
  EXPECT_EQ(right[0], on_the_host[0]);
  EXPECT_NEAR(right[1], on_the_host[1], 1);  // sums in another order, 80 steps long
  EXPECT_GE(right[1], right[0] + 40) << printed;
}
INSTANTIATE_TEST_SUITE_P(Devices, TrainingExample,
                         ::testing::Values("x86_64", "aarch64", "riscv64", "cortex_m4"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace kiln
