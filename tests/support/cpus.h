#pragma once
#include <string>
#include <vector>

#include "codegen/target.h"
#include "kiln/runtime/error.h"

namespace kiln::testing {

/// Kinds of CPU, the oldest first, that this machine can stand in for: code for them differs in vectors,
/// masks and multiply-adds.
inline std::vector<std::string> older_cpus() {
  std::vector<std::string> result;
  for (const char* cpu : {"x86-64", "x86-64-v2", "x86-64-v3"}) {
    try {
      codegen::Target::host(0, cpu);
      result.push_back(cpu);
    } catch (const ValueError&) {
      // another architecture, or older still
    }
  }
  return result;
}

}  // namespace kiln::testing
