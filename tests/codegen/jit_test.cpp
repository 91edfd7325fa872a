// What goes wrong between LLVM IR and code in memory ends as an error, not with the process.
#include "codegen/jit.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "kiln/codegen/compile.h"
#include "kiln/graph/ops.h"
#include "kiln/runtime/error.h"
#include "tests/support/sanitized.h"

#ifndef KILN_SANITIZED
namespace {
std::atomic<bool> threads_are_refused{false};
}

// Stands before the C library's: a machine that has no thread left, when a test asks for it.
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                              void* argument) {
  if (threads_are_refused) return EAGAIN;
  static const auto next = reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
  return next(thread, attributes, start, argument);
}
#endif

namespace kiln::codegen {
namespace {

/// A module whose function calls another, named `callee`, which exists nowhere.
std::unique_ptr<llvm::Module> calling(const std::string& callee, bool forbidden, llvm::LLVMContext& context,
                                      const std::string& symbol) {
  auto module = std::make_unique<llvm::Module>(symbol, context);
  auto* type = llvm::FunctionType::get(llvm::Type::getVoidTy(context), false);
  llvm::Function* called = llvm::Function::Create(type, llvm::Function::ExternalLinkage, callee, *module);
  if (forbidden) called->addFnAttr("dontcall-error", "it must not be called");
  llvm::Function* function = llvm::Function::Create(type, llvm::Function::ExternalLinkage, symbol, *module);
  llvm::IRBuilder<> b(llvm::BasicBlock::Create(context, "entry", function));
  b.CreateCall(called);
  b.CreateRetVoid();
  return module;
}

std::shared_ptr<const LinkedCode> compile_and_link(const std::string& callee, bool forbidden) {
  const std::vector objects = {
      compile_module("test", Target::host(), [&](llvm::LLVMContext& context, const std::string& symbol) {
        return calling(callee, forbidden, context, symbol);
      })};
  return link(objects);
}

std::string error_of(const std::string& callee, bool forbidden) {
  try {
    compile_and_link(callee, forbidden);
  } catch (const InternalError& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(Jit, ErrorsThatLlvmReportsAreThrown) {
  const std::string error = error_of("kiln_test_forbidden", true);
  EXPECT_NE(error.find("it must not be called"), std::string::npos) << error;
}

TEST(Jit, AMissingFunctionIsAnErrorOfItsObjectOnly) {
  for (int i = 0; i < 2; i++) {
    const std::string error = error_of("kiln_test_missing", false);
    EXPECT_NE(error.find("linking"), std::string::npos) << error;
  }
  EXPECT_NE(compile_and_link("abort", false)->address(0), nullptr);
}

/// Two kernels, which two threads would compile.
void build_two_kernels(graph::Graph& g, double factor) {
  const graph::Value x = g.input("x", {DType::f32, {5, 7}});
  g.output("sum", graph::reduce_sum(x * factor, {1}));
  g.output("largest", graph::reduce_max(x + factor, {0}));
}

#ifndef KILN_SANITIZED
TEST(Jit, CompilesWhereNoThreadCanBeStarted) {
  graph::Graph g("alone");
  build_two_kernels(g, 1.0625);
  threads_are_refused = true;
  EXPECT_NO_THROW(EXPECT_EQ(compile(g)->steps.size(), 2U));
  threads_are_refused = false;
}
#endif

TEST(Jit, ProgramsOfOneNameAreDumpedApart) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "kiln_jit_test_dump";
  std::filesystem::remove_all(folder);
  setenv("KILN_DUMP", folder.c_str(), 1);
  for (double factor : {1.125, 1.25}) {
    graph::Graph g("twice");
    build_two_kernels(g, factor);
    compile(g);
  }
  unsetenv("KILN_DUMP");
  int entries = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    const std::string name = file.path().filename().string();
    entries += name.find("entry") != std::string::npos && file.path().extension() == ".ll";
  }
  EXPECT_EQ(entries, 2);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace kiln::codegen
