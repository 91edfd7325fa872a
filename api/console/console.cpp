#include "api/console/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>

namespace kiln {
namespace {

std::mutex console_mutex;
std::optional<Console>& chosen() {
  static std::optional<Console> console;
  return console;
}

// As Python's shutil.get_terminal_size: the variable COLUMNS, else the terminal's width, else 80.
int standard_columns() {
  if (const char* columns = std::getenv("COLUMNS"))
    if (const int n = std::atoi(columns); n > 0) return n;
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

void write_to_stdout(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace

void set_console(Console console) {
  const std::lock_guard lock(console_mutex);
  chosen() = std::move(console);
}
void reset_console() {
  const std::lock_guard lock(console_mutex);
  chosen().reset();
}

namespace internal {

Console console() {
  const std::lock_guard lock(console_mutex);
  if (chosen()) return *chosen();
  return {write_to_stdout, isatty(STDOUT_FILENO) != 0, standard_columns()};
}

void print(std::string_view text) {
  console().write(text);
}

}  // namespace internal
}  // namespace kiln
