#include "api/console/progress_bar.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "api/console/console.h"

namespace kiln::internal {
namespace {

constexpr int bar_cells = 20;
constexpr double redraw_seconds = 0.05;

std::string repeat(std::string_view cell, int times) {
  std::string out;
  for (int i = 0; i < times; i++) out += cell;
  return out;
}

// Characters on the screen: bytes that don't continue a UTF-8 sequence.
std::int64_t width(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

struct Style {
  bool colour;
  std::string bold(const std::string& s) const { return colour ? "\x1b[1m" + s + "\x1b[0m" : s; }
  std::string green(const std::string& s) const { return colour ? "\x1b[32m" + s + "\x1b[0m" : s; }
  std::string white(const std::string& s) const { return colour ? "\x1b[37m" + s + "\x1b[0m" : s; }
};

std::string remaining_time(double seconds) {
  const auto s = static_cast<std::int64_t>(seconds);
  if (seconds > 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s % 3600 / 60, s % 60);
  if (seconds > 60) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}s", s);
}

int digits(std::int64_t n) {
  return static_cast<int>(std::to_string(n).size());
}

}  // namespace

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string format_logs(const Logs& logs) {
  std::string out;
  for (const auto& [name, value] : logs)
    out += std::abs(value) > 1e-3 ? fmt::format(" - {}: {:.4f}", name, value)
                                  : fmt::format(" - {}: {:.4e}", name, value);
  return out;
}

Logs sorted(const Logs& logs) {
  std::vector<Logs::Item> items(logs.begin(), logs.end());
  std::sort(items.begin(), items.end());
  Logs out;
  for (const auto& [name, value] : items) out.set(name, value);
  return out;
}

ProgressBar::ProgressBar(std::int64_t steps, int verbose, std::function<double()> clock)
    : steps_(steps), verbose_(verbose), clock_(std::move(clock)), start_(clock_()) {}

void ProgressBar::update(std::int64_t step, const Logs& logs, bool last) {
  if (verbose_ == 0) return;
  latest_ = std::max(latest_, step);
  if (last && steps_ == 0) steps_ = step = latest_;
  const double time = clock_();
  if (verbose_ == 1) redraw(step, logs, last, time);
  if (verbose_ == 2 && last) print_line(step, logs, time);
  if (step == 1 && after_first_step_ < 0) after_first_step_ = time;
}

void ProgressBar::redraw(std::int64_t step, const Logs& logs, bool last, double time) {
  const Console out = console();
  if (!last && (!out.terminal || time - last_drawn_ < redraw_seconds)) return;
  last_drawn_ = time;
  const int done = steps_ > 0 ? static_cast<int>(bar_cells * step / steps_) : 0;
  const double left = seconds_per_step(step, time) * static_cast<double>(steps_ - step);
  const bool elapsed = last || steps_ == 0;
  const std::string clock = elapsed ? fmt::format("{:.0f}s", time - start_) : remaining_time(left);
  const auto line = [&](const Style& s) {
    if (steps_ == 0)
      return s.bold(fmt::format("{:7}/Unknown", step)) + " " + s.bold(clock) + duration_per_step(step, time) +
             format_logs(logs);
    return s.bold(fmt::format("{:{}}/{}", step, digits(steps_), steps_)) + " " +
           (done > 0 ? s.green(repeat("━", done)) : "") + s.white(repeat("━", bar_cells - done)) + " " +
           s.bold(clock) + duration_per_step(step, time) + format_logs(logs);
  };
  const std::int64_t columns = width(line({false}));
  std::string text = out.terminal ? "\r" : "";
  text += line({out.terminal});
  if (out.terminal && columns < last_width_)
    text += std::string(static_cast<std::size_t>(last_width_ - columns), ' ');
  last_width_ = columns;
  if (last) text += "\n";
  out.write(text);
}

void ProgressBar::print_line(std::int64_t step, const Logs& logs, double time) {
  print(fmt::format("{:{}}/{} - {:.0f}s -{}{}\n", step, digits(steps_), steps_, time - start_,
                    duration_per_step(step, time), format_logs(logs)));
}

// Without the first step, which compiles.
double ProgressBar::seconds_per_step(std::int64_t step, double time) const {
  if (step <= 0) return 0;
  if (after_first_step_ >= 0 && step > 1) return (time - after_first_step_) / static_cast<double>(step - 1);
  return (time - start_) / static_cast<double>(step);
}

std::string ProgressBar::duration_per_step(std::int64_t step, double time) const {
  const double seconds = seconds_per_step(step, time);
  if (seconds >= 1 || seconds == 0) return fmt::format(" {:.0f}s/step", seconds);
  if (seconds >= 1e-3) return fmt::format(" {:.0f}ms/step", seconds * 1e3);
  return fmt::format(" {:.0f}us/step", seconds * 1e6);
}

}  // namespace kiln::internal
