// What Kiln knows of CPUs, and what it says to those that it can't compile for.
#include "codegen/target.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "kiln/codegen/compile.h"
#include "kiln/graph/ops.h"
#include "tests/support/errors.h"

namespace kiln::codegen {
namespace {

constexpr const char* x86 = "x86_64-pc-linux-gnu";
constexpr const char* arm = "aarch64-linux-gnu";

/// Sets an environment variable for as long as it lives.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) before_ = old;
    setenv(name, value, 1);
  }
  ~Environment() {
    if (before_.empty())
      unsetenv(name_);
    else
      setenv(name_, before_.c_str(), 1);
  }

 private:
  const char* name_;
  std::string before_;
};

template <class F>
void expect_refused(F&& f, const std::string& text) {
  const std::string message = kiln::testing::message_of<ValueError>(f);
  EXPECT_NE(message.find(text), std::string::npos) << message;
}

TEST(Target, KnowsTheLevelsOfX86) {
  struct Row {
    const char* cpu;
    int bits, registers;
    bool fma, rounding;
    MaskedAccess masks;
  };
  const Row rows[] = {{"x86-64", 128, 16, false, false, MaskedAccess::none},
                      {"x86-64-v2", 128, 16, false, true, MaskedAccess::none},
                      {"sandybridge", 128, 16, false, true, MaskedAccess::none},
                      {"x86-64-v3", 256, 16, true, true, MaskedAccess::loads},
                      {"x86-64-v4", 512, 32, true, true, MaskedAccess::all},
                      {"znver4", 512, 32, true, true, MaskedAccess::all}};
  for (const Row& row : rows) {
    const Target t = Target::of(x86, row.cpu);
    EXPECT_EQ(t.vector_bits, row.bits) << row.cpu;
    EXPECT_EQ(t.vector_registers, row.registers) << row.cpu;
    EXPECT_EQ(t.has_fma, row.fma) << row.cpu;
    EXPECT_EQ(t.has_rounding, row.rounding) << row.cpu;
    EXPECT_EQ(t.masked_access, row.masks) << row.cpu;
  }
}

TEST(Target, EveryAArch64HasNeon) {
  for (const char* cpu : {"generic", "cortex-a72", "neoverse-v1"}) {
    const Target t = Target::of(arm, cpu);
    EXPECT_EQ(t.vector_bits, 128) << cpu;
    EXPECT_EQ(t.vector_registers, 32) << cpu;
    EXPECT_TRUE(t.has_fma && t.has_rounding) << cpu;
  }
}

TEST(Target, KnowsMicrocontrollersRiscVAndWebAssembly) {
  struct Row {
    const char *triple, *cpu, *features;
    int bits, pointer;
    bool fma, doubles, small;
  };
  const char *m = "thumbv7em-none-eabihf", *v8m = "thumbv8m.main-none-eabihf";
  const Row rows[] = {{m, "", "", 32, 32, true, false, true},
                      {m, "cortex-m7", "", 32, 32, true, true, true},
                      {v8m, "", "", 32, 32, true, false, true},
                      {"riscv64-linux-gnu", "", "", 32, 64, true, true, false},
                      {"riscv64-linux-gnu", "", "+v", 128, 64, true, true, false},
                      {"riscv64-linux-gnu", "", "+zba", 32, 64, true, true, false},
                      {"riscv32-unknown-elf", "", "", 32, 32, true, false, true},
                      {"wasm32-unknown-unknown", "", "", 128, 32, false, true, false},
                      {"wasm32-unknown-unknown", "", "+bulk-memory", 128, 32, false, true, false},
                      {"wasm32-unknown-unknown", "", "-simd128", 32, 32, false, true, false},
                      {x86, "x86-64", "+avx2,+fma", 256, 64, true, true, false}};
  for (const Row& row : rows) {
    const Target t = Target::of(row.triple, row.cpu, 0, row.features);
    const std::string what = describe(t);
    EXPECT_EQ(t.vector_bits, row.bits) << what;
    EXPECT_EQ(t.lanes(DType::f32), std::max(1, row.bits / 32)) << what;
    EXPECT_EQ(t.pointer_bits, row.pointer) << what;
    EXPECT_EQ(t.has_fma, row.fma) << what;
    EXPECT_EQ(t.has_double, row.doubles) << what;
    EXPECT_EQ(t.is_small, row.small) << what;
  }
  EXPECT_EQ(Target::of(v8m, "").cpu, "cortex-m33");
}

