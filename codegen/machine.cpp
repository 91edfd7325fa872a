#include "kiln/codegen/machine.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>

#include "codegen/jit.h"
#include "kiln/runtime/tensor.h"
#include "runtime/threads.h"

namespace kiln::codegen {
namespace {

constexpr std::int64_t parts = 64;       // of the work, for the threads to share
constexpr std::int64_t rounds = 20'000;  // of multiply-adds, in each part
constexpr std::int64_t memory_bytes = std::int64_t{128} << 20;

/// Chains of operations, as many as hide their latency on the CPUs we know.
constexpr std::int64_t chains = 12;

Reg accumulators(const Target& target) {
  const int lanes = target.lanes(DType::f32);
  return std::make_shared<const Register>(
      Register{"acc", DType::f32, RegisterKind::tile, {chains}, lanes, lanes});
}

/// The statement for each chain and lane of the accumulators.
template <class Body>
Stmt each_chain(const Reg& acc, const Body& statement) {
  const Var chain = make_var("r", chains), lane = make_var("c", acc->extent);
  Stmt inner = vector_loop(lane, acc->lane_count, {statement(chain, lane)}, true);
  return loop(LoopKind::unrolled, chain, {std::move(inner)});
}

/// acc[chain] = value(chain, lane)
template <class Value>
Stmt set(const Reg& acc, const Value& value) {
  return each_chain(
      acc, [&](const Var& chain, const Var& lane) { return write(acc, {chain, lane}, value(chain, lane)); });
}

/// Buffer 1 [part, chain, lane] = acc: so that the sums are needed.
Stmt keep(const Reg& acc, const Var& part) {
  return each_chain(acc, [&](const Var& chain, const Var& lane) {
    const Index place = Index(part) * (chains * acc->extent) + Index(chain) * acc->extent + Index(lane);
    return store(1, place, read(acc, {chain, lane}));
  });
}

/// b0 [2]: factor and term; b1: what comes out.
Kernel multiply_adds(const Target& target) {
  const Reg acc = accumulators(target);
  const Var part = make_var("t", parts), round = make_var("k", rounds);
  Kernel kernel{.name = "multiply_adds",
                .buffers = {{DType::f32, 2}, {DType::f32, parts * chains * acc->extent, true}}};
  Block body;
  const Expr factor = kernel.new_temporary(body, load(0, DType::f32, 0)),
             term = kernel.new_temporary(body, load(0, DType::f32, 1));
  body.push_back(set(acc, [&](const Var&, const Var&) { return term; }));
  Stmt step = set(
      acc, [&](const Var& chain, const Var& lane) { return fma(read(acc, {chain, lane}), factor, term); });
  body.push_back(loop(LoopKind::serial, round, {std::move(step)}));
  body.push_back(keep(acc, part));
  kernel.body = {loop(LoopKind::parallel, part, std::move(body))};
  return kernel;
}

/// b0: the memory, read once; b1: what comes out.
Kernel reading(const Target& target) {
  const Reg acc = accumulators(target);
  const std::int64_t step = chains * acc->extent;
  const std::int64_t steps = memory_bytes / 4 / parts / step;
  const Var part = make_var("t", parts), round = make_var("i", steps);
  Kernel kernel{.name = "reading",
                .buffers = {{DType::f32, parts * steps * step}, {DType::f32, parts * step, true}}};
  Block body{set(acc, [](const Var&, const Var&) { return constant_expr(DType::f32, 0); })};
  Stmt sum = set(acc, [&](const Var& chain, const Var& lane) {
    const Index place =
        Index(part) * (steps * step) + Index(round) * step + Index(chain) * acc->extent + Index(lane);
    return apply(graph::Op::add, {read(acc, {chain, lane}), load(0, DType::f32, place)});
  });
  body.push_back(loop(LoopKind::serial, round, {std::move(sum)}));
  body.push_back(keep(acc, part));
  kernel.body = {loop(LoopKind::parallel, part, std::move(body))};
  return kernel;
}

/// The least of several runs, each on all threads at once.
double best_seconds(const Kernel& kernel, const Target& target, const Tensor& in, Tensor& out, int threads) {
  verify(kernel);
  const std::shared_ptr<const LinkedCode> code = link(compile_kernels(std::span(&kernel, 1), target));
  const auto function = reinterpret_cast<runtime::KernelFn>(code->address(0));
  void* buffers[] = {const_cast<void*>(in.raw()), out.raw()};
  double best = 0;
  for (int repeat = 0; repeat < 20; repeat++) {
    const auto start = std::chrono::steady_clock::now();
    runtime::run_team(threads, [&](int thread, int team) { function(buffers, thread, team); });
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = repeat == 0 ? elapsed.count() : std::min(best, elapsed.count());
  }
  return best;
}

MachineLimits measure(int threads) {
  const Target target = Target::host();
  const std::int64_t lanes = target.lanes(DType::f32);
  Tensor out = Tensor::zeros({parts * chains * lanes});
  MachineLimits limits;
  const double operations = 2.0 * static_cast<double>(parts * rounds * chains * lanes);
  limits.flops_per_second =
      operations / best_seconds(multiply_adds(target), target, Tensor({0.5f, 1.f}), out, threads);
  const Kernel read = reading(target);
  const Tensor memory = Tensor::full({read.buffers[0].elements}, 1);
  limits.bytes_per_second =
      static_cast<double>(memory.nbytes()) / best_seconds(read, target, memory, out, threads);
  return limits;
}

}  // namespace

const MachineLimits& machine_limits(int threads) {
  static std::mutex mutex;
  static std::map<int, MachineLimits> known;
  const std::lock_guard lock(mutex);
  const auto [at, is_new] = known.try_emplace(threads);
  if (is_new) at->second = measure(threads);
  return at->second;
}

std::int64_t cache_bytes() {
  static const std::int64_t bytes = Target::host().l2_bytes;
  return bytes;
}

}  // namespace kiln::codegen
