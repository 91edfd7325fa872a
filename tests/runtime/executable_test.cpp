#include "kiln/runtime/executable.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <thread>

#include "tests/runtime/programs.h"
#include "tests/support/errors.h"

extern "C" __attribute__((weak)) int __asan_address_is_poisoned(const volatile void*);

namespace kiln::runtime {
namespace {

using kiln::testing::message_of;
using testing::kN;
using testing::mirror_program;
using testing::probe_program;

/// x, w and y of the mirror program, and what y must become.
struct Mirror {
  explicit Mirror(float seed = 1)
      : inputs{Tensor(Shape{kN})}, states{Tensor(Shape{kN})}, outputs{Tensor(Shape{kN})} {
    for (std::int64_t i = 0; i < kN; i++) {
      inputs[0](i) = std::fmod(seed * static_cast<double>(i) * 0.7310585, 3.0);
      states[0](i) = static_cast<double>(i % 7) * 0.125;
    }
  }
  std::vector<float> expected() const {
    const float* x = inputs[0].data<float>();
    const float* w = states[0].data<float>();
    std::vector<float> y(kN);
    for (std::size_t i = 0; i < kN; i++) {
      const std::size_t j = kN - 1 - i;
      y[i] = (2 * x[i] + w[i]) - 3 * (2 * x[j] + w[j]);
    }
    return y;
  }
  std::vector<Tensor> inputs, states, outputs;
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

class ExecutableTest : public ::testing::Test {
 protected:
  ~ExecutableTest() override { set_num_threads(0); }
};

TEST_F(ExecutableTest, RunsWithAnyNumberOfThreads) {
  Executable executable(mirror_program());
  for (int threads : {1, 2, 3, 5}) {
    set_num_threads(threads);
    Mirror m;
    for (int step = 0; step < 3; step++) {
      const std::vector<float> expected = m.expected();
      executable.run(m.inputs, m.states, m.outputs);
      EXPECT_TRUE(same_bits(m.outputs[0].to_vector<float>(), expected))
          << threads << " threads, step " << step;
      EXPECT_EQ(m.states[0](8), 0.125 + step + 1);
    }
  }
}

TEST_F(ExecutableTest, RawAddressesNeedOnlyTheirTypesAlignment) {
  Executable executable(mirror_program());
  Mirror m;
  std::vector<float> memory(3 * (kN + 1));
  float* x = memory.data() + 1;
  float* w = x + kN;
  float* y = w + kN;
  std::memcpy(x, m.inputs[0].raw(), kN * sizeof(float));
  std::memcpy(w, m.states[0].raw(), kN * sizeof(float));
  void* inputs[] = {x};
  void* states[] = {w};
  void* outputs[] = {y};
  executable.run_raw(inputs, states, outputs);
  EXPECT_TRUE(same_bits({y, y + kN}, m.expected()));
}

TEST_F(ExecutableTest, EightThreadsAtOnceGetTheSerialBits) {
  Executable executable(mirror_program());
  set_num_threads(2);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; t++) {
    threads.emplace_back([&, t] {
      Mirror m(static_cast<float>(t + 1));
      for (int step = 0; step < 100; step++) {
        const std::vector<float> expected = m.expected();
        executable.run(m.inputs, m.states, m.outputs);
        if (!same_bits(m.outputs[0].to_vector<float>(), expected)) wrong++;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

// ---- how many threads
// ---------------------------------------------------------------------------------------

std::int64_t team_of(Executable& executable) {
  std::vector<Tensor> outputs{Tensor({1}, DType::i64)};
  executable.run({}, {}, outputs);
  return static_cast<std::int64_t>(outputs[0](0));
}

TEST_F(ExecutableTest, SmallProgramsRunOnTheCallersThread) {
  set_num_threads(2);
  Executable large(probe_program(1e-3)), small(probe_program(5e-6));
  EXPECT_EQ(team_of(large), 2);
  EXPECT_EQ(team_of(small), 1);
}

std::atomic<bool> entered{false}, may_leave{false};

TEST_F(ExecutableTest, ARunBesideAnotherHasOneThread) {
  set_num_threads(2);
  auto waiting = std::make_shared<Program>();
  waiting->name = "waiting";
  waiting->entry = [](void* const*, ErrorRecord*, std::int32_t, std::int32_t) -> std::int32_t {
    entered = true;
    while (!may_leave) std::this_thread::yield();
    return 0;
  };
  Executable blocker(waiting), probe(probe_program(1e-3));
  std::thread other([&] { blocker.run({}, {}, {}); });
  while (!entered) std::this_thread::yield();
  EXPECT_EQ(team_of(probe), 1);
  may_leave = true;
  other.join();
  EXPECT_EQ(team_of(probe), 2);
}

TEST_F(ExecutableTest, ARunInsideAParallelRegionHasOneThread) {
  set_num_threads(2);
  Executable probe(probe_program(1e-3));
  std::atomic<std::int64_t> team{0};
  run_team(2, [&](int thread, int) {
    if (thread == 0) team = team_of(probe);
  });
  EXPECT_EQ(team, 1);
}

// ---- checks
// ------------------------------------------------------------------------------------------------

TEST_F(ExecutableTest, AFailedCheckThrowsAndLeavesTheState) {
  Executable executable(mirror_program());
  for (int threads : {1, 2}) {
    set_num_threads(threads);
    Mirror m;
    const std::vector<float> before = m.states[0].to_vector<float>();
    m.inputs[0](37) = -3;
    m.inputs[0](612) = -4;
    EXPECT_EQ(message_of<DataError>([&] { executable.run(m.inputs, m.states, m.outputs); }),
              "row 37 is -3: values must not be negative");
    EXPECT_THROW(executable.profile(m.inputs, m.states, m.outputs), DataError);
    EXPECT_THROW(executable.run_shuffled(m.inputs, m.states, m.outputs, 3, 1), DataError);
    EXPECT_TRUE(same_bits(m.states[0].to_vector<float>(), before));
    m.inputs[0](37) = m.inputs[0](612) = 1;  // and the next run knows nothing of it
    const std::vector<float> expected = m.expected();
    executable.run(m.inputs, m.states, m.outputs);
    EXPECT_TRUE(same_bits(m.outputs[0].to_vector<float>(), expected));
  }
}

TEST_F(ExecutableTest, AnUnknownCheckIsAFaultOfOurs) {
  auto program = mirror_program();
  program->checks.clear();
  Executable executable(program);
  Mirror m;
  m.inputs[0](0) = -1;
  EXPECT_THROW(executable.run(m.inputs, m.states, m.outputs), InternalError);
}

// ---- arguments
// ---------------------------------------------------------------------------------------------

TEST_F(ExecutableTest, ArgumentsMustBeTheProgramsOwn) {
  Executable executable(mirror_program());
  Mirror m;
  const auto message = [&](const std::vector<Tensor>& inputs) {
    return message_of<Error>([&] { executable.run(inputs, m.states, m.outputs); });
  };
  EXPECT_EQ(message({}), "program 'mirror': 0 inputs given, it has 1");
  EXPECT_EQ(message({Tensor()}), "program 'mirror', input 0 'x': the Tensor is empty");
  EXPECT_EQ(message({Tensor(Shape{kN, 1})}),
            "program 'mirror', input 0 'x': the shape is (1000, 1), the program was compiled for (1000,)");
  EXPECT_EQ(
      message({Tensor({kN}, DType::i32)}),
      "program 'mirror', input 0 'x': the type is int32, the program was compiled for float32; convert with "
      "astype()");
  std::vector<float> memory(2 * kN);
  EXPECT_EQ(message({Tensor::view(memory.data(), {kN}, {2})}),
            "program 'mirror', input 0 'x': the elements are not contiguous; pass contiguous()");
  EXPECT_THROW(executable.run(m.inputs, {}, m.outputs), ValueError);
  EXPECT_THROW(executable.run(m.inputs, m.states, {}), ValueError);
}

TEST_F(ExecutableTest, WhatIsWrittenMustLieApart) {
  Executable executable(mirror_program());
  Mirror m;
  EXPECT_EQ(message_of<ValueError>([&] { executable.run(m.inputs, m.states, m.inputs); }),
            "program 'mirror': the output 'y' shares memory with another argument; pass a clone()");
  EXPECT_THROW(executable.run(m.inputs, m.states, m.states), ValueError);
  EXPECT_THROW(executable.run(m.inputs, m.inputs, m.outputs), ValueError);
  Tensor both(Shape{2 * kN - 1});
  std::vector<Tensor> inputs{both.slice(0, kN)}, outputs{both.slice(kN - 1, 2 * kN - 1)};
  EXPECT_THROW(executable.run(inputs, m.states, outputs), ValueError);
}

TEST_F(ExecutableTest, ArraysWithoutElements) {
  auto program = std::make_shared<Program>();
  program->name = "nothing";
  program->inputs = {{"x", DType::f32, {0, 3}}};
  program->states = {{"w", DType::f32, {0}}};
  program->outputs = {{"y", DType::f32, {0, 3}}};
  program->entry = [](void* const* table, ErrorRecord*, std::int32_t, std::int32_t) -> std::int32_t {
    return table[0] == nullptr || table[1] == nullptr || table[2] == nullptr || table[3] == nullptr;
  };
  Step& s = program->steps.emplace_back();
  s.name = "nothing";
  s.fn = [](void* const*, std::int64_t, std::int64_t) {};
  s.buffers = {{BufferRef::Space::input, 0, 0},
               {BufferRef::Space::state, 0, 0},
               {BufferRef::Space::output, 0, 0},
               {BufferRef::Space::arena, 0, 0}};
  Executable executable(program);
  std::vector<Tensor> inputs{Tensor({0, 3}, DType::f32)}, states{Tensor({0}, DType::f32)},
      outputs{Tensor({0, 3}, DType::f32)};
  executable.run(inputs, states, outputs);
  executable.run(inputs, states, inputs);  // nothing is shared
  EXPECT_EQ(executable.profile(inputs, states, outputs).size(), 1u);
  executable.run_shuffled(inputs, states, outputs, 3, 0);
}

TEST_F(ExecutableTest, ProgramsThatContradictThemselves) {
  const auto expect_refused = [](const std::shared_ptr<Program>& program) {
    EXPECT_THROW(Executable{program}, InternalError);
  };
  EXPECT_THROW(Executable{nullptr}, InternalError);
  auto program = mirror_program();
  program->entry = nullptr;
  expect_refused(program);
  program = mirror_program();
  program->steps[1].fn = nullptr;
  expect_refused(program);
  program = mirror_program();
  program->steps[1].buffers[0].index = 1;
  expect_refused(program);
  program = mirror_program();
  program->steps[1].buffers[2].offset = program->arena_bytes + 64;
  expect_refused(program);
  program = mirror_program();
  program->arena_bytes = -1;
  expect_refused(program);
}

// ---- memory
// ------------------------------------------------------------------------------------------------

/// A program with constants whose kernel adds arena[0] and constant[0] into the output, without writing the
/// arena before; large enough for huge pages.
std::shared_ptr<Program> arena_program(std::int64_t arena_bytes) {
  auto program = std::make_shared<Program>();
  program->name = "arena";
  program->outputs = {{"sum", DType::f32, {1}}, {"alignment", DType::i64, {1}}};
  program->constants = {Tensor({2.5f})};
  program->arena_bytes = arena_bytes;
  Step& s = program->steps.emplace_back();
  s.name = "sum";
  s.fn = [](void* const* b, std::int64_t, std::int64_t) {
    *static_cast<float*>(b[2]) = *static_cast<const float*>(b[0]) + *static_cast<const float*>(b[1]);
    *static_cast<std::int64_t*>(b[3]) =
        static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(b[0]) % 64);
    *static_cast<float*>(b[0]) = 1;
  };
  s.buffers = {{BufferRef::Space::arena, 0, arena_bytes - 64},
               {BufferRef::Space::constant, 0, 0},
               {BufferRef::Space::output, 0, 0},
               {BufferRef::Space::output, 1, 0}};
  program->entry = [](void* const* table, ErrorRecord*, std::int32_t, std::int32_t) -> std::int32_t {
    *static_cast<float*>(table[2]) =
        *static_cast<const float*>(table[0]) + *static_cast<const float*>(table[1]);
    *static_cast<std::int64_t*>(table[3]) =
        static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(table[0]) % 64);
    *static_cast<float*>(table[0]) = 1;
    return 0;
  };
  return program;
}

TEST_F(ExecutableTest, ArenasAreAlignedAndUsedAgain) {
  for (std::int64_t bytes : {64, 4096, 16 << 20}) {
    Executable executable(arena_program(bytes));
    std::vector<Tensor> outputs{Tensor({1}, DType::f32), Tensor({1}, DType::i64)};
    executable.run({}, {}, outputs);
    EXPECT_EQ(outputs[1].item(), 0);
    executable.run({}, {}, outputs);  // the first run left 1 in the arena
    EXPECT_EQ(outputs[0].item(), 3.5);
  }
}

/// Three steps with barriers between them: 1 into bytes [0, 8) of the arena, a step that writes over [4, 8) in
/// place, and a step that adds both halves into the output. The description says when the value of step 0 ends.
std::shared_ptr<Program> dying_program(std::size_t last) {
  auto program = std::make_shared<Program>();
  program->name = "dying";
  program->outputs = {{"sum", DType::f32, {1}}};
  program->arena_bytes = 8;
  program->arena_values = {{0, 8, 0, last}, {4, 4, 1, 2}};
  program->entry = [](void* const*, ErrorRecord*, std::int32_t, std::int32_t) -> std::int32_t { return 0; };
  const auto add = [&](const char* name, KernelFn fn) {
    Step& s = program->steps.emplace_back();
    s.name = name;
    s.fn = fn;
    s.serial = s.barrier_before = true;
    s.buffers = {{BufferRef::Space::arena, 0, 0}, {BufferRef::Space::output, 0, 0}};
  };
  add("write", [](void* const* b, std::int64_t, std::int64_t) { static_cast<float*>(b[0])[0] = 1; });
  add("write over", [](void* const* b, std::int64_t, std::int64_t) { static_cast<float*>(b[0])[1] = 2; });
  add("read", [](void* const* b, std::int64_t, std::int64_t) {
    *static_cast<float*>(b[1]) = static_cast<float*>(b[0])[0] + static_cast<float*>(b[0])[1];
  });
  return program;
}

TEST_F(ExecutableTest, ShuffledRunsSeeNoDeadValue) {
  std::vector<Tensor> outputs{Tensor({1}, DType::f32)};
  Executable(dying_program(2)).run_shuffled({}, {}, outputs, 2, 0);
  EXPECT_EQ(outputs[0].item(), 3);
  Executable(dying_program(1)).run_shuffled({}, {}, outputs, 2, 0);  // step 2 reads what died in step 1
  EXPECT_TRUE(std::isnan(outputs[0].item()));
}

TEST_F(ExecutableTest, WithRedZonesTheArenaBeginsAsNaN) {
  for (std::int64_t bytes : {64, 100, 4096}) {
    auto program = arena_program(bytes);
    program->steps[0].buffers[0].offset = (bytes - 4) / 4 * 4;
    program->red_zones = true;
    program->arena_values = {{0, bytes, 0, 0}};
    Executable executable(program);
    std::vector<Tensor> outputs{Tensor({1}, DType::f32), Tensor({1}, DType::i64)};
    for (int i = 0; i < 2; i++) {
      executable.run({}, {}, outputs);
      EXPECT_TRUE(std::isnan(outputs[0].item()));
    }
  }
}

TEST_F(ExecutableTest, WithRedZonesTheGapsArePoisoned) {
  if (__asan_address_is_poisoned == nullptr) GTEST_SKIP() << "only AddressSanitizer has poison";
  auto program = std::make_shared<Program>();
  program->name = "gaps";
  program->outputs = {{"poisoned", DType::u8, {320}}};
  program->arena_bytes = 320;
  program->red_zones = true;
  program->arena_values = {{192, 64, 0, 0}, {0, 100, 0, 0}, {64, 8, 0, 0}};  // gaps: [100, 192) and [256, 320)
  program->entry = [](void* const* table, ErrorRecord*, std::int32_t, std::int32_t) -> std::int32_t {
    for (int i = 0; i < 320; i++)
      static_cast<std::uint8_t*>(table[1])[i] =
          __asan_address_is_poisoned(static_cast<std::byte*>(table[0]) + i) != 0;
    return 0;
  };
  Step& s = program->steps.emplace_back();
  s.name = "look";
  s.fn = [](void* const*, std::int64_t, std::int64_t) {};
  s.buffers = {{BufferRef::Space::arena, 0, 0}, {BufferRef::Space::output, 0, 0}};
  Executable executable(program);
  std::vector<Tensor> outputs{Tensor({320}, DType::u8)};
  for (int run = 0; run < 2; run++) {
    executable.run({}, {}, outputs);
    for (int i = 0; i < 320; i++) EXPECT_EQ(outputs[0](i), (i >= 100 && i < 192) || i >= 256) << "byte " << i;
  }
}

TEST_F(ExecutableTest, AnArenaLargerThanTheMachineIsAnError) {
  Executable executable(arena_program(std::int64_t{1} << 46));
  std::vector<Tensor> outputs{Tensor({1}, DType::f32), Tensor({1}, DType::i64)};
  EXPECT_EQ(
      message_of<ShapeError>([&] { executable.run({}, {}, outputs); }),
      "program 'arena' needs 70368.7 GB for its intermediate values, which this machine doesn't have; try a "
      "smaller batch");
}

// ---- profile and shuffled runs
// -------------------------------------------------------------------------------

TEST_F(ExecutableTest, ProfileRunsOnceAndTimesEachStep) {
  Executable executable(mirror_program());
  for (int threads : {1, 3}) {
    set_num_threads(threads);
    Mirror m;
    const std::vector<float> expected = m.expected();
    const std::vector<StepProfile> profile = executable.profile(m.inputs, m.states, m.outputs);
    EXPECT_TRUE(same_bits(m.outputs[0].to_vector<float>(), expected));
    EXPECT_EQ(m.states[0](8), 1.125);
    ASSERT_EQ(profile.size(), 4u);
    EXPECT_EQ(profile[1].name, "scale");
    EXPECT_EQ(profile[1].flops, 1e6);
    EXPECT_EQ(profile[1].bytes, 8.0 * kN);
    for (const StepProfile& p : profile) EXPECT_GT(p.seconds, 0);
  }
}

TEST_F(ExecutableTest, ShuffledRunsGiveTheSameBits) {
  Executable executable(mirror_program());
  for (int threads : {1, 2, 3, 5}) {
    for (std::uint64_t seed = 0; seed < 20; seed++) {
      Mirror m;
      const std::vector<float> expected = m.expected();
      executable.run_shuffled(m.inputs, m.states, m.outputs, threads, seed);
      EXPECT_TRUE(same_bits(m.outputs[0].to_vector<float>(), expected));
      EXPECT_EQ(m.states[0](8), 1.125);
    }
  }
  Mirror m;
  EXPECT_THROW(executable.run_shuffled(m.inputs, m.states, m.outputs, 0, 0), ValueError);
}

TEST_F(ExecutableTest, ShuffledRunsShowAMissingBarrier) {
  for (int threads : {2, 3, 5}) {
    auto program = mirror_program();
    program->steps[2].barrier_before = false;
    Executable executable(program);
    int wrong = 0;
    for (std::uint64_t seed = 0; seed < 20; seed++) {
      Mirror m;
      const std::vector<float> expected = m.expected();
      executable.run_shuffled(m.inputs, m.states, m.outputs, threads, seed);
      wrong += !same_bits(m.outputs[0].to_vector<float>(), expected);
    }
    EXPECT_GT(wrong, 10) << threads << " threads";
  }
}

}  // namespace
}  // namespace kiln::runtime
