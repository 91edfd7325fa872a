#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kiln/runtime/tensor.h"

namespace kiln::runtime {

/// Where a `check` in compiled code writes what it found; the first failing row of the first failing check.
/// The layout is known to generated code: keep it in step with codegen/entry.cpp.
struct ErrorRecord {
  std::int64_t check = -1;  ///< index into Program::checks, or -1
  std::int64_t row = 0;
  double value = 0;
};

/// A generated kernel: does share `thread` of `threads` of its fixed list of tiles. `buffers` holds the
/// addresses of the kernel's arrays in the order of Step::buffers.
using KernelFn = void (*)(void* const* buffers, std::int64_t thread, std::int64_t threads);

/// The generated entry: runs all steps with a team of at most `threads` threads. `table` holds the steps'
/// buffer addresses one after the other; if `prepared` isn't 0, steps that are Step::prepared are left out.
/// Returns 0, or 1 if a check failed.
using EntryFn = std::int32_t (*)(void* const* table, ErrorRecord* error, std::int32_t threads,
                                 std::int32_t prepared);

/// Where a buffer lives while the program runs.
struct BufferRef {
  enum class Space : std::uint8_t { input, state, output, arena, constant, error, scratch };
  Space space = Space::arena;
  std::int32_t index = 0;   ///< which input, state, output or constant
  std::int64_t offset = 0;  ///< bytes into the arena (space == arena)
  friend bool operator==(const BufferRef&, const BufferRef&) = default;
};

/// One kernel call of the program.
struct Step {
  KernelFn fn = nullptr;
  std::string name;  ///< e.g. "conv2d_1+bias+sigmoid", for profiles and traces
  std::vector<BufferRef> buffers;
  bool barrier_before = false;  ///< data crosses threads between this step and those before
  bool serial = false;          ///< one tile only: thread 0 does everything
  bool prepared = false;  ///< hangs on constants and unchanged states only: its results stay in the arena
  bool leave_on_error = false;  ///< after that barrier, leave if a check failed: states are written next
  double flops = 0;
  double bytes = 0;
  int kernel = 0;  ///< steps that share machine code share this number
};

struct BufferDesc {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
};

/// A value in bytes [offset, offset + bytes) of the arena, from the step that writes it to the last that
/// reads it.
struct ArenaValue {
  std::int64_t offset = 0;
  std::int64_t bytes = 0;
  std::size_t first = 0, last = 0;  ///< steps
  std::string type = {};            ///< "f32[128,24,24,6]"
};

/// What the compiler makes of a graph: descriptions, the plan, and the machine code. Immutable.
struct Program {
  std::string name;
  std::vector<BufferDesc> inputs, states, outputs;
  std::vector<Tensor> constants;
  std::vector<std::string> checks;  ///< message of each check, with {row} and {value} to be filled in
  std::vector<Step> steps;
  EntryFn entry = nullptr;
  std::int64_t arena_bytes = 0;
  std::int64_t intermediate_bytes = 0;  ///< sum of all intermediates, had each its own memory
  std::int64_t scratch_bytes = 0;       ///< each thread's own memory, for what lives within a tile
  int graph_nodes = 0;                  ///< op nodes before fusion
  int distinct_kernels = 0;
  double compile_seconds = 0;
  bool from_cache = false;  ///< read from the folder KILN_CACHE instead of compiled
  /// Asan builds: the arena begins each run as NaN, and what lies between arena_values is poisoned.
  bool red_zones = false;
  std::vector<ArenaValue> arena_values;  ///< in the order of `first`; values of different times overlap
  std::shared_ptr<void> code;            ///< keeps the machine code alive
};

struct StepProfile {
  std::string name;
  double seconds = 0;
  double flops = 0;
  double bytes = 0;
};

/// Runs a Program. Any number of threads may call `run` at the same time; each gets its own scratch.
///
/// A run uses num_threads() threads, or only the caller's when threads would not help or not be ours: while
/// another run is in flight anywhere in the process, inside an OpenMP parallel region of the application,
/// when the program is worth less than about 10 us, and in a process forked from one that has run with a team
/// (the team did not survive the fork). The results are the same to the bit.
class KILN_API Executable {
 public:
  /// Throws InternalError if the program contradicts itself.
  explicit Executable(std::shared_ptr<const Program> program);
  ~Executable();
  Executable(const Executable&) = delete;
  Executable& operator=(const Executable&) = delete;

  const Program& program() const { return *program_; }

  /// Runs once. Shapes and types must be the program's (ShapeError, TypeError name the argument); inputs and
  /// outputs must be contiguous; what the program writes must not overlap another argument (ValueError).
  /// States are updated in place. Throws DataError if a check failed: no state has changed then.
  void run(std::span<const Tensor> inputs, std::span<Tensor> states, std::span<Tensor> outputs);
  /// The same over raw pointers, unchecked and without allocation: the hot path. An address needs the
  /// alignment of its element type only.
  ///
  /// `states_version` is a number that changes whenever a state's elements or address do (0: not known). What
  /// hangs on states alone, such as transformed weights, isn't computed again while the version stays the
  /// same.
  void run_raw(void* const* inputs, void* const* states, void* const* outputs,
               std::uint64_t states_version = 0);

  /// Runs once and times each step, barriers included. Throws as `run` does.
  std::vector<StepProfile> profile(std::span<const Tensor> inputs, std::span<Tensor> states,
                                   std::span<Tensor> outputs);
  /// Runs without OpenMP, for tests of the plan: between two barriers the shares of `threads` threads run
  /// serially, interleaved in an order drawn from `seed`. The arena begins as NaN, and what is dead becomes
  /// NaN again at the next barrier: a missing barrier or a value read after its end shows as other bits.
  void run_shuffled(std::span<const Tensor> inputs, std::span<Tensor> states, std::span<Tensor> outputs,
                    int threads, std::uint64_t seed);

 private:
  struct Scratch;
  class Lease;
  using Pool = std::array<std::atomic<Scratch*>, 16>;
  /// A table entry that each run fills in with the address of the caller's array.
  struct Patch {
    BufferRef::Space space;
    std::int32_t index;
    std::size_t entry;
  };

  void check_arguments(std::span<const Tensor> inputs, std::span<Tensor> states,
                       std::span<Tensor> outputs) const;
  void fill_table(Scratch& scratch, void* const* inputs, void* const* states, void* const* outputs) const;
  void fill_table(Scratch& scratch, std::span<const Tensor> inputs, std::span<Tensor> states,
                  std::span<Tensor> outputs) const;
  /// Memory for the threads' own scratch, if `threads` need more than there is.
  void make_room(Scratch& scratch, int threads) const;
  void enter(Scratch& scratch, std::uint64_t states_version) const;

  std::shared_ptr<const Program> program_;
  std::vector<Patch> patches_;
  std::vector<std::size_t> scratch_entries_;  ///< table entries that hold the threads' scratch
  double seconds_ = 0;                        ///< estimated time of a run on one thread
  /// Scratch to use again. Slots instead of a list under a mutex: a process forked while another thread holds
  /// a mutex could never take it.
  Pool pool_{};
};

/// The team size that runs use: `set_num_threads`, else OMP_NUM_THREADS, else the number of cores.
KILN_API int num_threads();

}  // namespace kiln::runtime

namespace kiln {
/// How many threads Kiln's kernels use from now on; 0 restores the default (OMP_NUM_THREADS or the number of
/// cores that this process may use). Results don't depend on it, to the bit. Throws ValueError if negative.
KILN_API void set_num_threads(int n);
}  // namespace kiln
