#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/runtime/programs.h"

// A process made by fork has only the thread that called it. The team of the parent is gone, and a program
// that waited for it would wait for ever.

namespace kiln::runtime {
namespace {

using testing::kN;
using testing::mirror_program;

constexpr unsigned kSeconds = 20;  // after so long a child counts as hanging

struct Arguments {
  std::vector<Tensor> inputs{Tensor::full({kN}, 1.5)}, states{Tensor(Shape{kN})}, outputs{Tensor(Shape{kN})};
};

/// Runs `f` in a child process; true if it returned true there, in time.
template <class F>
bool in_child(F&& f) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(kSeconds);
    _exit(f() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

class Fork : public ::testing::Test {
 protected:
  ~Fork() override { set_num_threads(0); }
};

TEST_F(Fork, AChildRunsWhatItsParentRan) {
  set_num_threads(3);
  Executable executable(mirror_program());
  Arguments a;
  executable.run(a.inputs, a.states, a.outputs);
  EXPECT_EQ(a.outputs[0](0), -6);
  const bool same = in_child([&] {
    for (int i = 0; i < 3; i++) {
      Arguments b;
      executable.run(b.inputs, b.states, b.outputs);
      if (b.outputs[0].to_vector<float>() != a.outputs[0].to_vector<float>()) return false;
      executable.profile(b.inputs, b.states, b.outputs);
    }
    Executable another(testing::probe_program(1));
    std::vector<Tensor> team{Tensor({1}, DType::i64)};
    another.run({}, {}, team);
    return team[0].item() == 1;
  });
  EXPECT_TRUE(same);
  executable.run(a.inputs, a.states, a.outputs);  // and the parent goes on
  EXPECT_EQ(a.states[0](0), 2);
}

TEST_F(Fork, WhileOtherThreadsRun) {
  set_num_threads(2);
  Executable executable(mirror_program());
  Arguments first;
  executable.run(first.inputs, first.states, first.outputs);
  std::atomic<bool> stop{false};
  std::vector<std::thread> runners;
  for (int t = 0; t < 2; t++) {
    runners.emplace_back([&] {
      Arguments a;
      while (!stop) executable.run(a.inputs, a.states, a.outputs);
    });
  }
  int good = 0;
  for (int i = 0; i < 20; i++) {
    good += in_child([&] {
      Arguments a;
      executable.run(a.inputs, a.states, a.outputs);
      return a.outputs[0].to_vector<float>() == first.outputs[0].to_vector<float>();
    });
  }
  stop = true;
  for (std::thread& t : runners) t.join();
  EXPECT_EQ(good, 20);
}

}  // namespace
}  // namespace kiln::runtime
