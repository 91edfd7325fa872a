#include "codegen/jit.h"

#include <fmt/format.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/Object/ObjectFile.h>

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

namespace kiln::codegen {
namespace {

template <class T>
T check(llvm::Expected<T> result, std::string_view doing) {
  if (!result) throw InternalError(fmt::format("{}: {}", doing, llvm::toString(result.takeError())));
  return std::move(*result);
}

std::string fresh_symbol() {
  static std::atomic<std::uint64_t> count{0};
  return fmt::format("kiln_{}", count++);
}

std::shared_ptr<const ObjectCode> compile(const std::string& name, const std::string& symbol,
                                          llvm::TargetMachine& machine, const ModuleMaker& make) {
  llvm::LLVMContext context;
  const std::unique_ptr<llvm::Module> module = make(context, symbol);
  optimize(*module, machine);
  if (dumping()) {
    dump(name + ".ll", text_of(*module));
    dump(name + ".s", make_assembly(*module, machine));
  }
  const std::unique_ptr<llvm::MemoryBuffer> object = make_object(*module, machine);
  return std::make_shared<const ObjectCode>(ObjectCode{symbol, object->getBuffer().str()});
}

/// What makes two kernels the same machine code.
std::string cache_key(const Kernel& kernel, const Target& target) {
  return fmt::format("{} {}\n{}", describe(target), static_cast<int>(planted()), print(kernel, false));
}

/// Objects that some program still owns, by key.
class Cache {
 public:
  static Cache& instance() {
    static Cache* const cache = new Cache;
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

struct Job {
  const Kernel* kernel;
  std::string symbol;
  std::shared_ptr<const ObjectCode> object;
};

/// Compiles all jobs, on a second thread too if there is more than one. The thread ends here: a process that
/// forks later must not miss it.
void compile_all(std::vector<Job>& jobs, const Target& target) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const auto work = [&] {
    try {
      const std::unique_ptr<llvm::TargetMachine> machine = make_machine(target);
      for (std::size_t i = next++; i < jobs.size(); i = next++) {
        Job& job = jobs[i];
        const std::string name = fmt::format("{}_{}", job.symbol, job.kernel->name);
        if (dumping()) dump(name + ".loop", print(*job.kernel));
        verify(*job.kernel);
        job.object =
            compile(name, job.symbol, *machine, [&](llvm::LLVMContext& context, const std::string& symbol) {
              return emit_kernel(*job.kernel, target, symbol, context);
            });
      }
    } catch (...) {
      const std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::current_exception();
      next = jobs.size();
    }
  };
  std::thread second;
  try {
    if (jobs.size() > 1) second = std::thread(work);
  } catch (const std::system_error&) {
    // No thread is to be had, and none is needed.
  }
  work();
  if (second.joinable()) second.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

std::shared_ptr<const ObjectCode> compile_module(const std::string& name, const Target& target,
                                                 const ModuleMaker& make) {
  const Compiling compiling;
  const std::string symbol = fresh_symbol();
  const std::unique_ptr<llvm::TargetMachine> machine = make_machine(target);
  return compile(fmt::format("{}_{}", symbol, name), symbol, *machine, make);
}

std::vector<std::shared_ptr<const ObjectCode>> compile_kernels(std::span<const Kernel> kernels,
                                                               const Target& target) {
  const Compiling compiling;
  std::vector<std::string> keys;
  std::map<std::string, std::shared_ptr<const ObjectCode>> found;
  std::vector<Job> jobs;
  std::vector<const std::string*> job_keys;
  for (const Kernel& kernel : kernels) {
    keys.push_back(cache_key(kernel, target));
    const auto [it, fresh] = found.try_emplace(keys.back());
    if (!fresh) continue;
    it->second = Cache::instance().find(it->first);
    if (it->second != nullptr) continue;
    jobs.push_back({&kernel, fresh_symbol(), nullptr});
    job_keys.push_back(&it->first);
  }
  compile_all(jobs, target);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    Cache::instance().add(*job_keys[i], jobs[i].object);
    found[*job_keys[i]] = std::move(jobs[i].object);
  }
  std::vector<std::shared_ptr<const ObjectCode>> result;
  for (const std::string& key : keys) result.push_back(found[key]);
  return result;
}

Listing list_kernel(const Kernel& kernel, const Target& target) {
  verify(kernel);
  llvm::LLVMContext context;
  const std::unique_ptr<llvm::TargetMachine> machine = make_machine(target);
  const std::unique_ptr<llvm::Module> module = emit_kernel(kernel, target, "kernel", context);
  optimize(*module, *machine, false);
  Listing listing;
  listing.ir = text_of(*module);
  listing.assembly = make_assembly(*module, *machine);
  const std::unique_ptr<llvm::MemoryBuffer> object = make_object(*module, *machine);
  const auto file =
      check(llvm::object::ObjectFile::createObjectFile(object->getMemBufferRef()), "reading an object");
  for (const llvm::object::SymbolRef& symbol : file->symbols()) {
    if ((check(symbol.getFlags(), "reading an object") & llvm::object::SymbolRef::SF_Undefined) == 0)
      continue;
    const std::string name = check(symbol.getName(), "reading an object").str();
    if (!name.empty()) listing.undefined_symbols.push_back(name);
  }
  return listing;
}

}  // namespace kiln::codegen
