#include "codegen/narrow_weights.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>

namespace kiln::codegen {
namespace {

constexpr float largest_f16 = 65504, smallest_f16 = 0x1p-24f, smallest_normal_f16 = 0x1p-14f;

/// To the nearest multiple of 2^exponent, halves to even.
float to_multiple(float x, int exponent) {
  return std::ldexp(static_cast<float>(std::nearbyint(std::ldexp(static_cast<double>(x), -exponent))),
                    exponent);
}

float round_to_f16(float x) {
  const float size = std::fabs(x);
  if (!(size > 0) || std::isinf(x)) return x;
  constexpr int fraction_bits = 10;
  const int exponent =
      size < smallest_normal_f16 ? std::ilogb(smallest_f16) : std::ilogb(size) - fraction_bits;
  return to_multiple(x, exponent);
}

float round_to_bf16(float x) {
  if (!std::isfinite(x)) return x;
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
}

std::uint16_t bits_of_f16(float x) {
  const std::uint32_t sign = std::signbit(x) ? 0x8000 : 0;
  const float size = std::fabs(x);
  if (size < smallest_normal_f16)
    return static_cast<std::uint16_t>(sign | static_cast<std::uint32_t>(size / smallest_f16));
  return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(size * 0x1p-112f) >> 13));
}

}  // namespace

Tensor rounded(const Tensor& weights, WeightStorage storage) {
  if (storage == WeightStorage::float32 || weights.dtype() != DType::f32) return weights;
  const bool is_f16 = storage == WeightStorage::float16;
  Tensor result = weights.clone();
  float* x = result.data<float>();
  for (std::int64_t i = 0; i < result.size(); i++) {
    const float before = x[i];
    x[i] = is_f16 ? round_to_f16(before) : round_to_bf16(before);
    const bool is_too_large = std::isinf(x[i]) || (is_f16 && std::fabs(x[i]) > largest_f16);
    if (std::isfinite(before) && is_too_large)
      throw ValueError(fmt::format(
          "export_library: weight_storage is {0}, but a weight, in the form that kernels read, is {1}, and "
          "{0} ends at {2}; take {3}",
          is_f16 ? "float16" : "bfloat16", before, is_f16 ? "65504" : "3.39e38",
          is_f16 ? "bfloat16" : "float32"));
  }
  return result;
}

std::optional<std::vector<std::uint16_t>> narrowed(const Tensor& weights, WeightStorage storage) {
  if (storage == WeightStorage::float32 || weights.dtype() != DType::f32) return std::nullopt;
  const Tensor dense = weights.contiguous();
  std::vector<std::uint16_t> result;
  result.reserve(static_cast<std::size_t>(dense.size()));
  for (std::int64_t i = 0; i < dense.size(); i++) {
    const float x = dense.data<float>()[i];
    if (storage == WeightStorage::float16) {
      if (!std::isfinite(x) || std::fabs(x) > largest_f16 || round_to_f16(x) != x) return std::nullopt;
      result.push_back(bits_of_f16(x));
    } else {
      const auto bits = std::bit_cast<std::uint32_t>(x);
      if ((bits & 0xffff) != 0) return std::nullopt;
      result.push_back(static_cast<std::uint16_t>(bits >> 16));
    }
  }
  return result;
}

}  // namespace kiln::codegen
