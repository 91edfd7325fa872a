// Exported models, run on the machines that they were made for, or on qemu's of that kind.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <regex>
#include <sstream>

#include <kiln/kiln.h>

#include "tests/embedded/device.h"
#include "tests/embedded/loaded.h"
#include "tests/support/bits.h"
#include "tests/support/errors.h"
#include "tests/support/process.h"

extern "C" void omp_set_num_threads(int);  // libomp's, which Kiln's users link

namespace kiln {
namespace {

using namespace kiln::layers;
using kiln::testing::Device;
using kiln::testing::Loaded;
using kiln::testing::macro;
using kiln::testing::message_of;
using kiln::testing::read_file;
using kiln::testing::run_command;
using kiln::testing::TemporaryFolder;

Model mlp() {
  set_random_seed(1);
  return Sequential({Input({64}), Dense(32, {.activation = "relu"}),
                     Dense(10, {.activation = "softmax", .name = "scores"})});
}

Model lenet() {
  set_random_seed(1);
  return Sequential({Input({28, 28, 1}), Conv2D(6, 5, {.padding = "same", .activation = "relu"}),
                     MaxPooling2D(2), Conv2D(16, 5, {.activation = "relu"}), MaxPooling2D(2), Flatten(),
                     Dense(120, {.activation = "relu"}), Dense(84, {.activation = "relu"}),
                     Dense(10, {.name = "scores"})});
}

// A small depthwise-separable network, as microcontrollers run them.
Model depthwise() {
  set_random_seed(1);
  std::vector<Layer> layers = {Input({32, 32, 3}), Rescaling(1.0 / 255),
                               Conv2D(8, 3, {.strides = 2, .padding = "same"}), BatchNormalization(), ReLU()};
  for (const std::int64_t filters : {16, 24}) {
    layers.push_back(
        DepthwiseConv2D(3, {.strides = filters == 24 ? 2 : 1, .padding = "same", .use_bias = false}));
    layers.push_back(BatchNormalization());
    layers.push_back(ReLU({.max_value = 6}));
    layers.push_back(Conv2D(filters, 1, {.activation = "sigmoid"}));
  }
  layers.push_back(GlobalAveragePooling2D());
  layers.push_back(Dense(10, {.activation = "softmax", .name = "scores"}));
  return Sequential(layers);
}

// A quarter of VGG-11's channels.
Model vgg() {
  set_random_seed(1);
  std::vector<Layer> layers = {Input({32, 32, 1})};
  for (const auto& [convolutions, filters] : {std::pair(1, 16), {1, 32}, {2, 64}, {2, 128}, {2, 128}}) {
    for (int i = 0; i < convolutions; i++)
      layers.push_back(Conv2D(filters, 3, {.padding = "same", .activation = "relu"}));
    layers.push_back(MaxPooling2D(2));
  }
  for (const Layer& layer :
       {Flatten(), Dense(256, {.activation = "relu"}), Dropout(0.5), Dense(10, {.name = "scores"})})
    layers.push_back(layer);
  return Sequential(layers);
}

// One of GoogLeNet's blocks: four branches, concatenated.
Model inception() {
  set_random_seed(1);
  const auto conv = [](std::int64_t filters, std::int64_t kernel) {
    return Conv2D(filters, kernel, {.padding = "same", .activation = "relu"});
  };
  const auto x = Input({14, 14, 48});
  const auto joined = Concatenate()({conv(24, 1)(x), conv(32, 3)(conv(16, 1)(x)), conv(8, 5)(conv(4, 1)(x)),
                                     conv(8, 1)(MaxPooling2D(3, {.strides = 1, .padding = "same"})(x))});
  return Model({.inputs = {x}, .outputs = {Dense(10, {.name = "scores"})(GlobalAveragePooling2D()(joined))}});
}

// Words by number: gathers, and a check of the numbers.
Model embedding() {
  set_random_seed(1);
  return Sequential({Input({12}, {.dtype = DType::i32}), Embedding(7, 5),
                     Conv1D(8, 3, {.activation = "tanh"}), GlobalMaxPooling1D(),
                     Dense(3, {.activation = "softmax", .name = "scores"})});
}

struct Case {
  const char* name;
  Model (*make)();
  bool is_small;  ///< a microcontroller has room for it
};
constexpr Case cases[] = {{"mlp", mlp, true},
                          {"lenet", lenet, true},
                          {"depthwise", depthwise, true},
                          {"embedding", embedding, true},
                          {"vgg", vgg, false},
                          {"inception", inception, false}};

// ---- every device -----------------------------------------------------------------------------------------

// A model on a device that has room for it, and that runs here.
struct Place {
  const Device* device;
  const Case* model;
};
std::vector<Place> places() {
  std::vector<Place> all;
  for (std::size_t i = 0; i < kiln::testing::device_count; i++) {
    const Device& device = kiln::testing::devices[i];
    if (!kiln::testing::runs_here(device)) continue;
    for (const Case& c : cases)
      if (c.is_small || *device.ram == 0) all.push_back({&device, &c});
  }
  return all;
}

class Exported : public ::testing::TestWithParam<Place> {};

TEST_P(Exported, TestsItself) {
  const TemporaryFolder folder;
  EXPECT_EQ(kiln::testing::selftest_on(*GetParam().device, GetParam().model->make(), folder), 0);
}
INSTANTIATE_TEST_SUITE_P(Devices, Exported, ::testing::ValuesIn(places()), [](const auto& info) {
  return fmt::format("{}_{}", info.param.device->name, info.param.model->name);
});

// The test that comes with a model is one that can fail: of a weight that was changed it says so.
TEST(ExportedSelftest, NoticesAChangedWeight) {
  for (const char* name : {"x86_64", "cortex_m4"}) {
    const Device& device = kiln::testing::device(name);
    const TemporaryFolder folder;
    const Model model = mlp();
    ASSERT_EQ(kiln::testing::selftest_on(device, model, folder), 0);
    std::string object = read_file(folder / "net.o");
    const Tensor kernel = model.get_weights()[0];
    const std::string bytes(static_cast<const char*>(kernel.raw()), kernel.nbytes());
    const std::size_t at = object.find(bytes);
    ASSERT_NE(at, std::string::npos);
    object[at + 3] ^= 0x40;  // in the exponent
    kiln::testing::write_file(folder / "net.o", object);
    EXPECT_EQ(kiln::testing::run_selftest(device, folder), 10 + 1);
  }
}

// ---- this machine -----------------------------------------------------------------------------------------

Tensor random_input(const Model& model, std::int64_t rows) {
  Shape shape = model.input().shape();
  shape[0] = rows;
  const bool whole = !is_float(model.input().dtype());
  return initializers::RandomUniform({.minval = whole ? 0.0 : -1.0, .maxval = whole ? 7.0 : 1.0, .seed = 5})(
             shape, DType::f32)
      .astype(model.input().dtype());
}

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
      EXPECT_TRUE(kiln::testing::same_bits(y, expected)) << c.name << " of " << rows;
    }
  }
}

