// A process that forks while one of its threads compiles: the child can compile too.
#include "codegen/forks.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "codegen/emit.h"
#include "codegen/jit.h"
#include "kiln/codegen/compile.h"
#include "kiln/graph/ops.h"

namespace kiln::codegen {
namespace {

constexpr unsigned seconds = 60;  // after so long a child counts as hanging

/// Runs `f` in a child process; true if it came to its end there.
template <class F>
bool in_child(F&& f) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(seconds);
    f();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void compile_nothing(const std::function<void()>& meanwhile = [] {}) {
  const std::vector objects = {
      compile_module("nothing", Target::host(), [&](llvm::LLVMContext& context, const std::string& symbol) {
        meanwhile();
        return emit_kernel(Kernel{.name = "nothing"}, Target::host(), symbol, context);
      })};
  link(objects);
}

TEST(Forks, WaitUntilNoThreadCompiles) {
  std::atomic<bool> begun{false}, ended{false};
  std::thread compiler([&] {
    compile_nothing([&] {
      begun = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      ended = true;
    });
  });
  while (!begun) std::this_thread::yield();
  EXPECT_TRUE(in_child([&] {
    if (!ended) _exit(1);
    compile_nothing();
  }));
  compiler.join();
}

TEST(Forks, ChildrenOfAProcessThatCompilesCompile) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> compilers;
  for (int t = 0; t < 2; t++)
    compilers.emplace_back([&, t] {
      for (int i = 0; !stop; i++) {
        graph::Graph g("parent's");
        const graph::Value x = g.input("x", {DType::f32, {5, 7}});
        g.output("y", graph::reduce_sum(x * (i + t * 0.5), {1}));
        g.output("z", graph::reduce_max(x + i, {0}));
        compile(g);
      }
    });
  int good = 0;
  for (int i = 0; i < 20; i++) good += in_child([] { compile_nothing(); });
  stop = true;
  for (std::thread& t : compilers) t.join();
  EXPECT_EQ(good, 20);
}

// Whoever forks amid its own compiling (from a callback, say) doesn't wait for itself.
TEST(Forks, WithinCompiling) {
  bool good = false;
  compile_nothing([&] { good = in_child([] { const Compiling again; }); });
  EXPECT_TRUE(good);
  EXPECT_TRUE(in_child([] { compile_nothing(); }));
}

}  // namespace
}  // namespace kiln::codegen
