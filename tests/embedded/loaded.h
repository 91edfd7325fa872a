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

}  // namespace kiln::testing
