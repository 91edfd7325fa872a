#pragma once
#include <sys/wait.h>

#include <cstdio>
#include <stdexcept>
#include <string>

namespace kiln::testing {

/// How a command ended: its exit status (-1 if it was killed or didn't start) and what it printed.
struct Outcome {
  int status;
  std::string output;
};

inline Outcome run_command(const std::string& command) {
  Outcome outcome{-1, ""};
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[4096];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) outcome.output.append(buffer, n);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) outcome.status = WEXITSTATUS(status);
  return outcome;
}

/// Runs a command that must succeed; throws otherwise, saying what has to be installed.
inline void execute(const std::string& command, const std::string& packages) {
  const Outcome outcome = run_command(command);
  if (outcome.status != 0)
    throw std::runtime_error("failed (" + packages + " must be installed): " + command + "\n" +
                             outcome.output);
}

}  // namespace kiln::testing
