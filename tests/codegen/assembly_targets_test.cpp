// The machine code of whole kernels, as graphs become them, on every kind of CPU: registers and instructions
// of that CPU only, nothing spilled in inner loops, as many multiply-adds as the tile has accumulators.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "codegen/tiling.h"
#include "kiln/graph/ops.h"
#include "tests/codegen/assembly.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

struct Cpu {
  const char *triple, *cpu;
  const char* own;      ///< its vectors
  const char* foreign;  ///< registers and instructions that it doesn't have
};

constexpr const char* x86 = "x86_64-pc-linux-gnu";
// What AVX-512 adds: wide registers, masks, registers from 16 up, broadcasts within an operand.
#define AVX512 "%zmm|%k[0-7]|%[xy]mm(1[6-9]|2[0-9]|3[01])|\\{1to"
// Whatever begins with v, and three operands: all of AVX.
#define AVX "%ymm|\tv"
#define SSE3_AND_4                                                                                          \
  "\t(p?insr[bdq]|insertps|p?extr[bdq]|extractps|round[ps][sd]|p?blend|pm(ul|ax|in)[us]?[ld][dq]?\t|ptest|" \
  "pmov[sz]x|packusdw|movddup|movs[lh]dup|hadd|pshufb|pabs|palignr|pcmpeqq|pcmpgtq|popcnt|crc32)"
const Cpu cpus[] = {
    {x86, "znver4", "%zmm", "\t(fmadd|ptile|tdp)"},
    {x86, "x86-64-v4", "%zmm", "\t(fmadd|ptile|tdp)"},
    {x86, "x86-64-v3", "%ymm", AVX512},
    {x86, "x86-64-v2", "%xmm", AVX512 "|" AVX},
    {x86, "x86-64", "%xmm", AVX512 "|" AVX "|" SSE3_AND_4},
    {"aarch64-linux-gnu", "generic", R"(\bv\d+\.(4s|2d|16b)|\bq\d+)", R"(\bz\d+\.|\bp\d+/|\tsm)"},
};
#undef AVX512
#undef AVX
#undef SSE3_AND_4

struct Builder {
  Graph g{"kernels"};
  Value input(const Shape& shape, DType dtype = DType::f32) {
    return g.input(fmt::format("x{}", g.inputs().size()), {dtype, shape});
  }
  void output(Value v) { g.output(fmt::format("y{}", g.outputs().size()), v); }
};

struct Case {
  const char* name;
  void (*build)(Builder& b);
};
const Case cases[] = {
    {"product", [](Builder& b) { b.output(matmul(b.input({128, 784}), b.input({784, 256}))); }},
    {"product with a tail", [](Builder& b) { b.output(matmul(b.input({50, 784}), b.input({784, 251}))); }},
    {"dense layer",
     [](Builder& b) {
       const Value x = matmul(b.input({128, 784}), b.input({784, 256}));
       b.output(maximum(x + b.input({256}), scalar(x, 0)));
     }},
    {"column", [](Builder& b) { b.output(matmul(b.input({128, 784}), b.input({784, 1}))); }},
    {"3x3 convolution",
     [](Builder& b) { b.output(conv(b.input({8, 30, 30, 64}), b.input({3, 3, 64, 64}), {})); }},
    {"1x1 convolution",
     [](Builder& b) { b.output(conv(b.input({8, 28, 28, 64}), b.input({1, 1, 64, 96}), {})); }},
    {"convolution with a tail",
     [](Builder& b) { b.output(conv(b.input({2, 28, 28, 6}), b.input({5, 5, 6, 19}), {})); }},
    {"gradient of a narrow kernel",
     [](Builder& b) {
       b.output(
           conv_kernel_grad(b.input({16, 28, 28, 1}), b.input({16, 24, 24, 16}), Shape({5, 5, 1, 16}), {}));
     }},
    {"convolution with the batch last",
     [](Builder& b) { b.output(conv_batch_last(b.input({28, 28, 1, 128}), b.input({5, 5, 1, 6}), {})); }},
    {"gradient of a narrow kernel with the batch last",
     [](Builder& b) {
       b.output(conv_kernel_sums(b.input({28, 28, 1, 128}), b.input({24, 24, 6, 128}), Shape({5, 5, 1, 6}),
                                 {}, 12, /*batch_last=*/true));
     }},
    {"convolution and pooling",
     [](Builder& b) {
       const Value y = conv(b.input({8, 30, 30, 1}), b.input({3, 3, 1, 16}), {}) + b.input({16});
       const WindowAttrs pool{.window = {1, 2, 2, 1}, .strides = {1, 2, 2, 1}};
       b.output(window_max(y, pool));
       b.output(window_argmax(y, pool));
     }},
    {"convolution and pooling with the batch last",
     [](Builder& b) {
       const Value y = conv_batch_last(b.input({28, 28, 1, 128}), b.input({5, 5, 1, 6}), {});
       b.output(window_max(y, {.window = {2, 2, 1, 1}, .strides = {2, 2, 1, 1}}));
     }},
    {"transpose", [](Builder& b) { b.output(transpose(b.input({12, 12, 6, 128}), {3, 0, 1, 2}) * 2.0); }},
    {"elementwise chain",
     [](Builder& b) {
       const Value x = b.input({1000}), y = b.input({1000});
       const Value s = sigmoid(x), t = tanh(y), st = s * t;
       b.output(st + x * 0.5);
     }},
    {"softmax",
     [](Builder& b) {
       const Value x = b.input({128, 100});
       const Value e = exp(x - reduce_max(x, {1}, true));
       b.output(e / reduce_sum(e, {1}, true));
     }},
    {"reductions",
     [](Builder& b) {
       const Value x = b.input({128, 1000});
       b.output(reduce_sum(x, {1}));
       b.output(reduce_max(x, {0}));
     }},
    {"pooling",
     [](Builder& b) {
       b.output(window_max(b.input({8, 28, 28, 64}), {.window = {1, 2, 2, 1}, .strides = {1, 2, 2, 1}}));
     }},
};

