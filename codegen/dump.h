#pragma once
#include <string>
#include <string_view>

/// KILN_DUMP=dir: every kernel's loop form (.loop), LLVM IR (.ll) and assembly (.s), and the entry functions.
namespace kiln::codegen {

bool dumping();
/// Writes dir/file; throws FileError if it can't.
void dump(std::string_view file, std::string_view text);

}  // namespace kiln::codegen
