#pragma once
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kiln/runtime/tensor.h"

/// Weights and data by formula, equal to the bit to those of tests/golden/formula.py: golden files then hold
/// results only. tests/golden/README.md has the formula.
namespace kiln::testing {

constexpr std::uint64_t fnv1a64(std::string_view text) {
  std::uint64_t h = 0xCBF29CE484222325;
  for (char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return h;
}

/// The sequence u(tag, 0), u(tag, 1), ... in [0, 1).
class HashSequence {
 public:
  explicit HashSequence(std::string_view tag) : start_(fnv1a64(tag)) {}
  double operator[](std::int64_t i) const {
    std::uint64_t z = start_ + static_cast<std::uint64_t>(i + 1) * 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    z ^= z >> 31;
    return static_cast<double>(z >> 11) * 0x1p-53;
  }

 private:
  std::uint64_t start_;
};

/// A tensor of `f(u)` for each element.
template <class F>
Tensor hash_tensor(std::string_view tag, const Shape& shape, DType dtype, F f) {
  const HashSequence u(tag);
  Tensor t(shape, dtype);
  visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* p = t.data<T>();
    for (std::int64_t i = 0; i < t.size(); i++) p[i] = static_cast<T>(f(u[i]));
  });
  return t;
}

/// float32(u); in another type than f32, rounded to float32 all the same.
inline Tensor hash_uniform(std::string_view tag, const Shape& shape, DType dtype = DType::f32) {
  return hash_tensor(tag, shape, dtype, [](double u) { return static_cast<float>(u); });
}
/// float32(scale * (2u - 1))
inline Tensor hash_signed(std::string_view tag, const Shape& shape, double scale = 1,
                          DType dtype = DType::f32) {
  return hash_tensor(tag, shape, dtype,
                     [scale](double u) { return static_cast<float>(scale * (2 * u - 1)); });
}
/// floor(classes * u)
inline Tensor hash_labels(std::string_view tag, const Shape& shape, int classes, DType dtype = DType::i32) {
  return hash_tensor(tag, shape, dtype, [classes](double u) { return std::floor(classes * u); });
}
/// float32(limit * (2u - 1)) with Glorot's limit; the shape ends in (in, out).
inline Tensor hash_glorot(std::string_view tag, const Shape& shape, DType dtype = DType::f32) {
  const int rank = shape.rank();
  const std::int64_t receptive = shape.slice(0, rank - 2).elements();
  const double fans = static_cast<double>(receptive * shape.dim(-2) + receptive * shape.dim(-1));
  return hash_signed(tag, shape, std::sqrt(6 / fans), dtype);
}

}  // namespace kiln::testing
