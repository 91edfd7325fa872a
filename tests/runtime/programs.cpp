#include "tests/runtime/programs.h"

namespace kiln::runtime::testing {
namespace {

void check_kernel(void* const* b, std::int64_t thread, std::int64_t) {
  if (thread != 0) return;
  const auto* x = static_cast<const float*>(b[0]);
  auto* error = static_cast<ErrorRecord*>(b[1]);
  for (std::int64_t i = 0; i < kN && error->check < 0; i++) {
    if (x[i] < 0) *error = {0, i, x[i]};
  }
}

void scale_kernel(void* const* b, std::int64_t thread, std::int64_t threads) {
  const auto* x = static_cast<const float*>(b[0]);
  const auto* w = static_cast<const float*>(b[1]);
  auto* t = static_cast<float*>(b[2]);
  for_my_tiles(kN, thread, threads, [&](std::int64_t i) { t[i] = 2 * x[i] + w[i]; });
}

void mirror_kernel(void* const* b, std::int64_t thread, std::int64_t threads) {
  const auto* t = static_cast<const float*>(b[0]);
  auto* y = static_cast<float*>(b[1]);
  for_my_tiles(kN, thread, threads, [&](std::int64_t i) { y[i] = t[i] - 3 * t[kN - 1 - i]; });
}

void increment_kernel(void* const* b, std::int64_t thread, std::int64_t threads) {
  auto* w = static_cast<float*>(b[0]);
  for_my_tiles(kN, thread, threads, [&](std::int64_t i) { w[i] += 1; });
}

std::int32_t mirror_entry(void* const* table, ErrorRecord* error, std::int32_t threads, std::int32_t) {
  run_team(threads, [&](int thread, int team) {
    check_kernel(table, thread, team);
    scale_kernel(table + 2, thread, team);
    team_barrier(team);
    mirror_kernel(table + 5, thread, team);
    if (error->check >= 0) return;
    increment_kernel(table + 7, thread, team);
  });
  return error->check >= 0 ? 1 : 0;
}

void probe_kernel(void* const* b, std::int64_t thread, std::int64_t threads) {
  if (thread == 0) *static_cast<std::int64_t*>(b[0]) = threads;
}

std::int32_t probe_entry(void* const* table, ErrorRecord*, std::int32_t threads, std::int32_t) {
  run_team(threads, [&](int thread, int team) { probe_kernel(table, thread, team); });
  return 0;
}

}  // namespace

std::shared_ptr<Program> mirror_program() {
  using Space = BufferRef::Space;
  auto program = std::make_shared<Program>();
  program->name = "mirror";
  program->inputs = {{"x", DType::f32, {kN}}};
  program->states = {{"w", DType::f32, {kN}}};
  program->outputs = {{"y", DType::f32, {kN}}};
  program->checks = {"row {row} is {value}: values must not be negative"};
  program->arena_bytes = 64 + kN * 4;
  program->entry = mirror_entry;
  const BufferRef x{Space::input, 0, 0}, w{Space::state, 0, 0}, y{Space::output, 0, 0},
      t{Space::arena, 0, 64}, error{Space::error, 0, 0};
  const auto step = [&](const char* name, KernelFn fn, std::vector<BufferRef> buffers) -> Step& {
    Step& s = program->steps.emplace_back();
    s.name = name;
    s.fn = fn;
    s.buffers = std::move(buffers);
    s.flops = 1e6;
    s.bytes = 8.0 * kN;
    return s;
  };
  step("check", check_kernel, {x, error}).serial = true;
  step("scale", scale_kernel, {x, w, t});
  step("mirror", mirror_kernel, {t, y}).barrier_before = true;
  step("increment", increment_kernel, {w}).barrier_before = true;
  program->steps.back().leave_on_error = true;
  return program;
}

std::shared_ptr<Program> probe_program(double seconds) {
  auto program = std::make_shared<Program>();
  program->name = "probe";
  program->outputs = {{"threads", DType::i64, {1}}};
  program->entry = probe_entry;
  Step& s = program->steps.emplace_back();
  s.name = "probe";
  s.fn = probe_kernel;
  s.buffers = {{BufferRef::Space::output, 0, 0}};
  s.flops = seconds * 20e9;
  return program;
}

}  // namespace kiln::runtime::testing
