#include "runtime/threads.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <thread>

// libomp's interface, as compilers call it. We call it directly because g++'s -fopenmp would bring libgomp.
extern "C" {
struct ident_t {
  std::int32_t reserved_1, flags, reserved_2, reserved_3;
  const char* source;
};
using kmpc_micro = void (*)(std::int32_t* global_thread, std::int32_t* thread, ...);
void __kmpc_fork_call(ident_t*, std::int32_t argument_count, kmpc_micro, ...);
void __kmpc_push_num_threads(ident_t*, std::int32_t global_thread, std::int32_t threads);
std::int32_t __kmpc_global_thread_num(ident_t*);
void __kmpc_barrier(ident_t*, std::int32_t global_thread);
int omp_in_parallel();
int omp_get_num_threads();
}

namespace kiln::runtime {
namespace {

ident_t here{0, 2 /* called by compiled code */, 0, 0, ";kiln;run_team;0;0;;"};

std::atomic<int> chosen_threads{0};
std::atomic<int> runs_in_flight{0};
std::atomic<bool> has_run_team{false};
/// Set in a child process whose parent had a team: the team's threads are not in the child, and waiting for
/// them would never end.
std::atomic<bool> team_lost{false};

void after_fork_in_child() {
  team_lost = has_run_team.load();
  runs_in_flight = 0;  // of the parent's threads only the one that forked is here, and it isn't in a run
}

void watch_forks() {
  static const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);
  (void)registered;
}

int default_threads() {
  const int n = parse_num_threads(std::getenv("OMP_NUM_THREADS"));
  return n > 0 ? n : usable_cores();
}

struct Team {
  void (*body)(void*, int, int);
  void* context;
};

void enter_team(std::int32_t*, std::int32_t* thread, Team* team) {
  team->body(team->context, *thread, omp_get_num_threads());
}

}  // namespace

int usable_cores() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return std::max(CPU_COUNT(&cores), 1);
  return static_cast<int>(std::max(std::thread::hardware_concurrency(), 1u));
}

void run_team(int threads, void (*body)(void*, int, int), void* context) {
  if (threads <= 1) return body(context, 0, 1);
  watch_forks();
  has_run_team = true;
  Team team{body, context};
  __kmpc_push_num_threads(&here, __kmpc_global_thread_num(&here), threads);
  __kmpc_fork_call(&here, 1, reinterpret_cast<kmpc_micro>(enter_team), &team);
}

void team_barrier(int threads) {
  if (threads > 1) __kmpc_barrier(&here, __kmpc_global_thread_num(&here));
}

RunGuard::RunGuard(double estimated_seconds) {
  constexpr double kWorthATeam = 10e-6;  // waking a team and meeting at its barriers costs a few microseconds
  const bool alone = runs_in_flight.fetch_add(1) == 0;
  // The order matters: a child process must not come as far as calling OpenMP.
  if (!alone || estimated_seconds < kWorthATeam || team_lost || num_threads() == 1 || omp_in_parallel() != 0)
    return;
  threads_ = num_threads();
  watch_forks();
  has_run_team = true;
}

RunGuard::~RunGuard() {
  runs_in_flight.fetch_sub(1);
}

int parse_num_threads(const char* value) {
  if (value == nullptr) return 0;
  std::string_view text(value);
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  int n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || n < 1) return 0;
  std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
  return rest.empty() || rest[0] == ',' ? n : 0;
}

int num_threads() {
  if (const int n = chosen_threads.load(std::memory_order_relaxed); n > 0) return n;
  static const int fallback = default_threads();
  return fallback;
}

}  // namespace kiln::runtime

void kiln::set_num_threads(int n) {
  if (n < 0)
    throw ValueError(fmt::format("set_num_threads: {} threads; give 1 or more, or 0 for the default", n));
  runtime::chosen_threads = n;
}
