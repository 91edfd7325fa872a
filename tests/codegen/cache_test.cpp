// Programs in the folder KILN_CACHE: a hit is the program that was stored, everything else is compiled anew.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <thread>

#include "codegen/faults.h"
#include "kiln/codegen/compile.h"
#include "kiln/graph/ops.h"
#include "kiln/runtime/executable.h"
#include "tests/codegen/cache_support.h"
#include "tests/support/errors.h"

namespace kiln::codegen {
namespace {

using kiln::testing::message_of;
using kiln::testing::read_file;
using kiln::testing::write_file;

std::string text_of(const std::vector<runtime::BufferDesc>& descriptions) {
  std::string text;
  for (const auto& [name, dtype, shape] : descriptions)
    text += fmt::format("  {}: {}{}\n", name, short_name(dtype), shape.to_string());
  return text;
}

/// All that a program says of itself but addresses and times. A field that is added must be told here.
std::string facts(const runtime::Program& program) {
  const auto& [name, inputs, states, outputs, constants, checks, steps, entry, arena_bytes,
               intermediate_bytes, scratch_bytes, graph_nodes, distinct_kernels, compile_seconds, from_cache,
               red_zones, arena_values, code] = program;
  std::string text = fmt::format("{}\ninputs\n{}states\n{}outputs\n{}", name, text_of(inputs),
                                 text_of(states), text_of(outputs));
  for (const Tensor& t : constants)
    text += fmt::format("constant {}{} {}\n", short_name(t.dtype()), t.shape().to_string(), t.to_string());
  for (const auto& [fn, step, buffers, barrier_before, serial, prepared, leave_on_error, flops, bytes,
                    kernel] : steps) {
    text += fmt::format("step {} {} {} {} {} {} {} {}\n", step, barrier_before, serial, prepared,
                        leave_on_error, flops, bytes, kernel);
    for (const auto& [space, index, offset] : buffers)
      text += fmt::format("  buffer {} {} {}\n", static_cast<int>(space), index, offset);
  }
  for (const auto& [offset, bytes, first, last, type] : arena_values)
    text += fmt::format("arena value {} {} {} {} {}\n", offset, bytes, first, last, type);
  return text + fmt::format("{}\n{} {} {} {} {} {}\n", fmt::join(checks, "\n"), arena_bytes,
                            intermediate_bytes, scratch_bytes, graph_nodes, distinct_kernels, red_zones);
}

TEST_F(CacheTest, AHitIsTheProgramThatWasStored) {
  const graph::Graph g = step_graph();
  const auto made = compile(g), found = compile(g);
  EXPECT_FALSE(made->from_cache);
  ASSERT_TRUE(found->from_cache);
  EXPECT_EQ(facts(*made), facts(*found));
  EXPECT_FALSE(made->checks.empty());
  EXPECT_FALSE(made->constants.empty());
  EXPECT_FALSE(made->arena_values.empty());
  EXPECT_EQ(run(made), run(found));
  for (int threads : {1, 3}) {
    set_num_threads(threads);
    EXPECT_EQ(run(made), run(found));
  }
  set_num_threads(0);
}

TEST_F(CacheTest, AFailedCheckOfAHitSaysTheSame) {
  const graph::Graph g = step_graph();
  const auto error_of = [&] { return message_of<DataError>([&] { run(compile(g), 7); }); };
  const std::string error = error_of();
  EXPECT_NE(error.find("label 7 in row 2"), std::string::npos) << error;
  EXPECT_EQ(error, error_of());
}

TEST_F(CacheTest, OneFolderOfOneUser) {
  compile(step_graph());
  struct stat info{};
  ASSERT_EQ(stat(folder().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700U);
  ASSERT_EQ(entries().size(), 1U);
  ASSERT_EQ(stat(entries()[0].c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
}

TEST_F(CacheTest, IsOffIfKilnCacheIsUnsetOrEmpty) {
  const std::string path = folder();
  for (const char* value : {static_cast<const char*>(nullptr), ""}) {
    value == nullptr ? unsetenv("KILN_CACHE") : setenv("KILN_CACHE", value, 1);
    compile(step_graph());
    EXPECT_FALSE(compile(step_graph())->from_cache);
    EXPECT_FALSE(std::filesystem::exists(path));
  }
}

TEST_F(CacheTest, ADumpHasAllStagesThoughTheCacheHasTheProgram) {
  compile(step_graph());
  const kiln::testing::TemporaryFolder dump;
  setenv("KILN_DUMP", dump.path().c_str(), 1);
  EXPECT_FALSE(compile(step_graph())->from_cache);
  unsetenv("KILN_DUMP");
  EXPECT_TRUE(std::filesystem::exists(dump / "step/plan.txt"));
  EXPECT_TRUE(compile(step_graph())->from_cache);
}

TEST_F(CacheTest, PlantedFaultsAreNeitherStoredNorHidden) {
  {
    const PlantedFault fault(Fault::last_tile_skipped);
    compile(step_graph());
    EXPECT_FALSE(std::filesystem::exists(folder()));
  }
  compile(step_graph());
  const PlantedFault fault(Fault::last_tile_skipped);
  EXPECT_FALSE(compile(step_graph())->from_cache);
}

TEST_F(CacheTest, OtherOptionsAreOtherPrograms) {
  const graph::Graph g = step_graph();
  const CompileOptions all[] = {
      {}, {.fuse = false}, {.reuse_memory = false}, {.vector_bits = 128}, {.memory_limit = 1 << 30}};
  for (const CompileOptions& options : all) EXPECT_FALSE(compile(g, options)->from_cache);
  EXPECT_EQ(entries().size(), std::size(all));
  EXPECT_GT(compile(g, {.fuse = false})->steps.size(), compile(g)->steps.size());
}

// ---- damage -----------------------------------------------------------------------------------------------

struct DamageTest : CacheTest {
  std::string path, good;
  void SetUp() override {
    CacheTest::SetUp();
    compile(step_graph());
    path = entries().at(0);
    good = read_file(path);
    ASSERT_GT(good.size(), 1000U);
  }
  /// Whether the entry counts if the file has this content.
  bool counts(const std::string& content) {
    write_file(path, content);
    return in_cache(step_graph());
  }
};

TEST_F(DamageTest, AnEntryTooShortOrTooLongIsNone) {
  EXPECT_TRUE(counts(good));
  const std::size_t header = 96;
  for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{50},
                           header - 1, header, header + 1, header + 8, good.size() / 2, good.size() - 1})
    EXPECT_FALSE(counts(good.substr(0, size))) << size;
  EXPECT_FALSE(counts(good + '\0'));
  EXPECT_FALSE(counts(good + good));
}

TEST_F(DamageTest, AnEntryWithOneOtherBitIsNone) {
  const std::size_t step = good.size() / 200;
  for (std::size_t at = 0; at < good.size(); at += at < 128 ? 1 : step) {
    std::string damaged = good;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
    EXPECT_FALSE(counts(damaged)) << at;
  }
  std::string damaged = good;
  damaged.back() = static_cast<char>(damaged.back() ^ 0x80);
  EXPECT_FALSE(counts(damaged));
}

TEST_F(DamageTest, AnEntryOfAnotherProgramOrKindIsNone) {
  compile(step_graph(0.25));
  const std::vector<std::string> both = entries();
  const std::string other = read_file(both[0] == path ? both[1] : both[0]);
  EXPECT_FALSE(counts(other));
  EXPECT_FALSE(counts(std::string(good.size(), '\0')));
  // Neither is what isn't a file of its own.
  const std::string elsewhere = folder() + "/elsewhere";
  write_file(elsewhere, good);
  std::filesystem::remove(path);
  std::filesystem::create_symlink(elsewhere, path);
  EXPECT_FALSE(in_cache(step_graph()));
  std::filesystem::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_FALSE(in_cache(step_graph()));
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  EXPECT_FALSE(in_cache(step_graph()));
}

TEST_F(DamageTest, ADamagedEntryIsCompiledAndStoredAnew) {
  const auto made = compile(step_graph());
  for (const std::string& damaged :
       {std::string(), good.substr(0, good.size() / 2), std::string(good.size(), 'x')}) {
    write_file(path, damaged);
    const auto again = compile(step_graph());
    EXPECT_FALSE(again->from_cache);
    EXPECT_EQ(run(again), run(made));
    EXPECT_TRUE(compile(step_graph())->from_cache);
  }
}

// ---- folders that can't serve
// -------------------------------------------------------------------------------

TEST_F(CacheTest, AFolderThatOthersMayWriteIsRefused) {
  std::filesystem::create_directory(folder());
  for (const mode_t mode : {0777, 0770, 0702, 01777}) {
    ASSERT_EQ(chmod(folder().c_str(), mode), 0);
    const std::string error = message_of<FileError>([&] { compile(step_graph()); });
    EXPECT_NE(error.find("may be written by others"), std::string::npos) << error;
    EXPECT_NE(error.find("chmod 700"), std::string::npos) << error;
  }
  for (const mode_t mode : {0755, 0700}) {
    ASSERT_EQ(chmod(folder().c_str(), mode), 0);
    EXPECT_NO_THROW(compile(step_graph()));
  }
  EXPECT_EQ(entries().size(), 1U);
}

TEST_F(CacheTest, AFolderOfAnotherUserIsRefused) {
  if (geteuid() == 0) {
    std::filesystem::create_directory(folder());
    ASSERT_EQ(chown(folder().c_str(), 12345, 12345), 0);
  } else {
    setenv("KILN_CACHE", "/usr", 1);
  }
  const std::string error = message_of<FileError>([&] { compile(step_graph()); });
  EXPECT_NE(error.find("belongs to the user"), std::string::npos) << error;
}

TEST_F(CacheTest, AnEntryOfAnotherUserIsNone) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  compile(step_graph());
  ASSERT_TRUE(in_cache(step_graph()));
  ASSERT_EQ(chown(entries()[0].c_str(), 12345, 12345), 0);
  EXPECT_FALSE(in_cache(step_graph()));
}

TEST_F(CacheTest, AFileIsNoFolder) {
  write_file(folder(), "text");
  const std::string error = message_of<FileError>([&] { compile(step_graph()); });
  EXPECT_NE(error.find("is not a folder"), std::string::npos) << error;
}

TEST_F(CacheTest, AFolderIsMadeWithItsParents) {
  setenv("KILN_CACHE", (folder() + "/a/b").c_str(), 1);
  compile(step_graph());
  EXPECT_TRUE(compile(step_graph())->from_cache);
}

TEST_F(CacheTest, WhereNothingCanBeMadeOrWrittenCompilingWorks) {
  setenv("KILN_CACHE", "/proc/self/kiln", 1);  // not even root can make that
  EXPECT_FALSE(compile(step_graph())->from_cache);
  setenv("KILN_CACHE", folder().c_str(), 1);
  std::filesystem::create_directory(folder());
  EXPECT_TRUE(in_child([&] {  // a user who may read the folder but not write
    if (geteuid() == 0) {
      ASSERT_EQ(chown(folder().c_str(), 12345, 12345), 0);
      ASSERT_EQ(chmod(std::filesystem::path(folder()).parent_path().c_str(), 0755), 0);
      ASSERT_EQ(setuid(12345), 0);
    }
    ASSERT_EQ(chmod(folder().c_str(), 0500), 0);
    EXPECT_FALSE(run(compile(step_graph())).empty());
    EXPECT_TRUE(std::filesystem::is_empty(folder()));
  }));
}

TEST_F(CacheTest, AFullDiskLeavesNoTrace) {
  EXPECT_TRUE(in_child([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit little{1000, 1000};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &little), 0);
    EXPECT_FALSE(run(compile(step_graph())).empty());
    EXPECT_TRUE(std::filesystem::is_empty(folder()));
  }));
}

// ---- several at once
// ----------------------------------------------------------------------------------------

TEST_F(CacheTest, ProcessesShareTheFolder) {
  const auto expected = run(compile(step_graph()));
  std::filesystem::remove_all(folder());
  std::vector<pid_t> children;
  for (int i = 0; i < 4; i++) {
    children.push_back(start_child([&] {
      for (int j = 0; j < 5; j++) {
        EXPECT_EQ(run(compile(step_graph())), expected);
        if (j % 2 == 0) {
          for (const std::string& path : entries()) unlink(path.c_str());
        }
      }
    }));
  }
  for (const pid_t child : children) EXPECT_TRUE(ended_well(child));
  compile(step_graph());
  EXPECT_TRUE(compile(step_graph())->from_cache);
  EXPECT_EQ(entries().size(), 1U) << "no half-written files stay";
}

TEST_F(CacheTest, ThreadsShareTheFolder) {
  const auto expected = run(compile(step_graph()));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([&] {
      for (int j = 0; j < 5; j++) EXPECT_EQ(run(compile(step_graph())), expected);
    });
  }
  for (std::thread& t : threads) t.join();
}

}  // namespace
}  // namespace kiln::codegen
