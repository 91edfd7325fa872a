// What the machine code of typical kernels looks like: vector width, calls, spills.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <regex>

#include "tests/codegen/assembly.h"
#include "tests/codegen/run_kernel.h"

namespace kiln::codegen {
namespace {

using graph::Op;

Kernel bias_relu(int lanes) {
  const Var t = make_var("t", 128), j = make_var("j", 100);
  Kernel k{.name = "bias_relu"};
  k.buffers = {
      {DType::f32, 12800, false, false}, {DType::f32, 100, false, false}, {DType::f32, 12800, true, false}};
  const Index at = Index(t) * 100 + j;
  const Expr sum = apply(Op::add, {load(0, DType::f32, at), load(1, DType::f32, j)});
  k.body = {
      loop(LoopKind::parallel, t,
           {vector_loop(j, lanes, {store(2, at, apply(Op::maximum, {sum, constant_expr(DType::f32, 0)}))})})};
  return k;
}

/// rows x columns of a product over 784, accumulated in registers.
Kernel matmul_tile(std::int64_t rows, std::int64_t columns, int lanes) {
  const std::int64_t depth = 784;
  const Var t = make_var("t", 16), p = make_var("p", depth);
  const Var i[] = {make_var("i", rows), make_var("i", rows), make_var("i", rows)};
  const Var j[] = {make_var("j", columns), make_var("j", columns), make_var("j", columns)};
  const Reg acc = make_register("acc", RegisterKind::tile, lanes, {rows}, columns);
  Kernel k{.name = "tile"};
  k.buffers = {{DType::f32, 16 * rows * depth, false, false},
               {DType::f32, depth * columns, false, false},
               {DType::f32, 16 * rows * columns, true, false}};
  // A row's factor outside: then the columns' vectors are what stays in registers.
  Block row;
  const Expr a = k.new_temporary(row, load(0, DType::f32, (Index(t) * rows + i[1]) * depth + p));
  const Expr b = load(1, DType::f32, Index(p) * columns + j[1]);
  row.push_back(
      vector_loop(j[1], lanes, {write(acc, {i[1], j[1]}, fma(a, b, read(acc, {i[1], j[1]})))}, true));
  k.body = {
      loop(LoopKind::parallel, t,
           {loop(LoopKind::unrolled, i[0],
                 {vector_loop(j[0], lanes, {write(acc, {i[0], j[0]}, constant_expr(DType::f32, 0))}, true)}),
            loop(LoopKind::serial, p, {loop(LoopKind::unrolled, i[1], row)}),
            loop(LoopKind::unrolled, i[2],
                 {vector_loop(j[2], lanes,
                              {store(2, (Index(t) * rows + i[2]) * columns + j[2], read(acc, {i[2], j[2]}))},
                              true)})})};
  return k;
}

bool is_x86() {
  return Target::host().triple.find("x86_64") == 0;
}

TEST(Assembly, UsesTheVectorsAskedForAndNoneWider) {
  if (!is_x86()) GTEST_SKIP() << "registers have other names here";
  const std::string widths[] = {"%xmm", "%ymm", "%zmm"};
  for (int bits : vector_widths()) {
    const Target target = Target::host(bits);
    const int lanes = target.lanes(DType::f32);
    const std::size_t own = bits == 128 ? 0 : bits == 256 ? 1 : 2;
    for (const Kernel& kernel : {bias_relu(lanes), matmul_tile(4, 2 * lanes, lanes)}) {
      const Listing listing = list_kernel(kernel, target);
      EXPECT_GT(count(listing.assembly, widths[own]), 3) << listing.assembly;
      for (std::size_t wider = own + 1; wider < 3; ++wider) {
        EXPECT_EQ(count(listing.assembly, widths[wider]), 0) << listing.assembly;
      }
    }
  }
}

TEST(Assembly, NoCallsAndNothingUndefined) {
  for (const Kernel& kernel : {bias_relu(16), matmul_tile(8, 48, 16)}) {
    const Listing listing = list_kernel(kernel, Target::host());
    EXPECT_EQ(count(listing.assembly, "call"), 0) << listing.assembly;
    EXPECT_TRUE(listing.undefined_symbols.empty());
  }
}

TEST(Assembly, ReluIsOneInstruction) {
  if (!is_x86()) GTEST_SKIP() << "instructions have other names here";
  const Target target = Target::host();
  const Listing listing = list_kernel(bias_relu(target.lanes(DType::f32)), target);
  // Body and tail: load, add from memory, maximum, store.
  EXPECT_EQ(count(listing.assembly, "vmaxps"), 2) << listing.assembly;
  EXPECT_EQ(count(listing.assembly, "vcmp"), 0) << listing.assembly;
  EXPECT_EQ(count(listing.assembly, "vaddps"), 2) << listing.assembly;
}

TEST(Assembly, MatmulTilesStayInRegisters) {
  if (Target::host().vector_bits < 512) GTEST_SKIP() << "tiles for 32 registers of 512 bits";
  const Target target = Target::host(512);
  struct Shape {
    std::int64_t rows, vectors;
  };
  for (const Shape& s : {Shape{8, 3}, Shape{6, 4}, Shape{4, 6}, Shape{8, 2}, Shape{14, 1}}) {
    for (std::int64_t short_by : {0, 5}) {  // whole vectors, and a masked tail
      const Listing listing = list_kernel(matmul_tile(s.rows, s.vectors * 16 - short_by, 16), target);
      EXPECT_EQ(spills(instructions(listing.assembly)), 0) << s.rows << " x " << s.vectors << "\n"
                                                           << listing.assembly;
      EXPECT_EQ(count(listing.assembly, "vfmadd"), s.rows * s.vectors) << listing.assembly;
    }
  }
}

TEST(Assembly, ConstantsOfAddressesAreDisplacements) {
  const Var i = make_var("i", 100), lane = make_var("lane", 16);
  Kernel k{.name = "sums"};
  k.buffers = {{DType::f32, 6400, false, false}, {DType::f32, 1600, true, false}};
  const Index at = Index(i) * 16 + lane;
  Expr sum = load(0, DType::f32, at);
  for (std::int64_t part : {1600, 3200, 4800}) sum = apply(Op::add, {sum, load(0, DType::f32, at + part)});
  k.body = {loop(LoopKind::serial, i, {vector_loop(lane, 16, {store(1, at, sum)})})};
  const Listing listing = list_kernel(k, Target::host());
  for (const int part : {1600, 3200, 4800}) {
    const std::regex apart(fmt::format("getelementptr float, ptr %[0-9]+, i64 {}\\b", part));
    EXPECT_TRUE(std::regex_search(listing.ir, apart)) << listing.ir;
    EXPECT_FALSE(std::regex_search(listing.ir, std::regex(fmt::format("add .*, {}\\b", part)))) << listing.ir;
    if (is_x86()) {
      EXPECT_GT(count(listing.assembly, fmt::format("\\b{}\\(%r", 4 * part)), 0) << listing.assembly;
    }
  }
}

TEST(Assembly, ProductsAndSumsAreNotFusedUnlessAsked) {
  const Var i = make_var("i", 64);
  Kernel k{.name = "apart"};
  k.buffers = {{DType::f32, 64, false, false}, {DType::f32, 64, true, false}};
  const Expr x = load(0, DType::f32, i);
  k.body = {vector_loop(i, 16, {store(1, i, apply(Op::add, {apply(Op::mul, {x, x}), x}))})};
  EXPECT_EQ(count(list_kernel(k, Target::host()).assembly, "vfm|fmla"), 0);
}

}  // namespace
}  // namespace kiln::codegen