std::vector<KernelAssembly> kernels_of(const Case& c, const Target& target) {
  Builder b;
  c.build(b);
  return codegen::kernels_of(b.g, target, {.conv = ConvAlgorithm::direct});
}

TEST(AssemblyOfTargets, InstructionsAreTheCpusOwn) {
  for (const Cpu& cpu : cpus) {
    for (const Case& c : cases) {
      for (const KernelAssembly& k : kernels_of(c, Target::of(cpu.triple, cpu.cpu))) {
        const std::string what = fmt::format("{}: {}, kernel {}\n", cpu.cpu, c.name, k.name);
        EXPECT_GT(count(k.assembly, cpu.own), 3) << what << k.assembly;
        EXPECT_EQ(count(k.assembly, cpu.foreign), 0) << what << k.assembly;
        EXPECT_EQ(count(k.assembly, R"(\tcall|\tbl\t)"), 0) << what << k.assembly;
      }
    }
  }
}

TEST(AssemblyOfTargets, InnerLoopsKeepTheirValuesInRegisters) {
  for (const Cpu& cpu : cpus) {
    for (const Case& c : cases) {
      // LLVM moves the loads of a round's 16 maxima together, and compares with them need more registers than
      // there are.
      const Target target = Target::of(cpu.triple, cpu.cpu);
      // The four chains of softmax's sum are four exponentials side by side, here without a multiply-add.
      const bool crowded = (std::string(cpu.cpu) == "generic" && std::string(c.name) == "reductions") ||
                           (!target.has_fma && std::string(c.name) == "softmax");
      // Instructions that overwrite an operand, products apart from their sums, selects of three
      // instructions: with 16 registers all that takes one too many here and there, though not in products.
      const int few = target.has_fma ? 0 : 1;
      for (const KernelAssembly& k : kernels_of(c, target)) {
        const std::string what = fmt::format("{}: {}, kernel {}\n", cpu.cpu, c.name, k.name);
        for (const Lines& loop : innermost_loops(k.assembly)) {
          EXPECT_LE(spills(loop), crowded ? 16 : few) << what << k.assembly;
          EXPECT_LE(reloads(loop), crowded ? 12 : 2) << what << k.assembly;
        }
      }
    }
  }
}

TEST(AssemblyOfTargets, ProductsAreMultiplyAddsAndLittleElse) {
  struct Product {
    const char* name;
    std::int64_t rows, columns;
  };
  for (const Product& p :
       {Product{"product", 128, 256}, Product{"dense layer", 128, 256},
        Product{"product with a tail", 50, 251}, Product{"1x1 convolution", 8 * 28 * 28, 96},
        Product{"3x3 convolution", 28, 64}, Product{"convolution with a tail", 24, 19},
        Product{"convolution with the batch last", 6, 128}}) {
    const Case& c = *std::find_if(std::begin(cases), std::end(cases),
                                  [&](const Case& x) { return std::string(x.name) == p.name; });
    for (const Cpu& cpu : cpus) {
      const Target target = Target::of(cpu.triple, cpu.cpu);
      const ProductTile tile = product_tile(p.rows, p.columns, target.lanes(DType::f32), target);
      const Lines loop = busiest_loop(kernels_of(c, target)[0].assembly);
      const std::string what = fmt::format("{}: {}, tile of {} x {}\n{}\n", cpu.cpu, p.name, tile.rows,
                                           tile.vectors, fmt::join(loop, "\n"));
      const int accumulators = tile.rows * tile.vectors;
      EXPECT_EQ(multiply_adds(loop), accumulators) << what;
      EXPECT_EQ(spills(loop) + reloads(loop), 0) << what;
      // Beside them: the loads of columns and factors (which some CPUs must copy to all lanes), addresses and
      // the end of the loop; tails of columns are put together from several loads where there are no masks.
      const int products = target.has_fma ? accumulators : 3 * accumulators;
      EXPECT_LE(static_cast<int>(loop.size()), products + tile.vectors + 2 * tile.rows + 12) << what;
    }
  }
}

