#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "kiln/console.h"
#include "kiln/logs.h"

namespace kiln::internal {

/// Seconds since some fixed point.
double now();

/// Keras's progress line, one epoch or evaluation long:
/// `469/469 ━━━━━━━━━━━━━━━━━━━━ 3s 6ms/step - accuracy: 0.9123 - loss: 0.2991`.
/// On a terminal it is redrawn in place, at most every 0.05 s; elsewhere it is printed once, without colour.
class ProgressBar {
 public:
  /// steps: 0 if their number isn't known yet; the last update tells it. verbose: 0 prints nothing, 1 a bar,
  /// 2 one line at the end. `clock` replaces the time in tests.
  ProgressBar(std::int64_t steps, int verbose, std::function<double()> clock = now);

  /// After `step` steps. The last update, with `last`, prints the whole line and a line end.
  void update(std::int64_t step, const Logs& logs, bool last = false);

 private:
  void redraw(std::int64_t step, const Logs& logs, bool last, double time);
  void print_line(std::int64_t step, const Logs& logs, double time);
  std::string duration_per_step(std::int64_t step, double time) const;
  double seconds_per_step(std::int64_t step, double time) const;

  std::int64_t steps_, latest_ = 0;
  int verbose_;
  std::function<double()> clock_;
  double start_;
  double after_first_step_ = -1;
  double last_drawn_ = -1e9;
  std::int64_t last_width_ = 0;
};

/// " - accuracy: 0.9123 - loss: 2.5000e-04"
std::string format_logs(const Logs& logs);
/// The same values in alphabetical order, as Keras shows them.
Logs sorted(const Logs& logs);

}  // namespace kiln::internal
