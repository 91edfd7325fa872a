#pragma once
#include <string>
#include <string_view>

namespace kiln::graph {

/// True if the environment variable KILN_DUMP names a folder.
bool dumping();
/// Writes $KILN_DUMP/<program>/<file>; does nothing if KILN_DUMP isn't set. Throws FileError.
void dump(std::string_view program, std::string_view file, std::string_view text);

}  // namespace kiln::graph
