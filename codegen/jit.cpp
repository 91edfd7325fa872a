#include "codegen/jit.h"

#include <fmt/format.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <unordered_map>

#include "codegen/dump.h"
#include "codegen/emit.h"
#include "codegen/faults.h"
#include "codegen/forks.h"
#include "codegen/object.h"
#include "runtime/threads.h"

namespace kiln::codegen {
namespace {

std::string fresh_symbol() {
  static std::atomic<std::uint64_t> count{0};
  return fmt::format("kiln_{}", count++);
}

std::shared_ptr<const ObjectCode> compile(const std::string& name, const std::string& symbol,
                                          ObjectMaker& maker, const ModuleMaker& make) {
  const std::unique_ptr<llvm::Module> module = make(maker.context(), symbol);
  maker.optimize(*module);
  if (dumping()) {
    dump(name + ".ll", text_of(*module));
    dump(name + ".s", maker.make_assembly(*module));
  }
  return std::make_shared<const ObjectCode>(ObjectCode{symbol, maker.make_object(*module)});
}

/// What makes two kernels the same machine code.
std::string cache_key(const Kernel& kernel, const Target& target) {
  return fmt::format("{} {}\n{}", describe(target), static_cast<int>(planted()), print(kernel, false));
}

/// Objects of kernels that some program still owns, by key.
class ObjectCache {
 public:
  static ObjectCache& instance() {
    static ObjectCache* const cache = new ObjectCache;
    return *cache;
  }
  std::shared_ptr<const ObjectCode> find(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto it = code_.find(key);
    return it == code_.end() ? nullptr : it->second.lock();
  }
  void add(const std::string& key, const std::shared_ptr<const ObjectCode>& code) {
    const std::lock_guard lock(mutex_);
    code_[key] = code;
    // Entries whose code is gone are swept when they may be half of all.
    if (code_.size() < sweep_at_) return;
    std::erase_if(code_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = 2 * code_.size() + 256;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<const ObjectCode>> code_;
  std::size_t sweep_at_ = 256;
};

/// A module that is to be compiled.
struct Job {
  std::string name, symbol;
  ModuleMaker make;
  std::size_t size;  ///< tells which of two takes longer
  std::shared_ptr<const ObjectCode> object = nullptr;
};

/// Compiles all jobs, on all cores that the calling thread may use. The threads end here: a process that forks
/// later must not miss them.
void compile_all(std::vector<Job>& jobs, const Target& target) {
  // Long ones first: no thread is to be left alone with one at the end.
  std::vector<Job*> order;
  for (Job& job : jobs) order.push_back(&job);
  std::sort(order.begin(), order.end(),
            [](const Job* a, const Job* b) { return a->size != b->size ? a->size > b->size : a < b; });

  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const auto work = [&] {
    try {
      ObjectMaker maker(target);
      for (std::size_t i = next++; i < order.size(); i = next++) {
        Job& job = *order[i];
        job.object = compile(fmt::format("{}_{}", job.symbol, job.name), job.symbol, maker, job.make);
      }
    } catch (...) {
      const std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::current_exception();
      next = order.size();
    }
  };
  std::vector<std::thread> others;
  try {
    const std::size_t threads = std::min(order.size(), static_cast<std::size_t>(runtime::usable_cores()));
    while (others.size() + 1 < threads) others.emplace_back(work);
  } catch (const std::system_error&) {
    // No more threads are to be had, and none is needed.
  }
  work();
  for (std::thread& thread : others) thread.join();
  if (failure) std::rethrow_exception(failure);
}

Job kernel_job(const Kernel& kernel, const Target& target, std::size_t size) {
  const std::string symbol = fresh_symbol();
  return {kernel.name, symbol,
          [&](llvm::LLVMContext& context, const std::string& name) {
            if (dumping()) dump(fmt::format("{}_{}.loop", name, kernel.name), print(kernel));
            verify(kernel);
            return emit_kernel(kernel, target, name, context);
          },
          size};
}

/// `entry` null: the kernels alone.
ProgramObjects compile_program_or_kernels(const std::string& name, std::span<const Kernel> kernels,
                                          const EntryMaker* entry, const Target& target) {
  const Compiling compiling;
  struct Known {
    std::shared_ptr<const ObjectCode> object;  ///< null: made by a job
    std::size_t job = 0;
  };
  std::map<std::string, Known> known;  // by key
  std::vector<const std::map<std::string, Known>::value_type*> places;
  std::vector<Job> jobs;
  std::vector<std::string> symbols;
  for (const Kernel& kernel : kernels) {
    const auto [at, is_new] = known.try_emplace(cache_key(kernel, target));
    auto& [key, place] = *at;
    if (is_new) place.object = ObjectCache::instance().find(key);
    if (is_new && place.object == nullptr) {
      place.job = jobs.size();
      jobs.push_back(kernel_job(kernel, target, key.size()));
    }
    places.push_back(&*at);
    symbols.push_back(place.object != nullptr ? place.object->symbol : jobs[place.job].symbol);
  }
  if (entry != nullptr) {
    jobs.push_back({"entry_" + name, fresh_symbol(),
                    [&](llvm::LLVMContext& context, const std::string& symbol) {
                      return (*entry)(symbols, context, symbol);
                    },
                    64 * kernels.size()});
  }
  compile_all(jobs, target);

  ProgramObjects result;
  for (auto& [key, place] : known) {
    if (place.object != nullptr) continue;
    place.object = jobs[place.job].object;
    ObjectCache::instance().add(key, place.object);
  }
  for (const auto* place : places) result.kernels.push_back(place->second.object);
  if (entry != nullptr) result.entry = jobs.back().object;
  return result;
}

}  // namespace

std::shared_ptr<const ObjectCode> compile_module(const std::string& name, const Target& target,
                                                 const ModuleMaker& make) {
  const Compiling compiling;
  std::vector<Job> jobs = {{name, fresh_symbol(), make, 0}};
  compile_all(jobs, target);
  return jobs[0].object;
}

ProgramObjects compile_program(const std::string& name, std::span<const Kernel> kernels,
                               const EntryMaker& entry, const Target& target) {
  return compile_program_or_kernels(name, kernels, &entry, target);
}

std::vector<std::shared_ptr<const ObjectCode>> compile_kernels(std::span<const Kernel> kernels,
                                                               const Target& target) {
  return compile_program_or_kernels("", kernels, nullptr, target).kernels;
}

Listing list_kernel(const Kernel& kernel, const Target& target) {
  verify(kernel);
  ObjectMaker maker(target);
  const std::unique_ptr<llvm::Module> module = emit_kernel(kernel, target, "kernel", maker.context());
  maker.optimize(*module, false);
  Listing listing;
  listing.ir = text_of(*module);
  listing.assembly = maker.make_assembly(*module);
  listing.undefined_symbols = object_facts(maker.make_object(*module)).undefined_symbols;
  return listing;
}

}  // namespace kiln::codegen
