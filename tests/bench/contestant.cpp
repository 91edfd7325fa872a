// Kiln's side of ./dev bench: does what peers/common.py does for the peers, over the same protocol. bench.py
// drives it with one JSON object a line on stdin and reads one a line from stdout.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <string>

#include "kiln/codegen/machine.h"
#include "tests/bench/networks.h"
#include "tests/bench/row.h"

namespace kiln::bench {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// The row, its first steps made.
Json prepare(const Json& request, std::unique_ptr<Row>& row) {
  row = request["mode"] == "kernel"        ? kernel_row(request)
        : request.value("exported", false) ? exported_row(request)
                                           : network_row(request);
  const auto start = Clock::now();
  Json answer = {{"check", row->check()}};
  answer["first_seconds"] = milliseconds_since(start) / 1e3;
  double compile = 0, arena = 0;
  bool from_cache = true;
  for (const auto& program : row->programs()) {
    compile += program->compile_seconds;
    from_cache = from_cache && program->from_cache;
    arena += static_cast<double>(program->arena_bytes + program->scratch_bytes * runtime::num_threads());
  }
  answer["compile_seconds"] = compile;
  answer["from_cache"] = from_cache;
  answer["arena_bytes"] = arena;
  return answer;
}

Json time(Row& row, double seconds) {
  std::vector<double> times;
  for (const auto begin = Clock::now(); times.empty() || milliseconds_since(begin) < 1e3 * seconds;) {
    const auto start = Clock::now();
    row.step();
    times.push_back(milliseconds_since(start));
  }
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return {{"median_ms", *middle},
          {"min_ms", *std::min_element(times.begin(), times.end())},
          {"steps", times.size()}};
}

Json answer(const Json& request, std::unique_ptr<Row>& row) {
  if (request["do"] == "prepare") return prepare(request["row"], row);
  if (request["do"] == "machine") {
    const codegen::MachineLimits& limits = codegen::machine_limits(runtime::num_threads());
    return {{"gflops", limits.flops_per_second / 1e9}, {"gbytes_per_second", limits.bytes_per_second / 1e9}};
  }
  if (request["do"] == "export") {
    make_network(request["network"], false)
        .export_library(request["path"],
                        {.target = request["target"], .cpu = request["cpu"], .selftest = false});
    return Json::object();
  }
  if (row == nullptr) throw StateError("nothing is prepared");
  if (request["do"] == "time") return time(*row, request["seconds"]);
  throw ValueError("there is no request \"" + request["do"].get<std::string>() + "\"");
}

}  // namespace
}  // namespace kiln::bench

int main() {
  std::unique_ptr<kiln::bench::Row> row;
  for (std::string line; std::getline(std::cin, line);) {
    kiln::bench::Json answer;
    try {
      answer = kiln::bench::answer(kiln::bench::Json::parse(line), row);
    } catch (const std::exception& error) {
      answer = {{"error", error.what()}};
    }
    std::cout << answer.dump() << std::endl;
  }
}
