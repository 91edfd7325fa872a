#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "kiln/runtime/tensor.h"

namespace kiln::graph {

using Ints = std::vector<std::int64_t>;

/// One attribute's value. Text forms: `3`, `1.5` (the shortest decimals that read back exactly), `true`,
/// `"name"`, `[1, 2]`, `f32`, `f32[2] [0.5, nan]` (`i32[100] 7`: all elements 7).
using Attribute = std::variant<std::int64_t, double, bool, std::string, Ints, DType, Tensor>;

/// The attributes of a node: few, so a sorted vector. Reading one that isn't there, or as another type, is an
/// InternalError.
class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<std::string, Attribute>> items);

  void set(std::string name, Attribute value);
  bool has(std::string_view name) const { return find(name) != nullptr; }
  const Attribute* find(std::string_view name) const;

  std::int64_t integer(std::string_view name) const;
  double number(std::string_view name) const;
  bool flag(std::string_view name) const;
  const std::string& string(std::string_view name) const;
  const Ints& ints(std::string_view name) const;
  DType dtype(std::string_view name) const;
  const Tensor& tensor(std::string_view name) const;

  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }
  bool empty() const { return items_.empty(); }

  /// Equal names and values; tensors compare by type, shape and bits.
  friend bool operator==(const Attributes& a, const Attributes& b);
  std::size_t hash() const;

 private:
  std::vector<std::pair<std::string, Attribute>> items_;
};

}  // namespace kiln::graph
