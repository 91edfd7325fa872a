#include "kiln/runtime/executable.h"

#include <fmt/format.h>
#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>

#include "runtime/memory.h"
#include "runtime/threads.h"

namespace kiln::runtime {

/// What one run at a time needs: the arena, the table of addresses, the error record.
struct Executable::Scratch {
  std::unique_ptr<std::byte, void (*)(void*)> arena{nullptr, std::free};
  std::unique_ptr<std::byte, void (*)(void*)> of_threads{nullptr, std::free};  ///< scratch_bytes for each
  int threads = 0;                                                             ///< that there is room for
  std::uint64_t prepared_for = 0;  ///< the states' version that prepared values in the arena were made for
  std::vector<void*> table;
  std::vector<void*> inputs, states, outputs;  ///< addresses of run()'s tensors
  ErrorRecord error;
};

namespace {

using Space = BufferRef::Space;

/// Rough speeds of one core, only to tell work worth a team from work that isn't.
constexpr double kFlopsPerSecond = 20e9;
constexpr double kBytesPerSecond = 10e9;

double estimated_seconds(const Program& program) {
  double seconds = 0;
  for (const Step& step : program.steps)
    seconds += std::max(step.flops / kFlopsPerSecond, step.bytes / kBytesPerSecond);
  return seconds;
}

void expect_valid(const Program& program) {
  const auto fail = [&](const std::string& reason) {
    throw InternalError(fmt::format("program '{}': {}", program.name, reason));
  };
  if (program.entry == nullptr) fail("it has no entry");
  for (const Step& step : program.steps) {
    if (step.fn == nullptr) fail(fmt::format("step '{}' has no code", step.name));
    for (const BufferRef& b : step.buffers) {
      const auto limit = [&]() -> std::int64_t {
        switch (b.space) {
          case Space::input:
            return static_cast<std::int64_t>(program.inputs.size());
          case Space::state:
            return static_cast<std::int64_t>(program.states.size());
          case Space::output:
            return static_cast<std::int64_t>(program.outputs.size());
          case Space::constant:
            return static_cast<std::int64_t>(program.constants.size());
          case Space::arena:
            return program.arena_bytes + 1;
          case Space::error:
          case Space::scratch:
            return 1;
        }
        return 0;
      }();
      const std::int64_t place = b.space == Space::arena ? b.offset : b.index;
      if (place < 0 || place >= limit)
        fail(fmt::format("step '{}' uses a buffer at {} of {}", step.name, place, limit));
    }
  }
}

/// Fills an arena with a NaN of every floating-point type. ASan must not watch: parts may be poisoned.
__attribute__((no_sanitize_address)) void fill_with_nan(std::byte* p, std::int64_t bytes) {
  // Volatile, lest the loops become calls of memset, which ASan does watch.
  volatile auto* words = reinterpret_cast<std::uint64_t*>(p);
  for (std::int64_t i = 0; i < bytes / 8; i++) words[i] = ~std::uint64_t{0};
  volatile std::byte* rest = p;
  for (std::int64_t i = bytes / 8 * 8; i < bytes; i++) rest[i] = std::byte{0xff};
}

/// Tells ASan that what lies between the arena's values belongs to nobody.
void poison_gaps(const Program& program, std::byte* arena) {
  std::vector<ArenaValue> values = program.arena_values;
  std::sort(values.begin(), values.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
  values.push_back({program.arena_bytes, 0, 0, 0});
  std::int64_t end = 0;  // of the values so far
  for (const ArenaValue& v : values) {
    if (v.offset > end) ASAN_POISON_MEMORY_REGION(arena + end, static_cast<std::size_t>(v.offset - end));
    end = std::max(end, v.offset + v.bytes);
  }
}

/// Fills what no step after `end` reads any more, of what was last read in steps [begin, end), with NaN.
void fill_dead_with_nan(const Program& program, std::byte* arena, std::size_t begin, std::size_t end) {
  for (const ArenaValue& dead : program.arena_values) {
    if (dead.last < begin || dead.last >= end) continue;
    // A value written over it in place, or beside it since, lives on: spare its bytes.
    std::int64_t at = dead.offset;
    const std::int64_t stop = dead.offset + dead.bytes;
    while (at < stop) {
      std::int64_t next = stop;
      bool live = false;
      for (const ArenaValue& v : program.arena_values) {
        if (v.first >= end || v.last < end) continue;
        if (v.offset <= at && at < v.offset + v.bytes) {
          live = true;
          next = std::min(stop, v.offset + v.bytes);
          break;
        }
        if (v.offset > at) next = std::min(next, v.offset);
      }
      if (!live) fill_with_nan(arena + at, next - at);
      at = next;
    }
  }
}

void check_argument(const Program& program, const char* role, std::size_t index, const BufferDesc& d,
                    const Tensor& t) {
  const auto subject = [&] {
    return fmt::format("program '{}', {} {} '{}'", program.name, role, index, d.name);
  };
  if (!t.defined()) throw StateError(fmt::format("{}: the Tensor is empty", subject()));
  if (t.shape() != d.shape)
    throw ShapeError(fmt::format("{}: the shape is {}, the program was compiled for {}", subject(),
                                 t.shape().to_string(), d.shape.to_string()));
  if (t.dtype() != d.dtype)
    throw TypeError(fmt::format("{}: the type is {}, the program was compiled for {}; convert with astype()",
                                subject(), name(t.dtype()), name(d.dtype)));
  if (!t.is_contiguous())
    throw ShapeError(fmt::format("{}: the elements are not contiguous; pass contiguous()", subject()));
}

template <class Tensors>
void check_arguments_of(const Program& program, const char* role, const std::vector<BufferDesc>& descriptions,
                        const Tensors& tensors) {
  if (tensors.size() != descriptions.size())
    throw ValueError(fmt::format("program '{}': {} {}s given, it has {}", program.name, tensors.size(), role,
                                 descriptions.size()));
  for (std::size_t i = 0; i < descriptions.size(); i++)
    check_argument(program, role, i, descriptions[i], tensors[i]);
}

template <class Tensors>
void addresses(const Tensors& tensors, std::vector<void*>& out) {
  out.clear();
  for (const Tensor& t : tensors) out.push_back(const_cast<void*>(t.raw()));
}

/// The steps' buffers lie in the table one after the other: where each step's begin.
std::vector<std::size_t> table_offsets(const Program& program) {
  std::vector<std::size_t> offsets;
  std::size_t at = 0;
  for (const Step& step : program.steps) {
    offsets.push_back(at);
    at += step.buffers.size();
  }
  return offsets;
}

void run_share(const Step& step, void* const* buffers, int thread, int threads) {
  if (!step.serial) return step.fn(buffers, thread, threads);
  if (thread == 0) step.fn(buffers, 0, 1);
}

bool failed(const ErrorRecord& error) {
  return error.check >= 0;
}

[[noreturn]] void throw_no_memory(const Program& program, double bytes) {
  throw ShapeError(
      fmt::format("program '{}' needs {:.1f} GB for its intermediate values, which this machine "
                  "doesn't have; try a smaller batch",
                  program.name, bytes * 1e-9));
}

[[noreturn]] void throw_check(const Program& program, const ErrorRecord& error) {
  const auto index = static_cast<std::size_t>(error.check);
  if (error.check < 0 || index >= program.checks.size())
    throw InternalError(
        fmt::format("program '{}': check {} of {} failed", program.name, error.check, program.checks.size()));
  throw DataError(program.checks[index], error.row, error.value);
}

}  // namespace

/// Scratch lent from the pool, or made when all of it is in use; given back at the end.
class Executable::Lease {
 public:
  explicit Lease(Executable& executable) : pool_(executable.pool_) {
    for (auto& slot : pool_) {
      scratch_.reset(slot.exchange(nullptr));
      if (scratch_) break;
    }
    const Program& program = executable.program();
    if (!scratch_) scratch_ = make(program);
    scratch_->error = {};
    if (program.red_zones) {
      fill_with_nan(scratch_->arena.get(), program.arena_bytes);
      scratch_->prepared_for = 0;
    }
  }
  ~Lease() {
    for (auto& slot : pool_) {
      Scratch* none = nullptr;
      if (slot.compare_exchange_strong(none, scratch_.get())) {
        (void)scratch_.release();
        return;
      }
    }
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  Scratch& operator*() { return *scratch_; }
  Scratch* operator->() { return scratch_.get(); }

 private:
  static std::unique_ptr<Scratch> make(const Program& program) {
    auto scratch = std::make_unique<Scratch>();
    scratch->arena.reset(static_cast<std::byte*>(allocate(static_cast<std::uint64_t>(program.arena_bytes))));
    if (!scratch->arena) throw_no_memory(program, static_cast<double>(program.arena_bytes));
    if (program.red_zones) poison_gaps(program, scratch->arena.get());
    for (const Step& step : program.steps) {
      for (const BufferRef& b : step.buffers) {
        void* address = nullptr;  // inputs, states and outputs are filled in by each run
        if (b.space == Space::arena) address = scratch->arena.get() + b.offset;
        if (b.space == Space::error) address = &scratch->error;
        if (b.space == Space::constant)
          address = const_cast<void*>(program.constants[static_cast<std::size_t>(b.index)].raw());
        scratch->table.push_back(address);
      }
    }
    scratch->inputs.reserve(program.inputs.size());
    scratch->states.reserve(program.states.size());
    scratch->outputs.reserve(program.outputs.size());
    return scratch;
  }

  Pool& pool_;
  std::unique_ptr<Scratch> scratch_;
};

Executable::Executable(std::shared_ptr<const Program> program) : program_(std::move(program)) {
  if (program_ == nullptr) throw InternalError("Executable: there is no program");
  expect_valid(*program_);
  seconds_ = estimated_seconds(*program_);
  std::size_t entry = 0;
  for (const Step& step : program_->steps) {
    for (const BufferRef& b : step.buffers) {
      if (b.space == Space::input || b.space == Space::state || b.space == Space::output)
        patches_.push_back({b.space, b.index, entry});
      if (b.space == Space::scratch) scratch_entries_.push_back(entry);
      entry++;
    }
  }
}

Executable::~Executable() {
  for (auto& slot : pool_) delete slot.load();
}

void Executable::check_arguments(std::span<const Tensor> inputs, std::span<Tensor> states,
                                 std::span<Tensor> outputs) const {
  check_arguments_of(*program_, "input", program_->inputs, inputs);
  check_arguments_of(*program_, "state", program_->states, states);
  check_arguments_of(*program_, "output", program_->outputs, outputs);
  // A kernel may write an output before another has read the input: what is written must lie apart.
  const auto expect_apart = [&](const char* role, const BufferDesc& d, const Tensor& written,
                                const Tensor& other) {
    if (overlap(written, other))
      throw ValueError(
          fmt::format("program '{}': the {} '{}' shares memory with another argument; pass a clone()",
                      program_->name, role, d.name));
  };
  for (std::size_t i = 0; i < outputs.size(); i++) {
    for (const Tensor& t : inputs) expect_apart("output", program_->outputs[i], outputs[i], t);
    for (const Tensor& t : states) expect_apart("output", program_->outputs[i], outputs[i], t);
    for (std::size_t j = 0; j < i; j++) expect_apart("output", program_->outputs[i], outputs[i], outputs[j]);
  }
  for (std::size_t i = 0; i < states.size(); i++) {
    for (const Tensor& t : inputs) expect_apart("state", program_->states[i], states[i], t);
  }
}

void Executable::fill_table(Scratch& scratch, void* const* inputs, void* const* states,
                            void* const* outputs) const {
  for (const Patch& p : patches_) {
    void* const* from = p.space == Space::input ? inputs : p.space == Space::state ? states : outputs;
    scratch.table[p.entry] = from[p.index];
  }
}

void Executable::fill_table(Scratch& scratch, std::span<const Tensor> inputs, std::span<Tensor> states,
                            std::span<Tensor> outputs) const {
  check_arguments(inputs, states, outputs);
  addresses(inputs, scratch.inputs);
  addresses(states, scratch.states);
  addresses(outputs, scratch.outputs);
  fill_table(scratch, scratch.inputs.data(), scratch.states.data(), scratch.outputs.data());
}

void Executable::make_room(Scratch& scratch, int threads) const {
  if (scratch_entries_.empty() || scratch.threads >= threads) return;
  const auto bytes =
      static_cast<std::uint64_t>(program_->scratch_bytes) * static_cast<std::uint64_t>(threads);
  scratch.threads = 0;
  // Where overruns are watched, exactly so many bytes: AddressSanitizer knows their end.
  void* memory = program_->red_zones ? allocate(bytes) : allocate_scratch(bytes);
  scratch.of_threads.reset(static_cast<std::byte*>(memory));
  if (!scratch.of_threads) throw_no_memory(*program_, static_cast<double>(bytes));
  if (program_->red_zones) fill_with_nan(scratch.of_threads.get(), static_cast<std::int64_t>(bytes));
  scratch.threads = threads;
  for (std::size_t entry : scratch_entries_) scratch.table[entry] = scratch.of_threads.get();
}

void Executable::enter(Scratch& scratch, std::uint64_t states_version) const {
  const RunGuard guard(seconds_);
  make_room(scratch, guard.threads());
  const bool prepared = states_version != 0 && scratch.prepared_for == states_version;
  scratch.prepared_for = 0;
  if (program_->entry(scratch.table.data(), &scratch.error, guard.threads(), prepared ? 1 : 0) != 0)
    throw_check(*program_, scratch.error);
  scratch.prepared_for = states_version;
}

void Executable::run(std::span<const Tensor> inputs, std::span<Tensor> states, std::span<Tensor> outputs) {
  Lease scratch(*this);
  fill_table(*scratch, inputs, states, outputs);
  enter(*scratch, 0);
}

void Executable::run_raw(void* const* inputs, void* const* states, void* const* outputs,
                         std::uint64_t states_version) {
  Lease scratch(*this);
  fill_table(*scratch, inputs, states, outputs);
  enter(*scratch, states_version);
}

std::vector<StepProfile> Executable::profile(std::span<const Tensor> inputs, std::span<Tensor> states,
                                             std::span<Tensor> outputs) {
  using Clock = std::chrono::steady_clock;
  Lease scratch(*this);
  fill_table(*scratch, inputs, states, outputs);
  const std::vector<Step>& steps = program_->steps;
  const std::vector<std::size_t> offsets = table_offsets(*program_);
  std::vector<StepProfile> profiles;
  for (const Step& step : steps) profiles.push_back({step.name, 0, step.flops, step.bytes});

  const RunGuard guard(seconds_);
  make_room(*scratch, guard.threads());
  scratch->prepared_for = 0;
  run_team(guard.threads(), [&](int thread, int team) {
    for (std::size_t i = 0; i < steps.size(); i++) {
      // The barrier at the end of each step makes the error record safe to read here.
      if (steps[i].leave_on_error && failed(scratch->error)) return;
      team_barrier(team);
      const auto begin = Clock::now();
      run_share(steps[i], scratch->table.data() + offsets[i], thread, team);
      team_barrier(team);
      if (thread == 0) profiles[i].seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    }
  });
  if (failed(scratch->error)) throw_check(*program_, scratch->error);
  return profiles;
}

void Executable::run_shuffled(std::span<const Tensor> inputs, std::span<Tensor> states,
                              std::span<Tensor> outputs, int threads, std::uint64_t seed) {
  if (threads < 1) throw ValueError(fmt::format("run_shuffled: {} threads; give 1 or more", threads));
  Lease scratch(*this);
  fill_table(*scratch, inputs, states, outputs);
  const std::vector<Step>& steps = program_->steps;
  const std::vector<std::size_t> offsets = table_offsets(*program_);
  std::mt19937_64 random(seed);
  make_room(*scratch, threads);
  scratch->prepared_for = 0;
  // What an earlier run left in the arena could hide a value that is read too early.
  fill_with_nan(scratch->arena.get(), program_->arena_bytes);

  for (std::size_t begin = 0, end = 0; begin < steps.size(); begin = end) {
    if (steps[begin].leave_on_error && failed(scratch->error)) break;
    for (end = begin + 1; end < steps.size() && !steps[end].barrier_before; end++) {
    }
    // Two ways to disagree with a program that lacks a barrier: one thread far ahead of the others, or all of
    // them step by step in changing order.
    const bool far_ahead = random() % 2 == 0;
    struct Runner {
      int thread;
      std::size_t next;
    };
    std::vector<Runner> runners;
    for (int t = 0; t < threads; t++) runners.push_back({t, begin});
    while (!runners.empty()) {
      const std::size_t i = random() % runners.size();
      Runner& r = runners[i];
      do {
        run_share(steps[r.next], scratch->table.data() + offsets[r.next], r.thread, threads);
        r.next++;
      } while (far_ahead && r.next < end);
      if (r.next == end) runners.erase(runners.begin() + static_cast<std::ptrdiff_t>(i));
    }
    fill_dead_with_nan(*program_, scratch->arena.get(), begin, end);
  }
  if (failed(scratch->error)) throw_check(*program_, scratch->error);
}

}  // namespace kiln::runtime
