#pragma once
#include <string>

#include "kiln/runtime/error.h"

namespace kiln::testing {

/// The message of the error of type E that `f` throws. Errors of other types pass on.
template <class E, class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "nothing was thrown";
}

}  // namespace kiln::testing
