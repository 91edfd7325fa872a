# Writes OUTPUT, a source file that holds a digest of the sources in SOURCE whose machine code a disk cache may keep,
# and of SETTINGS: code that an older compiler of Kiln made is then never taken for this one's.
file(GLOB_RECURSE files LIST_DIRECTORIES false RELATIVE ${SOURCE}
     ${SOURCE}/runtime/*.cpp ${SOURCE}/runtime/*.h ${SOURCE}/graph/*.cpp ${SOURCE}/graph/*.h
     ${SOURCE}/codegen/*.cpp ${SOURCE}/codegen/*.h)
list(SORT files)
set(digests "${SETTINGS}")
foreach(file ${files})
  file(SHA256 ${SOURCE}/${file} digest)
  string(APPEND digests "\n${file} ${digest}")
endforeach()
string(SHA256 build_id "${digests}")
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT [[
// Written by cmake/WriteBuildId.cmake.
#include "codegen/program_key.h"

namespace kiln::codegen {
const char* const build_id = "@build_id@";
}  // namespace kiln::codegen
]] @ONLY)
