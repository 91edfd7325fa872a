#include "api/model/interrupt.h"

#include <csignal>
#include <mutex>

namespace kiln::internal {
namespace {

volatile std::sig_atomic_t flag = 0;
std::mutex mutex;
int guards = 0;
struct sigaction previous;

void handle(int) {
  if (flag == 0) {
    flag = 1;
    return;
  }
  sigaction(SIGINT, &previous, nullptr);
  raise(SIGINT);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  const std::lock_guard lock(mutex);
  if (guards++ > 0) return;  // several trainings at once share one handler
  flag = 0;
  sigaction(SIGINT, nullptr, &previous);
  // A program that ignores Ctrl-C, as nohup or a shell's background job has it, goes on ignoring it.
  if (previous.sa_handler == SIG_IGN) return;
  struct sigaction action{};
  action.sa_handler = handle;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
}

InterruptGuard::~InterruptGuard() {
  const std::lock_guard lock(mutex);
  if (--guards == 0) sigaction(SIGINT, &previous, nullptr);
}

bool InterruptGuard::interrupted() {
  return flag != 0;
}

}  // namespace kiln::internal
