// The cache's parts alone: keys, encoded programs, the folder and its size.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <functional>
#include <set>

#include "codegen/cache_folder.h"
#include "codegen/program_image.h"
#include "codegen/program_key.h"
#include "kiln/graph/ops.h"
#include "tests/codegen/cache_support.h"
#include "tests/support/errors.h"

namespace kiln::codegen {
namespace {

using graph::Graph;
using graph::Value;
using kiln::testing::message_of;

// ---- keys -------------------------------------------------------------------------------------------------

struct Names {
  std::string graph = "g", input = "x", state = "w", output = "y", label = "layer";
  std::int64_t size = 4;
  DType dtype = DType::f32;
  float first = 1;
  bool minus = false, swapped = false, update = true;
};

Digest key_of(const Names& names) {
  Graph g(names.graph);
  const graph::Type type{names.dtype, Shape{names.size}};
  const Value x = g.input(names.input, type), w = g.state(names.state, type);
  g.label = names.label;
  const Value c = convert(constant(g, Tensor({names.first, 2.f, 3.f, 4.f})), names.dtype);
  const Value sum = slice(c, {0}, {1}, {1}) + (names.swapped ? w - x : names.minus ? x - w : x + w);
  if (names.update) g.update(w, sum);
  g.output(names.output, sum);
  return program_key(g, {}, Target::host()).digest;
}

TEST(ProgramKey, HasAllOfTheGraph) {
  std::set<Digest> digests = {key_of({}), key_of({})};
  EXPECT_EQ(digests.size(), 1U);
  const std::vector<std::function<void(Names&)>> changes = {
      [](Names& n) { n.graph = "h"; },
      [](Names& n) { n.input = "v"; },
      [](Names& n) { n.state = "v"; },
      [](Names& n) { n.output = "v"; },
      [](Names& n) { n.label = "other"; },
      [](Names& n) { n.size = 5; },
      [](Names& n) { n.dtype = DType::f64; },
      [](Names& n) { n.first = std::nextafter(1.f, 2.f); },
      [](Names& n) { n.first = 0.f; },
      [](Names& n) { n.first = -0.f; },
      [](Names& n) { n.minus = true; },
      [](Names& n) { n.swapped = true; },
      [](Names& n) { n.update = false; },
      [](Names& n) {  // a border between two names that moves
        n.graph = "";
        n.input = "gx";
      }};
  for (const auto& change : changes) {
    Names names;
    change(names);
    EXPECT_TRUE(digests.insert(key_of(names)).second) << digests.size();
  }
}

TEST(ProgramKey, HasOptionsAndTarget) {
  const Graph g = step_graph();
  std::set<Digest> digests = {program_key(g, {}, Target::host()).digest};
  for (const CompileOptions& options :
       {CompileOptions{.fuse = false}, CompileOptions{.reuse_memory = false},
        CompileOptions{.weights_stay = true}, CompileOptions{.vector_bits = 128},
        CompileOptions{.conv = graph::ConvAlgorithm::direct}, CompileOptions{.autotune = true}})
    EXPECT_TRUE(digests.insert(program_key(g, options, Target::host()).digest).second);
  const std::vector<std::function<void(Target&)>> changes = {
      [](Target& t) { t.triple += "x"; },
      [](Target& t) { t.cpu += "x"; },
      [](Target& t) { t.features += ",+x"; },
      [](Target& t) { t.vector_bits /= 2; },
      [](Target& t) { t.vector_registers += 1; },
      [](Target& t) { t.l1_bytes *= 2; },
      [](Target& t) { t.has_fma = !t.has_fma; },
      [](Target& t) { t.has_rounding = !t.has_rounding; },
      [](Target& t) { t.masked_access = MaskedAccess::none; },
      [](Target& t) { t.l2_bytes *= 2; }};
  for (const auto& change : changes) {
    Target target = Target::host();
    change(target);
    EXPECT_TRUE(digests.insert(program_key(g, {}, target).digest).second) << digests.size();
  }
}

TEST(ProgramKey, LargeConstantsCountToTheLastElement) {
  Tensor large = Tensor::zeros({100000});
  const auto key = [&] {
    Graph g("large");
    g.output("y", constant(g, large.clone()) + 1.0);
    return program_key(g, {}, Target::host());
  };
  const ProgramKey zeros = key();
  EXPECT_GT(zeros.bytes, large.nbytes());
  large.data<float>()[99999] = 1e-30f;
  EXPECT_NE(key().digest, zeros.digest);
}

// ---- encoded programs -------------------------------------------------------------------------------------

ProgramImage image() {
  ProgramImage image;
  image.program.name = "p";
  image.program.constants = {Tensor({1.f, 2.f}), Tensor::zeros({0, 3}), Tensor::scalar(3, DType::i64)};
  image.program.checks = {"", "text"};
  image.program.steps.resize(2);
  image.program.steps[1].buffers = {{runtime::BufferRef::Space::arena, 3, 1 << 20}};
  image.objects = {std::make_shared<const ObjectCode>(ObjectCode{"f", std::string("\0x", 2)})};
  return image;
}

TEST(ProgramImage, ComesBackAsItWas) {
  const std::string bytes = encode(image());
  const ProgramImage back = decode(bytes);
  EXPECT_EQ(encode(back), bytes);
  EXPECT_EQ(back.program.constants[0].to_vector<float>(), (std::vector<float>{1, 2}));
  EXPECT_EQ(back.program.constants[1].shape(), (Shape{0, 3}));
  EXPECT_EQ(back.program.constants[2].item(), 3);
  EXPECT_EQ(back.program.steps[1].buffers, image().program.steps[1].buffers);
  EXPECT_EQ(back.objects[0]->bytes, std::string("\0x", 2));
}

TEST(ProgramImage, BytesThatEndEarlyOrLateAreErrors) {
  const std::string bytes = encode(image());
  for (std::size_t size = 0; size < bytes.size(); size++)
    EXPECT_THROW(decode(std::string_view(bytes).substr(0, size)), FileError) << size;
  EXPECT_THROW(decode(bytes + "x"), FileError);
}

TEST(ProgramImage, ADamagedObjectIsAnErrorOfItsOwn) {
  EXPECT_THROW(load(image()), InternalError);
}

// ---- the folder -------------------------------------------------------------------------------------------

struct CacheFolderTest : CacheTest {
  CacheFolder open() { return *CacheFolder::open(); }
  /// Says that a file was last used so many seconds ago.
  void age(const std::string& name, int seconds) {
    timespec times[2] = {};
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= seconds;
    times[1] = times[0];
    ASSERT_EQ(utimensat(AT_FDCWD, (folder() + "/" + name).c_str(), times, 0), 0);
  }
  const std::string content = std::string(400 << 10, 'x');
};

TEST_F(CacheFolderTest, WhatWasUsedLongestAgoMakesRoom) {
  setenv("KILN_CACHE_SIZE", "1", 1);
  const CacheFolder cache = open();
  cache.write("a", content);
  cache.write("b", content);
  age("a.kiln", 20);
  age("b.kiln", 10);
  cache.write("c", content);
  EXPECT_FALSE(cache.read("a"));
  EXPECT_EQ(cache.read("b"), content);  // and is used now
  age("c.kiln", 5);
  cache.write("d", content);
  EXPECT_TRUE(cache.read("b"));
  EXPECT_FALSE(cache.read("c"));
  EXPECT_TRUE(cache.read("d"));
}

TEST_F(CacheFolderTest, KeepsNothingLargerThanTheWhole) {
  setenv("KILN_CACHE_SIZE", "1", 1);
  const CacheFolder cache = open();
  cache.write("a", content);
  cache.write("b", std::string(1 << 20, 'x') + 'x');
  EXPECT_TRUE(cache.read("a"));
  EXPECT_FALSE(cache.read("b"));
  setenv("KILN_CACHE_SIZE", "0", 1);
  open().write("a", content);
  open().write("b", "x");
  EXPECT_FALSE(cache.read("b"));
}

TEST_F(CacheFolderTest, LeavesOtherFilesAlone) {
  setenv("KILN_CACHE_SIZE", "1", 1);
  const CacheFolder cache = open();
  kiln::testing::write_file(folder() + "/mine.txt", std::string(3 << 20, 'x'));
  age("mine.txt", 100000);
  cache.write("a", content);
  EXPECT_TRUE(cache.read("a"));
  EXPECT_TRUE(std::filesystem::exists(folder() + "/mine.txt"));
}

TEST_F(CacheFolderTest, RemovesWhatAKilledProcessLeft) {
  const CacheFolder cache = open();
  kiln::testing::write_file(folder() + "/a.kiln.tmp-1-0", "half");
  kiln::testing::write_file(folder() + "/b.kiln.tmp-1-0", "being written");
  age("a.kiln.tmp-1-0", 4000);
  cache.write("c", content);
  EXPECT_FALSE(std::filesystem::exists(folder() + "/a.kiln.tmp-1-0"));
  EXPECT_TRUE(std::filesystem::exists(folder() + "/b.kiln.tmp-1-0"));
}

TEST_F(CacheFolderTest, ASizeThatIsNoNumberIsAnError) {
  for (const char* size : {"big", "-1", "1.5", "10 MiB", "99999999999999999999"}) {
    setenv("KILN_CACHE_SIZE", size, 1);
    const std::string error = message_of<ValueError>([] { CacheFolder::open(); });
    EXPECT_NE(error.find("KILN_CACHE_SIZE"), std::string::npos) << error;
    EXPECT_NE(error.find(size), std::string::npos) << error;
  }
}

}  // namespace
}  // namespace kiln::codegen
