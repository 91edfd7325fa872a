// Kernels that differ in numbers become one function, before and after as text, and compute the same.
#include "codegen/share_kernels.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <numeric>
#include <regex>

#include "codegen/emit.h"
#include "codegen/object.h"
#include "tests/codegen/run_kernel.h"

namespace kiln::codegen {
namespace {

using graph::Op;
constexpr DType f32 = DType::f32;

/// y[r] = op of 0.5 and the elements of row r, which lie `distance` apart, times `factor`.
Kernel of_rows(std::int64_t rows, std::int64_t columns, std::int64_t distance, Op op = Op::add,
               double factor = 1) {
  const Var r = make_var("r", rows), c = make_var("c", columns);
  const Reg result = make_register("result", RegisterKind::scalar, 0);
  Kernel k{.name = "of_rows",
           .buffers = {{.elements = rows * distance + columns}, {.elements = rows, .written = true}}};
  const Expr next = apply(op, {read(result), load(0, f32, Index(r) * distance + c)});
  k.body = {
      loop(LoopKind::serial, r,
           {write(result, {}, constant_expr(f32, 0.5)), loop(LoopKind::serial, c, {write(result, {}, next)}),
            store(1, r, apply(Op::mul, {read(result), constant_expr(f32, factor)}))})};
  return k;
}

/// y[r] = the sum of squares of elements whose number, `c` or `r`, is divided by `divisor`.
Kernel with_division(std::int64_t rows, std::int64_t columns, std::int64_t divisor, bool inside) {
  const Var r = make_var("r", rows), c = make_var("c", columns);
  const Reg sum = make_register("sum", RegisterKind::scalar, 0);
  Kernel k{.name = "with_division",
           .buffers = {{.elements = rows * columns}, {.elements = rows, .written = true}}};
  const Expr x = load(0, f32, floor_div(inside ? Index(c) : Index(r), divisor));
  k.body = {
      loop(LoopKind::serial, r,
           {write(sum, {}, constant_expr(f32, 0)),
            loop(LoopKind::serial, c, {write(sum, {}, fma(x, x, read(sum)))}), store(1, r, read(sum))})};
  return k;
}

/// A module whose only function that others see calls all kernels, each with an x and a y of its own.
std::unique_ptr<llvm::Module> module_of(std::span<const Kernel> kernels, const Target& target, bool shared,
                                        llvm::LLVMContext& context, const std::string& symbol = "all") {
  auto module = std::make_unique<llvm::Module>("kernels", context);
  llvm::IRBuilder<> b(context);
  const std::vector<llvm::Type*> parameters(2 * kernels.size(), b.getPtrTy());
  auto* all = llvm::Function::Create(llvm::FunctionType::get(b.getVoidTy(), parameters, false),
                                     llvm::Function::ExternalLinkage, symbol, *module);
  b.SetInsertPoint(llvm::BasicBlock::Create(context, "entry", all));
  std::vector<llvm::Function*> functions;
  for (const Kernel& k : kernels) {
    const auto i = static_cast<unsigned>(functions.size());
    functions.push_back(emit_kernel_into(*module, k, target, fmt::format("kernel_{}", i), KernelAbi::alone));
    b.CreateCall(functions.back(), {all->getArg(2 * i), all->getArg(2 * i + 1)});
  }
  b.CreateRetVoid();
  if (shared) share_kernels(functions);
  return module;
}

/// The calls in it, without addresses: "kernel_0(i32 3) kernel_1()".
std::string calls(const std::vector<Kernel>& kernels, bool shared = true) {
  const Target target = Target::of("thumbv7em-none-eabihf", "cortex-m4", 0, "");
  llvm::LLVMContext context;
  const std::string text = text_of(*module_of(kernels, target, shared, context));
  static const std::regex call("call void @(kernel_[0-9]+)\\(ptr %[0-9]+, ptr %[0-9]+(, )?([^)]*)\\)");
  std::string result;
  for (std::sregex_iterator i(text.begin(), text.end(), call), end; i != end; ++i)
    result += fmt::format("{}{}({})", result.empty() ? "" : " ", (*i)[1].str(), (*i)[3].str());
  const std::regex define("define internal");
  const auto functions = std::distance(std::sregex_iterator(text.begin(), text.end(), define), {});
  return fmt::format("{} of {}", result, functions);
}

TEST(ShareKernels, PassesTheNumbersInWhichTheyDiffer) {
  const std::vector<Kernel> kernels = {of_rows(3, 5, 7), of_rows(4, 9, 20), of_rows(10, 2, 2)};
  EXPECT_EQ(calls(kernels, false), "kernel_0() kernel_1() kernel_2() of 3");
  // Those first that are close together, else in the order of the code, in which the inner loop ends first.
  EXPECT_EQ(calls(kernels),
            "kernel_0(i32 5, i32 3, i32 7) kernel_0(i32 9, i32 4, i32 20) "
            "kernel_0(i32 2, i32 10, i32 2) of 1");
}

TEST(ShareKernels, PassEachNumberOnceAndNoMultiples) {
  EXPECT_EQ(calls({of_rows(4, 4, 4), of_rows(9, 9, 9)}), "kernel_0(i32 4) kernel_0(i32 9) of 1");
  EXPECT_EQ(calls({of_rows(4, 8, 13), of_rows(6, 12, 19)}), "kernel_0(i32 4) kernel_0(i32 6) of 1");
  EXPECT_EQ(calls({of_rows(4, 8, 16, Op::add, 0.25), of_rows(4, 8, 16, Op::add, 3)}),
            "kernel_0(float 2.500000e-01) kernel_0(float 3.000000e+00) of 1");
}

TEST(ShareKernels, OfOneFormOnly) {
  EXPECT_EQ(calls({of_rows(3, 5, 5), of_rows(4, 9, 9, Op::maximum), of_rows(3, 7, 7),
                   of_rows(4, 8, 8, Op::maximum)}),
            "kernel_0(i32 5) kernel_1(i32 9) kernel_0(i32 7) kernel_1(i32 8) of 2");
  EXPECT_EQ(calls({of_rows(3, 5, 5), of_rows(1, 5, 5)}), "kernel_0() kernel_1() of 2");  // no loop
  // Rows that lie a distance of 1 apart: there is no product.
  EXPECT_EQ(calls({of_rows(3, 5, 5), of_rows(3, 5, 1)}), "kernel_0() kernel_1() of 2");
}

TEST(ShareKernels, DivisionsInInnerLoopsStayDivisionsByConstants) {
  EXPECT_EQ(calls({with_division(12, 12, 3, true), with_division(12, 12, 5, true)}),
            "kernel_0() kernel_1() of 2");
  EXPECT_EQ(calls({with_division(12, 12, 3, false), with_division(12, 12, 5, false)}),
            "kernel_0(i32 3) kernel_0(i32 5) of 1");
}

TEST(ShareKernels, NotWhereArgumentsTakeMoreThanIsSaved) {
  const auto stores_to = [](std::int64_t place) {
    Kernel k{.name = "store", .buffers = {{.elements = 9}, {.elements = 9, .written = true}}};
    k.body = {store(1, place, constant_expr(f32, 1))};
    return k;
  };
  EXPECT_EQ(calls({stores_to(2), stores_to(3)}), "kernel_0() kernel_1() of 2");
}

TEST(ShareKernels, ComputesTheSame) {
  const std::vector<Kernel> kernels = {of_rows(3, 5, 10),
                                       of_rows(4, 9, 18),
                                       of_rows(6, 13, 26, Op::add, 3),
                                       of_rows(7, 2, 2, Op::mul),
                                       with_division(20, 6, 7, false),
                                       with_division(20, 6, 3, false)};
  EXPECT_TRUE(calls(kernels).ends_with(" of 3")) << calls(kernels);
  const Target target = Target::host();
  std::vector<float> x(400);
  std::iota(x.begin(), x.end(), -30.f);
  std::vector<std::vector<float>> results;
  for (const bool shared : {false, true}) {
    const auto object =
        compile_module("kernels", target, [&](llvm::LLVMContext& context, const std::string& symbol) {
          return module_of(kernels, target, shared, context, symbol);
        });
    const auto code = link(std::span(&object, 1));
    std::vector<float> y(6 * 20);
    using Pointer = float*;
    const auto at = [&](int i) { return y.data() + 20 * i; };
    reinterpret_cast<void (*)(Pointer, Pointer, Pointer, Pointer, Pointer, Pointer, Pointer, Pointer, Pointer,
                              Pointer, Pointer, Pointer)>(code->address(0))(
        x.data(), at(0), x.data(), at(1), x.data(), at(2), x.data(), at(3), x.data(), at(4), x.data(), at(5));
    results.push_back(y);
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0][0], 0.5 - 30 - 29 - 28 - 27 - 26);
}

}  // namespace
}  // namespace kiln::codegen
