#pragma once
#include <functional>
#include <string_view>

#include "kiln/runtime/error.h"

namespace kiln {

/// Where progress lines, `evaluate`'s line and `summary` go.
struct Console {
  std::function<void(std::string_view)> write;
  bool terminal =
      false;         ///< redraw the progress line in place, in colour; otherwise print it once, when done
  int columns = 80;  ///< width of the terminal, for `summary`
};

/// Sends all console output there. The default is the standard output; `reset_console` restores it.
KILN_API void set_console(Console console);
KILN_API void reset_console();

}  // namespace kiln
