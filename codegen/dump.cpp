#include "codegen/dump.h"

#include <fmt/format.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "kiln/runtime/error.h"

namespace kiln::codegen {
namespace {

const char* directory() {
  const char* value = std::getenv("KILN_DUMP");
  return value != nullptr && *value != '\0' ? value : nullptr;
}

}  // namespace

bool dumping() {
  return directory() != nullptr;
}

void dump(std::string_view file, std::string_view text) {
  // Kernel names hold what labels hold: slashes, spaces, plus signs.
  std::string name;
  for (char c : file) name += std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' ? c : '-';
  if (name.size() > 120) name = name.substr(0, 100) + name.substr(name.rfind('.'));
  const std::filesystem::path path = std::filesystem::path(directory()) / name;
  std::error_code ignored;  // the stream below tells whether it worked
  std::filesystem::create_directories(path.parent_path(), ignored);
  std::ofstream stream(path);
  stream << text;
  stream.close();
  if (!stream) throw FileError(fmt::format("KILN_DUMP: {} can't be written", path.string()));
}

}  // namespace kiln::codegen
