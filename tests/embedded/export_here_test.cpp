// Exported models on this machine: in this process, and in programs that link them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <sstream>

#include <kiln/kiln.h>

#include "tests/embedded/device.h"
#include "tests/embedded/loaded.h"
#include "tests/embedded/models.h"
#include "tests/support/bits.h"
#include "tests/support/errors.h"
#include "tests/support/process.h"

extern "C" void omp_set_num_threads(int);  // libomp's, which Kiln's users link

namespace kiln {
namespace {

using namespace kiln::layers;
using namespace kiln::testing;

// ---- this machine -----------------------------------------------------------------------------------------

TEST(ExportedHere, GivesTheBitsOfPredict) {
  for (const Case& c : cases) {
    for (const std::int64_t rows : {1, 3}) {
      const TemporaryFolder folder;
      const Model model = c.make();
      model.export_library(folder / "net", {.batch_size = rows});
      const std::string header = read_file(folder / "net.h");
      const Loaded library(folder, "net");
      auto* predict = library.find<std::int32_t(const void*, float*, void*)>("net_predict");
      ASSERT_NE(predict, nullptr);
      const Tensor x = random_input(model, rows),
                   expected = model.predict(x, {.batch_size = rows, .verbose = 0});
      Tensor y(expected.shape(), DType::f32);
      std::vector<std::byte> scratch(static_cast<std::size_t>(macro(header, "NET_SCRATCH_BYTES")) + 8);
      EXPECT_EQ(predict(x.raw(), y.data<float>(), scratch.data()), 0);
      EXPECT_TRUE(same_bits(y, expected)) << c.name << " of " << rows;
    }
  }
}

// A team of any size gives the same bits, and needs libomp alone; scratch memory is for the largest one.
TEST(ExportedHere, WithATeamGivesTheSameBits) {
  constexpr std::int64_t most = 3;
  for (const Case& c : cases) {
    const TemporaryFolder folder;
    const Model model = c.make();
    const std::int64_t rows = c.make == wide ? 1 : 4;
    model.export_library(folder / "net", {.batch_size = rows, .threads = "openmp", .max_threads = most});
    const std::string header = read_file(folder / "net.h");
    const Loaded library(folder, "net");
    auto* predict = library.find<std::int32_t(const void*, float*, void*)>("net_predict");
    const Tensor x = random_input(model, rows),
                 expected = model.predict(x, {.batch_size = rows, .verbose = 0});
    for (const int threads : {1, 2, 3, 5}) {
      omp_set_num_threads(threads);
      Tensor y(expected.shape(), DType::f32);
      constexpr std::size_t guard = 64;
      const auto bytes = static_cast<std::size_t>(macro(header, "NET_SCRATCH_BYTES"));
      std::vector<std::byte> scratch(bytes + guard, std::byte{0xa5});
      EXPECT_EQ(predict(x.raw(), y.data<float>(), scratch.data()), 0);
      EXPECT_TRUE(same_bits(y, expected)) << c.name << " on " << threads;
      for (std::size_t i = 0; i < guard; i++) ASSERT_EQ(scratch[bytes + i], std::byte{0xa5}) << c.name;
    }
    omp_set_num_threads(2);
    std::istringstream needed(needed_symbols(folder / "net.o"));
    for (std::string symbol; std::getline(needed, symbol);)
      EXPECT_TRUE(symbol.starts_with("__kmpc_") || symbol.starts_with("omp_")) << symbol;
  }
}

// Addresses need the alignment of their elements, no more; less is refused instead of done wrongly.
TEST(ExportedHere, TakesAnyFloatsAddress) {
  const TemporaryFolder folder;
  const Model model = mlp();
  model.export_library(folder / "net", {});
  const Loaded library(folder, "net");
  auto* predict = library.find<std::int32_t(const void*, void*, void*)>("net_predict");
  const Tensor x = random_input(model, 1), expected = model(x);
  alignas(64) static std::byte in[1024], out[256], scratch[4096];
  for (const int shift : {0, 4, 8, 20, 60}) {
    std::memcpy(in + shift, x.raw(), x.nbytes());
    ASSERT_EQ(predict(in + shift, out + shift, scratch + 8), 0);
    EXPECT_EQ(std::memcmp(out + shift, expected.raw(), expected.nbytes()), 0) << shift;
  }
  EXPECT_EQ(predict(in + 2, out, scratch), -1);
  EXPECT_EQ(predict(in, out + 1, scratch), -1);
  EXPECT_EQ(predict(in, out, scratch + 4), -1);
  EXPECT_EQ(predict(nullptr, out, scratch), -1);
  EXPECT_EQ(predict(in, nullptr, scratch), -1);
  EXPECT_EQ(predict(in, out, nullptr), -1);
}

TEST(ExportedHere, SaysWhichCheckOfTheDataFailed) {
  const TemporaryFolder folder;
  set_random_seed(1);
  const Sequential model(
      {Input({4}, {.dtype = DType::i32}), Embedding(7, 3, {.name = "words"}), Flatten(), Dense(2)});
  model.export_library(folder / "net", {});
  EXPECT_NE(read_file(folder / "net.h").find(" 1: layer \"words\" (Embedding): number is outside [0, 7)"),
            std::string::npos)
      << read_file(folder / "net.h");
  const Loaded library(folder, "net");
  auto* predict = library.find<std::int32_t(const std::int32_t*, float*, void*)>("net_predict");
  alignas(8) std::byte scratch[4096];
  const std::int32_t good[] = {0, 6, 2, 1}, bad[] = {0, 7, 2, 1};
  float y[2];
  EXPECT_EQ(predict(good, y, scratch), 0);
  EXPECT_EQ(predict(bad, y, scratch), 1);
}

TEST(ExportedHere, SeveralModelsAndOneTwiceInOneProgram) {
  const TemporaryFolder folder;
  const Model model = lenet();
  model.export_library(folder / "first", {});
  model.export_library(folder / "second", {});
  mlp().export_library(folder / "small", {});
  write_file(folder / "main.c", R"(
#include "first.h"
#include "second.h"
#include "small.h"
#include "first.h"
int main(void) {
  static double scratch[1 << 17];
  float y[10];
  return first_selftest(y, scratch) | second_selftest(y, scratch) | small_selftest(y, scratch);
}
)");
  const auto built =
      run_command(fmt::format("cd {} && clang-19 -std=c99 -pedantic -Wall -Wextra -Werror main.c first.o "
                              "second.o small.o -o main && ./main && "
                              "cp main.c main.cpp && clang-19 -x c++ -std=c++98 -pedantic -Wno-long-long "
                              "-Wno-c99-extensions -Wall -Werror "
                              "-fsyntax-only main.cpp",
                              folder.path()));
  EXPECT_EQ(built.status, 0) << built.output;
}

// ---- what a program computes ------------------------------------------------------------------------------

TEST(ExportedHere, SeveralInputsAndOutputsSomeOfThemNotComputed) {
  const TemporaryFolder folder;
  const auto a = Input({3}), b = Input({2}, {.dtype = DType::i32});
  const auto sum = Dense(3)(a);
  const Model model({.inputs = {a, b}, .outputs = {sum, a, b, sum}});
  model.export_library(folder / "net", {.batch_size = 2});
  const Loaded library(folder, "net");
  auto* predict = library.find<std::int32_t(const float*, const std::int32_t*, float*, float*, std::int32_t*,
                                            float*, void*)>("net_predict");
  const Tensor x({{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}}), n({{7, 8}, {9, 10}});
  const std::vector<Tensor> expected = model.predict_all({x, n}, {.verbose = 0});
  std::vector<Tensor> got;
  for (const Tensor& t : expected) got.emplace_back(t.shape(), t.dtype());
  alignas(8) std::byte scratch[4096];
  EXPECT_EQ(predict(x.data<float>(), n.data<std::int32_t>(), got[0].data<float>(), got[1].data<float>(),
                    got[2].data<std::int32_t>(), got[3].data<float>(), scratch),
            0);
  for (std::size_t i = 0; i < got.size(); i++) EXPECT_TRUE(same_bits(got[i], expected[i])) << i;
}

TEST(ExportedHere, TheSelfTestAllowsWhatRoundingMakesAndNoMore) {
  const TemporaryFolder folder;
  set_random_seed(1);
  // Large sums that cancel out, by another order on the device than here.
  const Sequential model({Input({784}, {.dtype = DType::u8}), Dense(512, {.activation = "relu"}),
                          Dense(512, {.activation = "relu"}), Dense(512, {.activation = "relu"}),
                          Dense(10, {.name = "scores"})});
  Device device = testing::device("x86_64");
  device.args.batch_size = 16;
  EXPECT_EQ(selftest_on(device, model, folder), 0);
  // NaN is right where it is expected.
  const Sequential logarithm(
      {Input({3}), Lambda([](graph::Value v) { return graph::log(v - 2.0); }, {.name = "scores"})});
  EXPECT_EQ(selftest_on(testing::device("x86_64"), logarithm, folder), 0);
}

TEST(ExportedHere, TestInputsAreThoseGivenOrOnesThatTheModelTakes) {
  const TemporaryFolder folder;
  const Sequential lookup({Input({2}, {.dtype = DType::i64}),
                           IntegerLookup({.num_oov_indices = 0, .vocabulary = {500, 600, 700}}),
                           Embedding(3, 2), Flatten()});
  EXPECT_NE(message_of<ValueError>([&] {
              lookup.export_library(folder / "net", {});
            }).find("give .test_inputs, 1 rows of them, or .selftest = false"),
            std::string::npos);
  lookup.export_library(folder / "net", {.test_inputs = Tensor({{500, 700}})});
  lookup.export_library(folder / "bare", {.selftest = false});
  EXPECT_EQ(read_file(folder / "bare.h").find("selftest"), std::string::npos);
  EXPECT_NE(message_of<ShapeError>([&] {
              lookup.export_library(folder / "net", {.test_inputs = Tensor({{500, 700}, {500, 700}})});
            }).find("test input 0 has shape (2, 2), but a batch has (1, 2)"),
            std::string::npos);
}

}  // namespace
}  // namespace kiln
