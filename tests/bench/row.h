#pragma once
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "kiln/runtime/executable.h"

/// Kiln's side of the bench, row by row; bench.py's rows (suites.py) come as JSON.
namespace kiln::bench {

using Json = nlohmann::json;

/// A network or a kernel, ready to make steps.
class Row {
 public:
  virtual ~Row() = default;
  /// The next step, from arrays to arrays; its loss in training.
  virtual double step() = 0;
  /// Makes the first steps and gives what is compared with the reference.
  virtual Json check() = 0;
  /// What was compiled so far.
  virtual std::vector<std::shared_ptr<const runtime::Program>> programs() const = 0;
};

std::unique_ptr<Row> network_row(const Json& row);
std::unique_ptr<Row> exported_row(const Json& row);
std::unique_ptr<Row> kernel_row(const Json& row);

/// Inputs that together exceed the last-level cache: how many of `bytes` each.
inline std::int64_t rotating_inputs(std::int64_t bytes) {
  constexpr std::int64_t cache_bytes = std::int64_t{32} << 20;
  return std::max<std::int64_t>(2, (cache_bytes + bytes - 1) / bytes + 1);
}

}  // namespace kiln::bench