// All pixels of a tiny image are rows of one product where registers suffice, and of one tile where there are
// enough: then the kernel is read once.
TEST(AssemblyOfTargets, TinyImagesAreOneTile) {
  Builder b;
  b.output(conv(b.input({1, 5, 5, 64}), b.input({3, 3, 64, 128}), {}));
  for (const Cpu& cpu : cpus) {
    const Target target = Target::of(cpu.triple, cpu.cpu);
    const bool fits = 2 * 9 <= accumulator_registers(target);
    const ProductTile tile = product_tile(fits ? 9 : 3, 128, target.lanes(DType::f32), target, fits ? 3 : 1);
    if (target.masked_access == MaskedAccess::all) {
      EXPECT_EQ(tile.rows, 9) << cpu.cpu;
    }
    const Lines loop =
        busiest_loop(codegen::kernels_of(b.g, target, {.conv = ConvAlgorithm::direct})[0].assembly);
    const std::string what = fmt::format("{}\n{}\n", cpu.cpu, fmt::join(loop, "\n"));
    EXPECT_EQ(multiply_adds(loop), tile.rows * tile.vectors) << what;
    EXPECT_EQ(spills(loop) + reloads(loop), 0) << what;
  }
}

// A row of taps alone would be five accumulators: too few to hide the latency of their multiply-adds.
TEST(AssemblyOfTargets, GradientsOfNarrowKernelsHaveManyTapsInATile) {
  const Case& c = *std::find_if(std::begin(cases), std::end(cases), [](const Case& x) {
    return std::string(x.name) == "gradient of a narrow kernel";
  });
  for (const Cpu& cpu : cpus) {
    const Target target = Target::of(cpu.triple, cpu.cpu);
    const ProductTile tile = product_tile(25, 16, target.lanes(DType::f32), target, 5);
    EXPECT_GE(tile.rows * tile.vectors, 10) << cpu.cpu;
    const Lines loop = busiest_loop(kernels_of(c, target)[0].assembly);
    const std::string what = fmt::format("{}\n{}\n", cpu.cpu, fmt::join(loop, "\n"));
    EXPECT_EQ(multiply_adds(loop), tile.rows * tile.vectors) << what;
    EXPECT_EQ(spills(loop) + reloads(loop), 0) << what;
  }
}

TEST(AssemblyOfTargets, WinogradsProductsToo) {
  Builder b;
  b.output(conv(b.input({8, 30, 30, 64}), b.input({3, 3, 64, 64}), {}));
  for (const Cpu& cpu : cpus) {
    const auto kernels =
        codegen::kernels_of(b.g, Target::of(cpu.triple, cpu.cpu), {.conv = ConvAlgorithm::winograd});
    // Not the transforms, whose 36 values are more than any CPU has registers.
    const std::vector<Lines> loops = innermost_loops(kernels.back().assembly);
    const auto share = [](const Lines& l) { return 1.0 * multiply_adds(l) / static_cast<double>(l.size()); };
    const Lines& loop = *std::max_element(
        loops.begin(), loops.end(), [&](const Lines& x, const Lines& y) { return share(x) < share(y); });
    const std::string what = fmt::format("{}\n{}\n", cpu.cpu, fmt::join(loop, "\n"));
    EXPECT_GE(multiply_adds(loop), 8) << what;
    EXPECT_EQ(spills(loop) + reloads(loop), 0) << what;
  }
}

// A tail is the same code on fewer elements: no loop over its lanes, no branch for each.
TEST(AssemblyOfTargets, TailsHaveNoBranches) {
  Builder b;
  b.output(sigmoid(b.input({39})));
  for (const Cpu& cpu : cpus) {
    const std::string assembly = codegen::kernels_of(b.g, Target::of(cpu.triple, cpu.cpu))[0].assembly;
    // The share of threads other than the first, and the end of the loop.
    EXPECT_LE(count(assembly, R"(\tj[a-z]+\t|\tb\.|\tcbn?z|\ttbn?z)"), 3) << cpu.cpu << assembly;
    EXPECT_EQ(count(assembly, R"(\tvp?maskmov[a-z]*\t%[xy]mm\d+, %[xy]mm\d+, )"), 0) << cpu.cpu << assembly;
  }
}

}  // namespace
}  // namespace kiln::codegen
