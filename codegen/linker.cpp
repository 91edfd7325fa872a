#include "codegen/linker.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <llvm/ExecutionEngine/Orc/ExecutionUtils.h>
#include <llvm/ExecutionEngine/Orc/ExecutorProcessControl.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/ExecutionEngine/Orc/TaskDispatch.h>

#include <atomic>
#include <vector>

#include "codegen/forks.h"
#include "kiln/runtime/error.h"

namespace kiln::codegen {
namespace {

namespace orc = llvm::orc;

[[noreturn]] void fail(llvm::Error error) {
  throw InternalError(fmt::format("linking: {}", llvm::toString(std::move(error))));
}
template <class T>
T check(llvm::Expected<T> result) {
  if (!result) fail(result.takeError());
  return std::move(*result);
}

/// The process's linker for generated code. It lives until the process ends: code may be in use that long.
///
/// Not LLJIT: that compiles IR of its own when it starts, which would be half of what a small program from
/// the disk costs.
class Linker {
 public:
  static Linker& instance() {
    static Linker* const linker = new Linker;
    return *linker;
  }

  /// A library of its own for some objects; it sees the process.
  orc::JITDylib& make_library() {
    static std::atomic<std::uint64_t> count{0};
    orc::JITDylib& library = session_.createBareJITDylib(fmt::format("kiln{}", count++));
    library.addToLinkOrder(process_);
    return library;
  }

  void remove(orc::JITDylib& library) {
    if (llvm::Error error = session_.removeJITDylib(library)) llvm::consumeError(std::move(error));
  }

  void add(orc::JITDylib& library, const ObjectCode& object) {
    // A view: the object is read before link() returns.
    auto buffer = llvm::MemoryBuffer::getMemBuffer(object.bytes, object.symbol, false);
    if (llvm::Error error = layer_.add(library, std::move(buffer))) fail(std::move(error));
  }

  /// Addresses of the objects' functions, in order. Here the linking happens.
  std::vector<void*> find(orc::JITDylib& library,
                          std::span<const std::shared_ptr<const ObjectCode>> objects) {
    std::vector<orc::SymbolStringPtr> names;
    orc::SymbolLookupSet wanted;
    for (const auto& object : objects) names.push_back(session_.intern(object->symbol));
    for (const orc::SymbolStringPtr& name : names) wanted.add(name);
    const orc::SymbolMap found =
        check(session_.lookup(orc::makeJITDylibSearchOrder(&library), std::move(wanted)));
    std::vector<void*> addresses;
    for (const orc::SymbolStringPtr& name : names)
      addresses.push_back(found.at(name).getAddress().toPtr<void*>());
    return addresses;
  }

 private:
  // Tasks run in place: a process that forks must not miss a thread.
  Linker()
      : session_(check(orc::SelfExecutorProcessControl::Create(
            nullptr, std::make_unique<orc::InPlaceTaskDispatcher>()))),
        layer_(session_),
        process_(session_.createBareJITDylib("process")) {
    // Errors come back from the calls; LLVM would also print them.
    session_.setErrorReporter(llvm::consumeError);
    process_.addGenerator(check(orc::DynamicLibrarySearchGenerator::GetForCurrentProcess('\0')));
    // Generated code calls libomp. The process has it already, unless a program links Kiln in a way that lost
    // it; a second copy beside the first would start a second team of threads.
    if (dlsym(RTLD_DEFAULT, "__kmpc_fork_call") != nullptr) return;
    process_.addGenerator(check(orc::DynamicLibrarySearchGenerator::Load(KILN_LIBOMP, '\0')));
  }

  orc::ExecutionSession session_;
  orc::ObjectLinkingLayer layer_;
  orc::JITDylib& process_;
};

class Library final : public LinkedCode {
 public:
  explicit Library(std::span<const std::shared_ptr<const ObjectCode>> objects)
      : library_(Linker::instance().make_library()) {
    try {
      for (const auto& object : objects) Linker::instance().add(library_, *object);
      addresses_ = Linker::instance().find(library_, objects);
    } catch (...) {
      Linker::instance().remove(library_);
      throw;
    }
  }
  ~Library() override {
    const Compiling compiling;
    Linker::instance().remove(library_);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  void* address(std::size_t index) const override { return addresses_.at(index); }

 private:
  orc::JITDylib& library_;
  std::vector<void*> addresses_;
};

}  // namespace

std::shared_ptr<const LinkedCode> link(std::span<const std::shared_ptr<const ObjectCode>> objects) {
  const Compiling compiling;
  return std::make_shared<const Library>(objects);
}

}  // namespace kiln::codegen