// A team of any size gives the same bits, and needs libomp alone; scratch memory is for the largest one.
TEST(ExportedHere, WithATeamGivesTheSameBits) {
  constexpr std::int64_t rows = 4, most = 3;
  for (const Case& c : cases) {
    const TemporaryFolder folder;
    const Model model = c.make();
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
      EXPECT_TRUE(kiln::testing::same_bits(y, expected)) << c.name << " on " << threads;
      for (std::size_t i = 0; i < guard; i++) ASSERT_EQ(scratch[bytes + i], std::byte{0xa5}) << c.name;
    }
    omp_set_num_threads(2);
    std::istringstream needed(
        run_command("llvm-nm-19 --undefined-only --just-symbol-name " + (folder / "net.o")).output);
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
  kiln::testing::write_file(folder / "main.c", R"(
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

// Case 27 of the users' faults: apache/tvm#17194. (Names that C doesn't take are errors: ExportMistakes.)
TEST(ExportedCases, TwoModelsOfOneKindLinkAndKeepTheirWeights) {
  const TemporaryFolder folder;
  for (const auto& [name, factor] : {std::pair("a", 2.f), {"b", 3.f}}) {
    Sequential model({Input({1}), Dense(1, {.use_bias = false})});
    model.set_weights({Tensor({{factor}})});
    model.export_library(folder / name, {});
  }
  kiln::testing::write_file(folder / "main.c", R"(
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
    Device device = kiln::testing::device(name);
    device.args.test_inputs = Tensor::full({1, 1, 1, 1}, 2);
    const TemporaryFolder folder;
    EXPECT_EQ(kiln::testing::selftest_on(device, model, folder), 0) << name;
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
    EXPECT_EQ(kiln::testing::selftest_on(kiln::testing::device(name), model, folder), 0) << name;
  }
}

// ---- the header -------------------------------------------------------------------------------------------

// Any C compiler takes the object: position-independent as its own code is, and the header in C++, too.
TEST(ExportedHeader, AndItsObjectSuitOrdinaryPrograms) {
  for (const char* target : {"", "x86_64-linux-gnu"}) {
    const TemporaryFolder folder;
    lenet().export_library(folder / "net", {.target = target});
    kiln::testing::write_file(folder / "main.c", R"(
#include "net.h"
int main(void) {
  static double scratch[(NET_SCRATCH_BYTES + 7) / 8];
  float scores[NET_SCORES_ELEMENTS];
  return net_selftest(scores, scratch);
}
)");
    const auto built = run_command(fmt::format(
        "cd {} && c++ -x c++ -fPIE -c main.c -o main.o && c++ -pie main.o net.o -o main && ./main && "
        "c++ -shared net.o -o libnet.so",
        folder.path()));
    EXPECT_EQ(built.status, 0) << built.output;
  }
}

TEST(ExportedHeader, HasNamesThatCTakes) {
  const TemporaryFolder folder;
  const auto x = Input({3}, {.name = "float"}), y = Input({4}, {.name = "class"}),
             z = Input({2}, {.name = "x y"});
  const Layer ends = Lambda(
      [](graph::Value v) {
        const graph::Value largest = graph::reduce_max(v, {1});
        graph::check(graph::compare(largest, graph::scalar(largest, 9), "lt"), largest,
                     "must be */ below {value}\nnine");
        return v * 2.0;
      },
      {.name = "Class"});
  const Model model(
      {.inputs = {x, y, z}, .outputs = {Dense(5, {.name = "double"})(x), ends(Flatten()(y)), ReLU()(z)}});
  model.export_library(folder / "odd", {});
  kiln::testing::write_file(folder / "main.c", R"(
#include "odd.h"
#include "odd.h"
int main(void) {
  static double scratch[(ODD_SCRATCH_BYTES + 7) / 8];
  float a[5], b[4], c[2];
  float x[ODD_FLOAT_1_ELEMENTS] = {0}, y[ODD_CLASS_1_ELEMENTS] = {0}, z[ODD_X_Y_ELEMENTS] = {-1, 3};
  if (odd_selftest(a, b, c, scratch)) return 1;
  if (odd_predict(x, y, z, a, b, c, scratch)) return 2;
  return c[0] == 0 && c[1] == 3 ? 0 : 3;
}
)");
  const std::string header = read_file(folder / "odd.h");
  const auto built = run_command(fmt::format(
      "cd {} && clang-19 -std=c99 -pedantic -Wall -Wextra -Werror main.c odd.o -o main && ./main && "
      "clang-19 -x c++ -Wall -Werror -fsyntax-only main.c",
      folder.path()));
  EXPECT_EQ(built.status, 0) << built.output << header;
}

TEST(ExportedHeader, HangsOnTheModelAlone) {
  const TemporaryFolder folder;
  lenet().export_library(folder / "net", {});
  const std::string header = read_file(folder / "net.h"), object = read_file(folder / "net.o");
  const Model again = lenet();
  again.export_library(folder / "net", {});
  EXPECT_EQ(read_file(folder / "net.h"), header);
  EXPECT_EQ(read_file(folder / "net.o"), object);
  std::vector<Tensor> weights = again.get_weights();
  weights[1].data<float>()[0] = 5;
  again.get_layer(0);
  Model(again).set_weights(weights);
  again.export_library(folder / "net", {});
  EXPECT_NE(read_file(folder / "net.h"), header);  // its digest
}

TEST(ExportedHeader, CountsMultiplyAdds) {
  const TemporaryFolder folder;
  lenet().export_library(folder / "net", {});
  constexpr int adds = 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10;
  EXPECT_NE(read_file(folder / "net.h").find(fmt::format("Multiply-adds  {}\n", adds)), std::string::npos)
      << read_file(folder / "net.h");
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
  for (std::size_t i = 0; i < got.size(); i++)
    EXPECT_TRUE(kiln::testing::same_bits(got[i], expected[i])) << i;
}

TEST(ExportedHere, TheSelfTestAllowsWhatRoundingMakesAndNoMore) {
  const TemporaryFolder folder;
  set_random_seed(1);
  // Large sums that cancel out, by another order on the device than here.
  const Sequential model({Input({784}, {.dtype = DType::u8}), Dense(512, {.activation = "relu"}),
                          Dense(512, {.activation = "relu"}), Dense(512, {.activation = "relu"}),
                          Dense(10, {.name = "scores"})});
  Device device = kiln::testing::device("x86_64");
  device.args.batch_size = 16;
  EXPECT_EQ(kiln::testing::selftest_on(device, model, folder), 0);
  // NaN is right where it is expected.
  const Sequential logarithm(
      {Input({3}), Lambda([](graph::Value v) { return graph::log(v - 2.0); }, {.name = "scores"})});
  EXPECT_EQ(kiln::testing::selftest_on(kiln::testing::device("x86_64"), logarithm, folder), 0);
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

// ---- weights ----------------------------------------------------------------------------------------------

TEST(ExportedWeights, CanBeAFileOfTheirOwn) {
  const TemporaryFolder folder;
  const Model model = lenet();
  model.export_library(folder / "net", {.weights = "separate"});
  const std::string header = read_file(folder / "net.h"), file = read_file(folder / "net.weights");
  EXPECT_EQ(macro(header, "NET_WEIGHT_BYTES"), static_cast<std::int64_t>(file.size()));
  const auto alignment = static_cast<std::size_t>(macro(header, "NET_WEIGHT_ALIGN"));
  EXPECT_LT(read_file(folder / "net.o").size(), 40'000u);
  const Loaded library(folder, "net");
  auto* predict = library.find<std::int32_t(const float*, float*, const void*, void*)>("net_predict");
  auto* selftest = library.find<std::int32_t(float*, const void*, void*)>("net_selftest");
  const Tensor x = random_input(model, 1), expected = model(x);
  Tensor y(expected.shape(), DType::f32);
  std::vector<std::byte> scratch(static_cast<std::size_t>(macro(header, "NET_SCRATCH_BYTES")) + 8);
  auto* memory =
      static_cast<std::byte*>(std::aligned_alloc(alignment, (file.size() / alignment + 2) * alignment));
  std::memcpy(memory, file.data(), file.size());
  EXPECT_EQ(predict(x.data<float>(), y.data<float>(), memory, scratch.data()), 0);
  EXPECT_TRUE(kiln::testing::same_bits(y, expected));
  EXPECT_EQ(selftest(y.data<float>(), memory, scratch.data()), 0);
  EXPECT_EQ(predict(x.data<float>(), y.data<float>(), memory + 4, scratch.data()), -1);
  for (const std::size_t at : {std::size_t{1003}, file.size() - 1}) {  // whether a result shows it or not
    memory[at] ^= std::byte{1};
    const std::int32_t status = selftest(y.data<float>(), memory, scratch.data());
    EXPECT_EQ(status, -2) << at;
    memory[at] ^= std::byte{1};
  }
  std::free(memory);
}

TEST(ExportedWeights, MayBeNoneAtAll) {
  const TemporaryFolder folder;
  const Sequential model({Input({8, 8, 3}), MaxPooling2D(2), Flatten(), Softmax()});
  model.export_library(folder / "net", {.weights = "separate"});
  EXPECT_EQ(read_file(folder / "net.weights"), "");
  EXPECT_NE(read_file(folder / "net.h").find("float *output, const void *weights, void *scratch"),
            std::string::npos)
      << read_file(folder / "net.h");
}

TEST(ExportedWeights, InTwoBytesEachAreWidenedExactly) {
  for (const char* storage : {"float16", "bfloat16"})
    for (const char* name :
         {"x86_64", "x86_64_avx2", "x86_64_avx512", "aarch64", "riscv64", "riscv64_v", "cortex_m4"})
      for (const Case& c : {cases[1], cases[2], cases[3]}) {
        Device device = kiln::testing::device(name);
        if (!kiln::testing::runs_here(device)) continue;
        device.args.weight_storage = storage;
        const TemporaryFolder folder;
        EXPECT_EQ(kiln::testing::selftest_on(device, c.make(), folder), 0) << storage << name << c.name;
      }
}

TEST(ExportedWeights, InTwoBytesEachTakeHalfTheRoom) {
  const TemporaryFolder folder;
  Sequential model({Input({40}), Dense(30, {.activation = "relu"}), Dense(7)});
  const Tensor x = random_input(model, 1), whole = model(x);
  // Weights of every size that float16 has, subnormal ones too.
  std::vector<Tensor> weights = model.get_weights();
  float* w = weights[0].data<float>();
  for (std::int64_t i = 0; i < weights[0].size(); i++) w[i] *= std::ldexp(1.f, -static_cast<int>(i % 26));
  model.set_weights(weights);
  model.export_library(folder / "wide", {});
  for (const char* storage : {"float16", "bfloat16"}) {
    model.export_library(folder / "net", {.weight_storage = storage});
    EXPECT_EQ(macro(read_file(folder / "net.h"), "NET_WEIGHT_BYTES") * 2,
              macro(read_file(folder / "wide.h"), "WIDE_WEIGHT_BYTES"));
    // The same model with weights rounded by hand gives the same bits.
    std::vector<Tensor> rounded = weights;
    for (Tensor& t : rounded) {
      t = t.clone();
      for (float& v : std::span(t.data<float>(), static_cast<std::size_t>(t.size()))) {
        const bool is_half = std::string(storage) == "float16";
        const int bits = is_half ? 11 : 8, least = is_half ? -24 : -140;
        int exponent;
        std::frexp(v, &exponent);
        const int unit = std::max(exponent - bits, least);
        v = static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(static_cast<double>(v), -unit)), unit));
      }
    }
    Model by_hand = clone_model(model);
    by_hand.set_weights(rounded);
    const Tensor expected = by_hand(x);
    const Loaded library(folder, "net");
    auto* predict = library.find<std::int32_t(const float*, float*, void*)>("net_predict");
    Tensor y(expected.shape(), DType::f32);
    alignas(8) std::byte scratch[4096];
    EXPECT_EQ(predict(x.data<float>(), y.data<float>(), scratch), 0);
    EXPECT_TRUE(kiln::testing::same_bits(y, expected)) << storage;
  }
  w[3] = 70'000;
  model.set_weights(weights);
  EXPECT_NE(
      message_of<ValueError>([&] { model.export_library(folder / "net", {.weight_storage = "float16"}); })
          .find("weight_storage is float16, but a weight, in the form that kernels read, is 70000, and "
                "float16 ends at 65504; take bfloat16"),
      std::string::npos);
  model.export_library(folder / "net", {.weight_storage = "bfloat16"});
}

// ---- what is in an object ---------------------------------------------------------------------------------

std::string nm(const std::string& options, const std::string& object) {
  return run_command("llvm-nm-19 " + options + " " + object).output;
}

TEST(ExportedObject, NeedsNothingAndShowsTwoFunctions) {
  for (std::size_t i = 0; i < kiln::testing::device_count; i++) {
    const TemporaryFolder folder;
    lenet().export_library(folder / "net", kiln::testing::devices[i].args);
    std::string needed = nm("--undefined-only --just-symbol-name", folder / "net.o");
    // WebAssembly's memory and stack are the linker's.
    for (const std::string own : {"__linear_memory\n", "__stack_pointer\n"})
      if (const std::size_t at = needed.find(own); at != std::string::npos) needed.erase(at, own.size());
    EXPECT_EQ(needed, "") << kiln::testing::devices[i].name;
    const std::string shown = nm("--extern-only --defined-only --just-symbol-name", folder / "net.o");
    EXPECT_EQ(shown, "net_predict\nnet_selftest\n") << kiln::testing::devices[i].name;
  }
}

std::string assembly(const Model& model, ExportArgs args) {
  const TemporaryFolder folder;
  args.format = "assembly";
  model.export_library(folder / "net", args);
  return read_file(folder / "net.s");
}

TEST(ExportedObject, HasNoInstructionsBeyondItsTarget) {
  const auto uses = [](const std::string& text, const char* pattern) {
    return std::regex_search(text, std::regex(pattern));
  };
  for (const Model& model : {lenet(), depthwise(), vgg()}) {
    const std::string least = assembly(model, {.target = "x86_64-linux-gnu"});
    EXPECT_TRUE(uses(least, "%xmm"));
    EXPECT_FALSE(uses(least, "%[yz]mm|\\n\\tv[a-z]|\\n\\tround|%k[0-7]"));
    const std::string avx2 = assembly(model, {.target = "x86_64-linux-gnu", .cpu = "x86-64-v3"});
    EXPECT_TRUE(uses(avx2, "%ymm"));
    EXPECT_FALSE(uses(avx2, "%zmm|%k[0-7]"));
    const std::string avx512 = assembly(model, {.target = "x86_64-linux-gnu", .cpu = "x86-64-v4"});
    EXPECT_TRUE(uses(avx512, "%zmm"));
    const std::string riscv = assembly(model, {.target = "riscv64-linux-gnu"});
    EXPECT_TRUE(uses(riscv, "\\n\\tfmadd\\.s"));
    EXPECT_FALSE(uses(riscv, "\\n\\tvse|\\n\\tvsetvl"));
    const std::string m4 = assembly(model, {.target = "thumbv7em-none-eabihf", .cpu = "cortex-m4"});
    EXPECT_TRUE(uses(m4, "\\n\\tvfma\\.f32"));
    EXPECT_FALSE(uses(m4, "\\.f64|\\n\\tvrint"));
  }
}

TEST(ExportedObject, OfLeNetIsSmall) {
  const auto bytes = [](const ExportArgs& args, const char* what) {
    const TemporaryFolder folder;
    lenet().export_library(folder / "net", args);
    const std::string header = read_file(folder / "net.h");
    std::smatch match;
    EXPECT_TRUE(std::regex_search(header, match, std::regex(what)));
    return std::stoll(match[1]);
  };
  const char* code = "Code bytes +([0-9]+)";
  const ExportArgs m4{.target = "thumbv7em-none-eabihf", .cpu = "cortex-m4"};
  const ExportArgs avx2{.target = "x86_64-linux-gnu", .cpu = "x86-64-v3"};
  ExportArgs avx2_size = avx2;
  avx2_size.optimize = "size";
  EXPECT_LE(bytes(m4, code), 4096);
  EXPECT_LE(bytes(avx2, code), 16384);
  EXPECT_LE(bytes(avx2_size, code), 4096);
  // No more than 5 % above what must be there while the first convolution runs: its image between zeros, and
  // its pooled results.
  constexpr int alive = 4 * (32 * 32 + 14 * 14 * 6);
  // Rows of any number of windows are pooled in small pieces.
  for (const std::int64_t size : {24, 26, 28}) {
    const TemporaryFolder folder;
    Sequential({Input({size, size, 4}), Conv2D(16, 5, {.padding = "same"}), MaxPooling2D(2)})
        .export_library(folder / "net", m4);
    const std::int64_t arrays = 4 * (size + 4) * (size + 4) * 4;
    EXPECT_LE(macro(read_file(folder / "net.h"), "NET_SCRATCH_BYTES"), arrays + 1024) << size;
  }
  for (const ExportArgs& args : {m4, avx2_size})
    EXPECT_LE(bytes(args, "SCRATCH_BYTES ([0-9]+)"), alive * 105 / 100);
  EXPECT_EQ(bytes(m4, "WEIGHT_BYTES ([0-9]+)"), 4 * 61706);
}

// ---- mistakes ---------------------------------------------------------------------------------------------

TEST(ExportMistakes, SayHowToMendThem) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& name, const ExportArgs& args) {
    return message_of<ValueError>([&] { mlp().export_library(folder / name, args); });
  };
  const auto expect = [](const std::string& message, const std::string& text) {
    EXPECT_NE(message.find(text), std::string::npos) << message;
  };
  expect(refused("2nd", {}),
         "export_library: \"2nd\" can't begin the names of C functions; give letters, digits and _");
  expect(refused("net", {.target = "sparc-sun-solaris"}), "Kiln makes no code for sparc-sun-solaris");
  expect(refused("net", {.target = "thumbv7em-none-eabihf", .cpu = "cortex-m99"}), "cpu \"cortex-m99\"");
  expect(refused("net", {.target = "thumbv7em-none-eabihf", .cpu = "cortex-m3"}),
         "no instructions for float32");
  expect(refused("net", {.features = "+avx2"}), "features are added to a target's; give the target, too");
  expect(refused("net", {.format = "elf"}), "export_library: format \"elf\" is not known");
  expect(refused("net", {.batch_size = 0}), "batch_size is 0; it must be at least 1");
  expect(refused("net", {.threads = "many"}), "export_library: threads \"many\" is not known");
  expect(refused("net", {.threads = "openmp", .max_threads = 1}), "max_threads is 1; give 2 to 1024");
  expect(refused("net", {.target = "thumbv7em-none-eabihf", .threads = "openmp"}),
         "threads are for Linux on CPUs of 64 bits");
  EXPECT_TRUE(folder.names().empty());

  expect(message_of<StateError>([&] { Sequential({Dense(2)}).export_library(folder / "net"); }),
         "isn't built; give it an Input");
  expect(message_of<ShapeError>(
             [&] { Sequential({Input({None, 4}), Dense(2)}).export_library(folder / "net"); }),
         "has an input of shape (None, None, 4), but exported code is for known sizes");
  expect(message_of<FileError>([&] { mlp().export_library(folder / "missing/net"); }), "there is no folder");
  {
    const TemporaryFolder full;  // nothing is replaced where not all can be
    kiln::testing::write_file(full / "net.o", "old");
    std::filesystem::create_directory(full / "net.h");
    expect(message_of<FileError>([&] { mlp().export_library(full / "net"); }), "net.h is a folder");
    EXPECT_EQ(read_file(full / "net.o"), "old");
  }
  expect(refused("", {}), "export_library: the path ends without a name");
  expect(refused("net.o", {}), "give letters, digits and _, and no ending");
  expect(message_of<ValueError>([&] {
           Model diverged = mlp();
           std::vector<Tensor> weights = diverged.get_weights();
           weights[1].data<float>()[3] = NAN;
           diverged.set_weights(weights);
           diverged.export_library(folder / "net");
         }),
         "the weight \"dense/bias\" has NaN among its elements");
  expect(refused("net", {.optimize = "memory"}), "export_library: optimize \"memory\" is not known");
  set_random_seed(1);
  const Sequential doubles({Input({4}, {.dtype = DType::f64}), Dense(2, {.dtype = DType::f64})});
  expect(message_of<ValueError>([&] {
           doubles.export_library(folder / "net", {.target = "thumbv7em-none-eabihf", .cpu = "cortex-m4"});
         }),
         "the model's code would call ");
  expect(
      message_of<ValueError>([&] {
        doubles.export_library(
            folder / "net",
            {.target = "thumbv7em-none-eabihf", .cpu = "cortex-m4", .format = "assembly", .selftest = false});
      }),
      "the model's code would call ");
  const Sequential large({Input({1 << 20}), ReLU()});
  expect(message_of<ValueError>([&] {
           large.export_library(folder / "net",
                                {.target = "riscv32-unknown-elf", .batch_size = 600, .selftest = false});
         }),
         "x0 takes 2516582400 bytes, but riscv32-unknown-unknown-elf has addresses of 32 bits");
  EXPECT_TRUE(folder.names().empty());
}

}  // namespace
}  // namespace kiln
