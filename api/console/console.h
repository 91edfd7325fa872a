#pragma once
#include "kiln/console.h"

namespace kiln::internal {

/// The console in use.
Console console();
/// Writes to it.
void print(std::string_view text);

}  // namespace kiln::internal
