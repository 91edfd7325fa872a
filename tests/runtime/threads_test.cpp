#include "runtime/threads.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <thread>
#include <vector>

namespace kiln::runtime {
namespace {

class Threads : public ::testing::Test {
 protected:
  ~Threads() override { set_num_threads(0); }
};

TEST_F(Threads, OmpNumThreadsIsANumberOrAList) {
  EXPECT_EQ(parse_num_threads("4"), 4);
  EXPECT_EQ(parse_num_threads(" 4 "), 4);
  EXPECT_EQ(parse_num_threads("4,2,1"), 4);
  EXPECT_EQ(parse_num_threads("3 , 2"), 3);
  for (const char* nonsense : {"", " ", "0", "-2", "four", "4x", "4 2", "99999999999"})
    EXPECT_EQ(parse_num_threads(nonsense), 0) << nonsense;
  EXPECT_EQ(parse_num_threads(nullptr), 0);
}

TEST_F(Threads, UsableCoresAreThoseOfTheCallingThread) {
  const int all = usable_cores();
  EXPECT_GE(all, 1);
  int pinned = -1, of_pinned = 0;
  std::thread([&] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(sched_getcpu()), &one);
    pinned = sched_setaffinity(0, sizeof one, &one);
    of_pinned = usable_cores();
  }).join();
  ASSERT_EQ(pinned, 0);
  EXPECT_EQ(of_pinned, 1);
  EXPECT_EQ(usable_cores(), all);
}

TEST_F(Threads, SetAndRestore) {
  const int before = num_threads();
  EXPECT_GE(before, 1);
  set_num_threads(before + 3);
  EXPECT_EQ(num_threads(), before + 3);
  set_num_threads(0);
  EXPECT_EQ(num_threads(), before);
  EXPECT_THROW(set_num_threads(-1), ValueError);
  EXPECT_EQ(num_threads(), before);
}

TEST_F(Threads, ATeamHasDistinctNumbers) {
  for (int wanted : {1, 2, 3, 5}) {
    std::vector<std::atomic<int>> seen(static_cast<std::size_t>(wanted));
    std::atomic<int> size{0};
    run_team(wanted, [&](int thread, int team) {
      seen[static_cast<std::size_t>(thread)]++;
      size = team;
    });
    ASSERT_GE(size, 1);
    ASSERT_LE(size, wanted);
    for (int i = 0; i < wanted; i++) EXPECT_EQ(seen[static_cast<std::size_t>(i)], i < size ? 1 : 0);
  }
}

TEST_F(Threads, TheBarrierWaitsForAll) {
  std::atomic<int> arrived{0};
  std::atomic<bool> early{false};
  run_team(3, [&](int, int team) {
    for (int round = 1; round <= 100; round++) {
      arrived++;
      team_barrier(team);
      if (arrived < round * team) early = true;
      team_barrier(team);
    }
  });
  EXPECT_FALSE(early);
}

TEST_F(Threads, GuardsGiveATeamToOneRunAtATime) {
  set_num_threads(2);
  {
    const RunGuard first(1.0);
    EXPECT_EQ(first.threads(), 2);
    EXPECT_EQ(RunGuard(1.0).threads(), 1);
  }
  EXPECT_EQ(RunGuard(1.0).threads(), 2);
  EXPECT_EQ(RunGuard(1e-6).threads(), 1);  // not worth a team
  set_num_threads(1);
  EXPECT_EQ(RunGuard(1.0).threads(), 1);
}

TEST_F(Threads, NoTeamInsideAnothersParallelRegion) {
  set_num_threads(2);
  std::atomic<int> most{0};
  run_team(2, [&](int thread, int) {
    if (thread == 0) most = RunGuard(1.0).threads();
  });
  EXPECT_EQ(most, 1);
}

}  // namespace
}  // namespace kiln::runtime
