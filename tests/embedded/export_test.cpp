// Exported models, run on the machines that they were made for, or on qemu's of that kind.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <kiln/kiln.h>

#include "tests/embedded/device.h"
#include "tests/embedded/loaded.h"
#include "tests/embedded/models.h"
#include "tests/support/bits.h"
#include "tests/support/errors.h"
#include "tests/support/process.h"

namespace kiln {
namespace {

using namespace kiln::layers;
using namespace kiln::testing;

// ---- every device -----------------------------------------------------------------------------------------

// A model on a device that has room for it, and that runs here.
struct Place {
  const Device* device;
  const Case* model;
};
std::vector<Place> places() {
  std::vector<Place> all;
  for (std::size_t i = 0; i < device_count; i++) {
    const Device& device = devices[i];
    if (!runs_here(device)) continue;
    for (const Case& c : cases)
      if (c.is_small || *device.ram == 0) all.push_back({&device, &c});
  }
  return all;
}

class Exported : public ::testing::TestWithParam<Place> {};

TEST_P(Exported, TestsItself) {
  const TemporaryFolder folder;
  EXPECT_EQ(selftest_on(*GetParam().device, GetParam().model->make(), folder), 0);
}
INSTANTIATE_TEST_SUITE_P(Devices, Exported, ::testing::ValuesIn(places()), [](const auto& info) {
  return fmt::format("{}_{}", info.param.device->name, info.param.model->name);
});

// The test that comes with a model is one that can fail: of a weight that was changed it says so.
TEST(ExportedSelftest, NoticesAChangedWeight) {
  for (const char* name : {"x86_64", "cortex_m4"}) {
    const Device& device = testing::device(name);
    const TemporaryFolder folder;
    const Model model = mlp();
    ASSERT_EQ(selftest_on(device, model, folder), 0);
    std::string object = read_file(folder / "net.o");
    const Tensor kernel = model.get_weights()[0];
    const std::string bytes(static_cast<const char*>(kernel.raw()), kernel.nbytes());
    const std::size_t at = object.find(bytes);
    ASSERT_NE(at, std::string::npos);
    object[at + 3] ^= 0x40;  // in the exponent
    write_file(folder / "net.o", object);
    EXPECT_EQ(run_selftest(device, folder), 10 + 1);
  }
}

// Case 27 of the users' faults: apache/tvm#17194. (Names that C doesn't take are errors: ExportMistakes.)
TEST(ExportedCases, TwoModelsOfOneKindLinkAndKeepTheirWeights) {
  const TemporaryFolder folder;
  for (const auto& [name, factor] : {std::pair("a", 2.f), {"b", 3.f}}) {
    Sequential model({Input({1}), Dense(1, {.use_bias = false})});
    model.set_weights({Tensor({{factor}})});
    model.export_library(folder / name, {});
  }
  write_file(folder / "main.c", R"(
#include "a.h"
#include "b.h"
#include "a.h"
#include "b.h"
int main(void) {
  double scratch[A_SCRATCH_BYTES + B_SCRATCH_BYTES];
  const float one = 1;
  float a, b;
  if (a_predict(&one, &a, scratch) || b_predict(&one, &b, scratch)) return 1;
  return a == 2 && b == 3 ? 0 : 2;
}
)");
  const auto built = run_command(
      fmt::format("cd {} && clang-19 -std=c99 -Wall -Wextra -Werror main.c a.o b.o -o c && ./c && "
                  "clang-19 -x c++ -std=c++20 -Wall -Wextra -Werror -c main.c -o main.o && "
                  "clang-19 main.o a.o b.o -o cpp && ./cpp",
                  folder.path()));
  EXPECT_EQ(built.status, 0) << built.output;
}

// tensorflow/tensorflow#37910: more channels than an array of fixed size has room for. The self test also
// watches the stack.
TEST(ExportedCases, AThousandChannels) {
  constexpr std::int64_t channels = 1001;
  Sequential model({Input({1, 1, 1}), Conv2D(channels, 1, {.use_bias = false, .name = "scores"})});
  Tensor kernel({1, 1, 1, channels}, DType::f32);
  for (std::int64_t k = 0; k < channels; k++) kernel.data<float>()[k] = static_cast<float>(k);
  model.set_weights({kernel});
  for (const char* name : {"x86_64", "cortex_m4"}) {
    Device device = testing::device(name);
    device.args.test_inputs = Tensor::full({1, 1, 1, 1}, 2);
    const TemporaryFolder folder;
    EXPECT_EQ(selftest_on(device, model, folder), 0) << name;
    EXPECT_LE(macro(read_file(folder / "net.h"), "NET_STACK_BYTES"), 1024);
  }
  const TemporaryFolder folder;
  model.export_library(folder / "net", {});
  const Loaded library(folder, "net");
  auto* predict = library.find<std::int32_t(const float*, float*, void*)>("net_predict");
  const float x = 2;
  std::vector<float> y(channels);
  alignas(8) std::byte scratch[4096];
  ASSERT_EQ(predict(&x, y.data(), scratch), 0);
  for (std::int64_t k = 0; k < channels; k++)
    ASSERT_EQ(y[static_cast<std::size_t>(k)], 2.f * static_cast<float>(k));
}

// Kernels of so many arrays get their addresses on the stack, which counts, too.
TEST(ExportedCases, ManyBranchesAndTheirStack) {
  const auto x = Input({8});
  std::vector<SymbolicTensor> branches;
  for (int i = 0; i < 40; i++) branches.push_back(Dense(8, {.activation = "tanh"})(x));
  const Model model({.inputs = {x}, .outputs = {Dense(3, {.name = "scores"})(Add()(branches))}});
  for (const char* name : {"x86_64", "aarch64", "cortex_m4"}) {
    const TemporaryFolder folder;
    EXPECT_EQ(selftest_on(testing::device(name), model, folder), 0) << name;
  }
}

}  // namespace
}  // namespace kiln
