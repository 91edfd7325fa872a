// What is in the files that an export writes, and what it refuses to write.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <regex>

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
  EXPECT_TRUE(same_bits(y, expected));
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
        Device device = testing::device(name);
        if (!runs_here(device)) continue;
        device.args.weight_storage = storage;
        const TemporaryFolder folder;
        EXPECT_EQ(selftest_on(device, c.make(), folder), 0) << storage << name << c.name;
        if (!std::string_view(name).starts_with("riscv64_v") || std::string_view(storage) == "float16")
          continue;
        device.args.optimize = "size";
        EXPECT_EQ(selftest_on(device, c.make(), folder), 0) << "short code" << c.name;
      }
}

class ExportedWeightsOf : public ::testing::TestWithParam<std::int64_t> {};
/// Rows of 30 end between vectors; of 64, any vectors come in pairs.
INSTANTIATE_TEST_SUITE_P(Columns, ExportedWeightsOf, ::testing::Values(30, 64));

TEST_P(ExportedWeightsOf, InTwoBytesEachTakeHalfTheRoom) {
  const TemporaryFolder folder;
  Sequential model({Input({40}), Dense(GetParam(), {.activation = "relu"}), Dense(7)});
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
    EXPECT_TRUE(same_bits(y, expected)) << storage;

    model.export_library(folder / "apart", {.weights = "separate", .weight_storage = storage});
    const std::string file = read_file(folder / "apart.weights");
    alignas(64) std::byte weights[16384];
    ASSERT_LE(file.size(), sizeof weights);
    std::memcpy(weights, file.data(), file.size());
    const Loaded apart(folder, "apart");
    auto* with_weights = apart.find<std::int32_t(const float*, float*, const void*, void*)>("apart_predict");
    y = Tensor(expected.shape(), DType::f32);
    EXPECT_EQ(with_weights(x.data<float>(), y.data<float>(), weights, scratch), 0);
    EXPECT_TRUE(same_bits(y, expected)) << storage;
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

TEST(ExportedObject, NeedsNothingAndShowsTwoFunctions) {
  for (std::size_t i = 0; i < device_count; i++) {
    const TemporaryFolder folder;
    lenet().export_library(folder / "net", devices[i].args);
    EXPECT_EQ(needed_symbols(folder / "net.o"), "") << devices[i].name;
    const std::string shown = symbols("--extern-only --defined-only", folder / "net.o");
    EXPECT_EQ(shown, "net_predict\nnet_selftest\n") << devices[i].name;
  }
}

// The code as text; `suffix` is that of the format's files.
std::string text_of(const Model& model, ExportArgs args, const char* format, const char* suffix) {
  const TemporaryFolder folder;
  args.format = format;
  model.export_library(folder / "net", args);
  return read_file(folder / (std::string("net") + suffix));
}
std::string assembly(const Model& model, const ExportArgs& args) {
  return text_of(model, args, "assembly", ".s");
}

TEST(ExportedWeights, OfWholeVectorsAreReadTwoByTwo) {
  const Sequential model({Input({40}), Dense(64, {.activation = "relu"}), Dense(32)});
  for (const int lanes : {8, 16}) {
    const ExportArgs args{.target = "x86_64-linux-gnu",
                          .cpu = lanes == 8 ? "x86-64-v3" : "x86-64-v4",
                          .weight_storage = "bfloat16",
                          .selftest = false};
    const std::string text = text_of(model, args, "llvm_ir", ".ll");
    const auto count = [&](const std::string& pattern) {
      const std::regex line(fmt::format(fmt::runtime(pattern), lanes));
      return std::distance(std::sregex_iterator(text.begin(), text.end(), line), std::sregex_iterator());
    };
    const auto pairs = count("load <{} x i32>");
    EXPECT_GT(pairs, 0);
    EXPECT_EQ(count("shl <{} x i32>"), pairs) << text;
    EXPECT_EQ(count("and <{} x i32>"), pairs);
    EXPECT_EQ(count("load <{} x i16>"), 0);
  }
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

/// A number in the header of LeNet, exported so.
std::int64_t of_lenet(const ExportArgs& args, const char* what, const char* activation = "relu") {
  const TemporaryFolder folder;
  lenet_with(activation).export_library(folder / "net", args);
  const std::string header = read_file(folder / "net.h");
  std::smatch match;
  EXPECT_TRUE(std::regex_search(header, match, std::regex(what + std::string(" +([0-9]+)"))));
  return std::stoll(match[1]);
}

TEST(ExportedObject, OfLeNetIsSmall) {
  const ExportArgs m4{.target = "thumbv7em-none-eabihf", .cpu = "cortex-m4"};
  ExportArgs avx2{.target = "x86_64-linux-gnu", .cpu = "x86-64-v3"};
  EXPECT_LE(of_lenet(m4, "Code bytes"), 4096);
  EXPECT_LE(of_lenet(avx2, "Code bytes"), 16384);
  EXPECT_LE(of_lenet(avx2, "Code bytes", "sigmoid"), 16384);
  avx2.optimize = "size";
  EXPECT_LE(of_lenet(avx2, "Code bytes"), 4096);
  EXPECT_EQ(of_lenet(m4, "WEIGHT_BYTES"), 4 * 61706);
}

// No more than 5 % above what must be there while the first convolution runs: its image between zeros, and
// its pooled results.
TEST(ExportedObject, OfLeNetTakesHardlyMoreMemoryThanItMust) {
  constexpr int alive = 4 * (32 * 32 + 14 * 14 * 6);
  for (const ExportArgs& args : {
           ExportArgs{.target = "x86_64-linux-gnu"},
           ExportArgs{.target = "x86_64-linux-gnu", .cpu = "x86-64-v3"},
           ExportArgs{.target = "x86_64-linux-gnu", .cpu = "x86-64-v4"},
           ExportArgs{.target = "x86_64-linux-gnu", .cpu = "x86-64-v3", .optimize = "size"},
           ExportArgs{.target = "aarch64-linux-gnu"},
           ExportArgs{.target = "riscv64-linux-gnu"},
           ExportArgs{.target = "riscv64-linux-gnu", .features = "+v"},
           ExportArgs{.target = "riscv32-unknown-elf"},
           ExportArgs{.target = "wasm32-unknown-unknown"},
           ExportArgs{.target = "thumbv7em-none-eabihf", .cpu = "cortex-m4"},
           ExportArgs{.target = "thumbv7em-none-eabihf", .cpu = "cortex-m7"},
           ExportArgs{.target = "thumbv8m.main-none-eabihf", .cpu = "cortex-m33"},
       })
    for (const char* activation : {"relu", "sigmoid"})
      EXPECT_LE(of_lenet(args, "SCRATCH_BYTES", activation), alive * 105 / 100)
          << args.target << " " << args.cpu << " " << args.features << " " << args.optimize << " "
          << activation;
}

TEST(ExportedObject, PoolsWithoutScratchMemory) {
  for (const std::int64_t window : {2, 3})
    for (const std::int64_t size : {24, 26}) {
      const TemporaryFolder folder;
      Sequential({Input({size, size, 4}), Conv2D(16, 5, {.padding = "same"}), MaxPooling2D(window)})
          .export_library(folder / "net", {.target = "thumbv7em-none-eabihf", .cpu = "cortex-m4"});
      EXPECT_EQ(macro(read_file(folder / "net.h"), "NET_SCRATCH_BYTES"), 4 * (size + 4) * (size + 4) * 4);
    }
}

TEST(ExportedObject, HasWeightsInLinesOfTheCacheWhereThereIsOne) {
  const auto aligned = [](const ExportArgs& args) {
    const std::string ir = text_of(mlp(), args, "llvm_ir", ".ll");
    const std::size_t begin = ir.find("@net_weights_0 = internal constant"), end = ir.find('\n', begin);
    EXPECT_NE(begin, std::string::npos);
    return ir.substr(0, end).ends_with(", align 64");
  };
  EXPECT_TRUE(aligned({.target = "x86_64-linux-gnu"}));
  EXPECT_TRUE(aligned({.target = "x86_64-linux-gnu", .optimize = "size"}));
  EXPECT_FALSE(aligned({.target = "thumbv7em-none-eabihf", .cpu = "cortex-m4"}));
}

TEST(ExportedObject, HasOneKernelForLayersOfOneKind) {
  const auto count = [](const std::string& text, const std::string& what) {
    const std::regex pattern(what);
    return std::distance(std::sregex_iterator(text.begin(), text.end(), pattern), {});
  };
  const auto ir = [](const ExportArgs& args) { return text_of(tower(), args, "llvm_ir", ".ll"); };
  const char *kernel = "define internal void @net_kernel", *call = "call void @net_kernel";
  for (const ExportArgs& args : {ExportArgs{.target = "thumbv7em-none-eabihf", .cpu = "cortex-m4"},
                                 ExportArgs{.target = "x86_64-linux-gnu", .optimize = "size"}}) {
    const std::string shared = ir(args);
    EXPECT_LE(count(shared, kernel), 16);
    EXPECT_EQ(count(shared, call), 20);
  }
  // Fast code knows its numbers.
  const std::string fast = ir({.target = "x86_64-linux-gnu"});
  EXPECT_EQ(count(fast, kernel), count(fast, call));
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
         "export_library: \"2nd\" can't begin the names of C functions; end the path with letters, digits");
  expect(refused("net", {.target = "sparc-sun-solaris"}), "Kiln makes no code for sparc-sun-solaris");
  for (const char* slip : {"thumbv7em-non-eabihf", "thumbv7em-none-eabihff", "x86_64-linus-gnu"})
    expect(refused("net", {.target = slip}), "is no part of a target that LLVM knows");
  expect(refused("net", {.target = "cortex-m4"}),
         "a CPU's name, such as cortex-m4, is given beside its target");
  expect(refused("net", {.target = "thumbv7em-none-eabihf", .cpu = "cortex-m99"}),
         "export_library: cpu \"cortex-m99\"");
  expect(refused("net", {.target = "thumbv7em-none-eabihf", .cpu = "cortex-a53"}),
         "cpu \"cortex-a53\" isn't one of thumbv7em");
  expect(refused("net", {.target = "thumbv7em-none-eabihf", .cpu = "cortex-m3"}),
         "no instructions for float32");
  expect(refused("net", {.features = "+avx2"}), "features are added to a target's; give the target, too");
  expect(refused("net", {.format = "elf"}), "export_library: format \"elf\" is not known");
  expect(refused("net", {.batch_size = 0}), "batch_size is 0; it must be at least 1");
  expect(refused("net", {.threads = "many"}), "export_library: threads \"many\" is not known");
  expect(refused("net", {.threads = "openmp", .max_threads = 1}), "max_threads is 1; give 2 to 1024");
  expect(refused("net", {.max_threads = 4}), "max_threads is 4, but threads is \"single\"");
  expect(refused("net", {.selftest = false, .test_inputs = Tensor::full({1, 64}, 2)}),
         "test_inputs are for the self test");
  expect(refused("net", {.target = "thumbv7em-none-eabihf", .threads = "openmp"}),
         "threads are for Linux on CPUs of 64 bits");
  EXPECT_TRUE(folder.names().empty());

  expect(message_of<StateError>([&] { Sequential({Dense(2)}).export_library(folder / "net"); }),
         "isn't built; give it an Input");
  expect(message_of<ShapeError>(
             [&] { Sequential({Input({None, 4}), Dense(2)}).export_library(folder / "net"); }),
         "has an input of shape (None, None, 4), but exported code is for known sizes");
  expect(message_of<FileError>([&] { mlp().export_library(folder / "missing/net"); }), "there is no folder");
  expect(message_of<FileError>([&] { mlp().export_library("~/missing/net"); }), "~ isn't expanded");
  {
    const TemporaryFolder full;  // nothing is replaced where not all can be
    write_file(full / "net.o", "old");
    std::filesystem::create_directory(full / "net.h");
    expect(message_of<FileError>([&] { mlp().export_library(full / "net"); }), "net.h is a folder");
    EXPECT_EQ(read_file(full / "net.o"), "old");
  }
  expect(refused("", {}), "export_library: the path ends without a name");
  expect(refused("net.o", {}), "no digit first, and no ending");
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
