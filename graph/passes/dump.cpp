#include "graph/passes/dump.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "kiln/runtime/error.h"

namespace kiln::graph {
namespace {

const char* dump_folder() {
  const char* folder = std::getenv("KILN_DUMP");
  return folder && *folder ? folder : nullptr;
}

}  // namespace

bool dumping() {
  return dump_folder() != nullptr;
}

void dump(std::string_view program, std::string_view file, std::string_view text) {
  if (!dumping()) return;
  const std::filesystem::path path = std::filesystem::path(dump_folder()) / program / file;
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  std::ofstream out(path, std::ios::binary);
  out << text;
  if (!out.flush())
    throw FileError(
        fmt::format("{}: can't write it; KILN_DUMP must name a folder that can be written", path.string()));
}

}  // namespace kiln::graph
