#pragma once
#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdint>
#include <regex>
#include <stdexcept>
#include <string>

#include "tests/support/files.h"
#include "tests/support/process.h"

namespace kiln::testing {

/// A shared library of what was exported, loaded into this process.
class Loaded {
 public:
  Loaded(const TemporaryFolder& folder, const std::string& name) {
    const std::string library = folder / (name + ".so");
    const auto linked =
        run_command(fmt::format("ld.lld-19 -shared -o {} {}", library, folder / (name + ".o")));
    if (linked.status != 0) throw std::runtime_error(linked.output);
    handle_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ == nullptr) throw std::runtime_error(dlerror());
  }
  ~Loaded() { dlclose(handle_); }
  template <class Function>
  Function* find(const std::string& symbol) const {
    return reinterpret_cast<Function*>(dlsym(handle_, symbol.c_str()));
  }

 private:
  void* handle_ = nullptr;
};

/// The number that a header defines.
inline std::int64_t macro(const std::string& header, const std::string& name) {
  std::smatch match;
  if (!std::regex_search(header, match, std::regex("#define " + name + " ([0-9]+)")))
    throw std::runtime_error("the header lacks " + name);
  return std::stoll(match[1]);
}

/// The names in an object file, a line each, that llvm-nm's `options` choose.
inline std::string symbols(const std::string& options, const std::string& object) {
  return run_command("llvm-nm-19 --just-symbol-name " + options + " " + object).output;
}
/// Those that it lacks, but for WebAssembly's memory and stack, which are the linker's.
inline std::string needed_symbols(const std::string& object) {
  std::string needed = symbols("--undefined-only", object);
  for (const std::string own : {"__linear_memory\n", "__stack_pointer\n"})
    if (const std::size_t at = needed.find(own); at != std::string::npos) needed.erase(at, own.size());
  return needed;
}

}  // namespace kiln::testing
