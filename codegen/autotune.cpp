#include "codegen/autotune.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <unordered_set>
#include <utility>

#include "codegen/dump.h"
#include "codegen/jit.h"
#include "codegen/lower.h"
#include "kiln/runtime/executable.h"
#include "kiln/runtime/tensor.h"

namespace kiln::codegen {
namespace {

/// Kernels with less work take microseconds: choosing among their ways would choose noise.
constexpr double least_flops = 1e5;
/// A way other than the model's must be faster by this factor.
constexpr double clearly = 1.03;
constexpr int rounds = 5;
constexpr std::chrono::milliseconds longest{100};  ///< for one kernel

/// One kernel that has several ways.
struct Candidates {
  std::string key;              ///< text of its first way
  std::vector<Kernel> kernels;  ///< texts differ
  std::vector<int> ways;        ///< parallel to kernels
  std::vector<double> seconds;  ///< parallel to kernels
  std::vector<std::shared_ptr<const ObjectCode>> objects;
};

/// What was found, by the text of a kernel's first way and the target.
class Findings {
 public:
  static Findings& instance() {
    static Findings* const findings = new Findings;
    return *findings;
  }
  /// -1 if nothing is known.
  int find(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto it = ways_.find(key);
    return it == ways_.end() ? -1 : it->second;
  }
  void add(const std::string& key, int way) {
    const std::lock_guard lock(mutex_);
    ways_[key] = way;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, int> ways_;
};

/// `first` is the group lowered in way 0.
Candidates candidates(const graph::ScheduledGroup& scheduled, const Target& target, LoweredGroup first,
                      std::string key) {
  Candidates result;
  result.key = std::move(key);
  std::unordered_set<std::string> texts;
  const int count = first.ways;
  for (int way = 0; way < count; way++) {
    LoweredGroup lowered = way == 0 ? std::move(first) : lower(scheduled, target, -1, way);
    if (!texts.insert(print(lowered.kernel, false)).second) continue;
    result.kernels.push_back(std::move(lowered.kernel));
    result.ways.push_back(way);
  }
  return result;
}

std::int64_t bytes_of(const BufferParam& b) {
  constexpr std::int64_t line = 64;
  return (b.elements * static_cast<std::int64_t>(size_of(b.dtype)) + line - 1) / line * line;
}

/// Memory for the parameters of a kernel's ways, one after the other; their scratch comes last.
std::int64_t bytes_of(const Kernel& kernel) {
  std::int64_t bytes = kernel.scratch_stride;
  for (const BufferParam& b : kernel.buffers)
    if (b.scratch < 0) bytes += bytes_of(b);
  return bytes;
}

std::vector<void*> places(const Kernel& kernel, std::byte* memory) {
  std::vector<void*> result;
  std::byte* const scratch = memory + bytes_of(kernel) - kernel.scratch_stride;
  for (const BufferParam& b : kernel.buffers) {
    result.push_back(b.scratch >= 0 ? scratch : memory);
    if (b.scratch < 0) memory += bytes_of(b);
  }
  return result;
}

/// The shortest of several runs of each, in turns, so that a drift of the machine meets all alike.
void measure(Candidates& c) {
  using Clock = std::chrono::steady_clock;
  const std::shared_ptr<const LinkedCode> code = link(c.objects);
  std::int64_t bytes = 0;
  for (const Kernel& kernel : c.kernels) bytes = std::max(bytes, bytes_of(kernel));
  Tensor memory = Tensor::zeros({bytes}, DType::u8);
  std::vector<std::vector<void*>> buffers;
  for (const Kernel& kernel : c.kernels)
    buffers.push_back(places(kernel, static_cast<std::byte*>(memory.raw())));
  c.seconds.assign(c.kernels.size(), std::numeric_limits<double>::max());
  const Clock::time_point start = Clock::now();
  // The first round, on cold caches, doesn't count.
  for (int round = 0; round <= rounds && (round < 2 || Clock::now() - start < longest); round++)
    for (std::size_t i = 0; i < c.kernels.size(); i++) {
      const auto kernel = reinterpret_cast<runtime::KernelFn>(code->address(i));
      const Clock::time_point before = Clock::now();
      kernel(buffers[i].data(), 0, 1);
      const std::chrono::duration<double> elapsed = Clock::now() - before;
      if (round > 0) c.seconds[i] = std::min(c.seconds[i], elapsed.count());
    }
}

/// Index of the fastest.
std::size_t fastest(const Candidates& c) {
  const auto best = std::min_element(c.seconds.begin(), c.seconds.end());
  return *best * clearly < c.seconds[0] ? static_cast<std::size_t>(best - c.seconds.begin()) : 0;
}

std::string report(const Candidates& c) {
  std::string text = fmt::format("{}: way {} of\n", c.kernels[0].name, c.ways[fastest(c)]);
  for (std::size_t i = 0; i < c.kernels.size(); i++)
    text += fmt::format("  {} {:.1f} us\n", c.ways[i], c.seconds[i] * 1e6);
  return text;
}

}  // namespace

std::vector<int> find_fastest_ways(const graph::Plan& plan, const Target& target) {
  std::vector<std::string> keys;
  std::vector<Candidates> open;
  std::unordered_set<std::string> seen;
  for (const graph::ScheduledGroup& scheduled : plan.schedule) {
    LoweredGroup first = lower(scheduled, target);
    std::string key;
    if (first.ways > 1 && first.flops >= least_flops) {
      key = describe(target) + "\n" + print(first.kernel, false);
      if (Findings::instance().find(key) < 0 && seen.insert(key).second)
        open.push_back(candidates(scheduled, target, std::move(first), key));
    }
    keys.push_back(std::move(key));
  }

  // Compiled together, on all cores; measured one by one.
  std::vector<Kernel> kernels;
  for (const Candidates& c : open) kernels.insert(kernels.end(), c.kernels.begin(), c.kernels.end());
  const std::vector<std::shared_ptr<const ObjectCode>> objects = compile_kernels(kernels, target);
  auto next = objects.begin();
  std::string log;
  for (Candidates& c : open) {
    c.objects.assign(next, next + static_cast<std::ptrdiff_t>(c.kernels.size()));
    next += static_cast<std::ptrdiff_t>(c.kernels.size());
    measure(c);
    Findings::instance().add(c.key, c.ways[fastest(c)]);
    log += report(c);
  }
  if (dumping()) dump(fmt::format("autotune_{}.txt", plan.graph->name), log);

  std::vector<int> ways;
  for (const std::string& key : keys) ways.push_back(key.empty() ? 0 : Findings::instance().find(key));
  return ways;
}

}  // namespace kiln::codegen