TEST(Target, UnknownNamesAreRefused) {
  expect_refused([&] { Target::of(x86, "x86-64-v9"); }, "no x86-64 CPU \"x86-64-v9\"");
  expect_refused([&] { Target::of(x86, "pentium"); }, "no x86-64 CPU \"pentium\"");
  expect_refused([&] { Target::of(x86, ""); }, "no x86-64 CPU \"\"");
  expect_refused([&] { Target::of(arm, "haswell"); }, "no AArch64 CPU \"haswell\"");
  expect_refused([&] { Target::of("mips64-linux-gnu", ""); }, "no code for mips64-linux-gnu");
  expect_refused([&] { Target::of("x86_64-pc-windows-msvc", "x86-64"); },
                 "ELF and WebAssembly as object files");
  expect_refused([&] { Target::of("thumbv6m-none-eabi", ""); },
                 "those of thumbv7em (Cortex-M4, M7) and thumbv8m.main");
  expect_refused([&] { Target::of("thumbv7em-none-eabihf", "cortex-m3"); }, "no instructions for float32");
  expect_refused([&] { Target::of("thumbv7em-none-eabihf", "cortex-m33"); }, "M33 is of thumbv8m.main");
  expect_refused([&] { Target::of("riscv64-linux-gnu", "", 0, "+vv"); }, "features: LLVM knows no \"+vv\"");
  expect_refused([&] { Target::of("riscv64-linux-gnu", "", 0, "v"); }, "give names with + or - before");
  expect_refused([&] { Target::of("riscv64-linux-gnu", "sifive-u99"); }, "LLVM knows no such CPU");
  expect_refused([&] { Target::of(x86, "haswell", 512); }, "haswell) has vectors of up to 256 bits");
  expect_refused([&] { Target::of(x86, "haswell", 192); }, "128, 256 and 512 are known");
}

TEST(Target, ThisMachineCanBeLimited) {
  const Target native = Target::host(0, "native");
  if (native.triple.find("x86_64") != 0) GTEST_SKIP() << "CPUs have other names here";
  EXPECT_EQ(Target::host(0, "x86-64").vector_bits, 128);
  EXPECT_EQ(Target::host(0, "x86-64").l2_bytes, native.l2_bytes);
  // AMD gave up XOP before it built what we test on.
  expect_refused([&] { Target::host(0, "bdver4"); }, "doesn't have its instructions");
  expect_refused([&] { Target::host(0, "bdver4"); }, "xop");

  const Environment limit("KILN_CPU", "x86-64-v2");
  EXPECT_EQ(Target::host().cpu, "x86-64-v2");
  EXPECT_EQ(Target::host(0, "native").cpu, native.cpu);
  EXPECT_EQ(Target::host(0, "x86-64").cpu, "x86-64");
}

TEST(Target, CompilingForAnUnknownCpuSaysSo) {
  graph::Graph g("g");
  const graph::Value x = g.input("x", {DType::f32, Shape{4}});
  g.output("y", x + x);
  expect_refused([&] { compile(g, {.cpu = "zen99"}); }, "CPU \"zen99\"");
  const Environment limit("KILN_CPU", "x86-64-v7");
  expect_refused([&] { compile(g); }, "CPU \"x86-64-v7\"");
}

TEST(Target, TextsTellTargetsApart) {
  const Target t = Target::of(x86, "x86-64-v4");
  EXPECT_EQ(describe(t), describe(Target::of(x86, "x86-64-v4")));
  EXPECT_NE(describe(t), describe(Target::of(x86, "x86-64-v4", 256)));
  EXPECT_NE(describe(t), describe(Target::of(x86, "znver4")));
  EXPECT_NE(describe(t).find("x86-64-v4"), std::string::npos);
}

}  // namespace
}  // namespace kiln::codegen
