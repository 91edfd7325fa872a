#pragma once
#include <initializer_list>
#include <utility>
#include <vector>

#include "kiln/runtime/error.h"

namespace kiln {

/// One number, or a list of them: `0.25` or `{0.2, 0.3, 0.5}`.
class KILN_API Numbers {
 public:
  Numbers(double number) : values_{number}, is_list_(false) {}
  Numbers(std::initializer_list<double> numbers) : values_(numbers) {}
  explicit Numbers(std::vector<double> numbers) : values_(std::move(numbers)) {}
  const std::vector<double>& values() const { return values_; }
  bool is_list() const { return is_list_; }

 private:
  std::vector<double> values_;
  bool is_list_ = true;
};

}  // namespace kiln
