#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kiln/runtime/error.h"

namespace kiln {

/// Named numbers in a fixed order: what `evaluate` returns and callbacks receive (`loss`, the metrics, and
/// `val_...` after an epoch).
class KILN_API Logs {
 public:
  using Item = std::pair<std::string, double>;

  Logs() = default;
  Logs(std::initializer_list<Item> items) : items_(items) {}

  /// The value of that name. Throws ValueError listing the names there are.
  double operator[](std::string_view name) const;
  /// Sets or adds.
  void set(std::string_view name, double value);
  /// Null if there is none of that name.
  const double* find(std::string_view name) const;
  bool contains(std::string_view name) const { return find(name) != nullptr; }

  std::size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }

 private:
  std::vector<Item> items_;
};

}  // namespace kiln
