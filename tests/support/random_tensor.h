#pragma once
#include <cmath>
#include <cstdint>
#include <numbers>

#include "kiln/runtime/philox.h"
#include "kiln/runtime/tensor.h"

namespace kiln {

/// Numbers that are the same on every machine and in every run.
class RandomNumbers {
 public:
  explicit RandomNumbers(std::int64_t seed) : seed_(seed) {}

  std::uint32_t word() { return random_word(seed_, 0, 0, next_++); }
  /// In [0, n); 0 if n is 0.
  std::int64_t below(std::int64_t n) {
    if (n == 0) return 0;
    return static_cast<std::int64_t>(word() % static_cast<std::uint64_t>(n));
  }
  /// In [low, high).
  double uniform(double low = 0, double high = 1) { return low + (high - low) * (word() * 0x1p-32); }
  bool chance(double probability) { return uniform() < probability; }
  template <class Items>
  const auto& pick(const Items& items) {
    return items[static_cast<std::size_t>(below(static_cast<std::int64_t>(std::size(items))))];
  }

  /// A tensor of uniform numbers in [low, high); integers include high - 1 at most.
  Tensor tensor(const Shape& shape, double low = -1, double high = 1, DType dtype = DType::f64) {
    Tensor t(shape, dtype);
    kiln::visit(dtype, [&](auto zero) {
      auto* p = t.data<decltype(zero)>();
      for (std::int64_t i = 0; i < t.size(); i++) {
        const double v = uniform(low, high);
        p[i] = static_cast<decltype(zero)>(is_float(dtype) ? v : std::floor(v));
      }
    });
    return t;
  }

 private:
  std::int64_t seed_;
  std::int64_t next_ = 0;
};

}  // namespace kiln
