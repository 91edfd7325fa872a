#pragma once
#include <utility>

#include "kiln/runtime/executable.h"

namespace kiln::runtime {

/// Runs `body(context, thread, threads)` on a team of at most `threads` threads; the body gets the size that
/// the team really has. With one thread OpenMP is not entered.
KILN_API void run_team(int threads, void (*body)(void* context, int thread, int threads), void* context);

/// The same for a callable.
template <class F>
void run_team(int threads, F&& f) {
  run_team(
      threads,
      [](void* context, int thread, int team) {
        (*static_cast<std::remove_reference_t<F>*>(context))(thread, team);
      },
      &f);
}

/// Waits for all threads of the team; for use inside run_team's body.
KILN_API void team_barrier(int threads);

/// The number of cores that the calling thread may run on; std::thread::hardware_concurrency counts others,
/// too.
KILN_API int usable_cores();

/// Held while a program runs; decides how many threads it may use (see Executable).
class RunGuard {
 public:
  explicit RunGuard(double estimated_seconds);
  ~RunGuard();
  RunGuard(const RunGuard&) = delete;
  RunGuard& operator=(const RunGuard&) = delete;

  int threads() const { return threads_; }

 private:
  int threads_ = 1;
};

/// Thread count of an OMP_NUM_THREADS value: the first of a list ("4", "4,2"); 0 if it is null or makes no
/// sense.
KILN_API int parse_num_threads(const char* value);

}  // namespace kiln::runtime
