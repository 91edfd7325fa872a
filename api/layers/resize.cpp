#include "api/layers/resize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "api/support/names.h"

namespace kiln::internal {
namespace {

using graph::Value;

constexpr std::array<std::string_view, 5> interpolations = {"nearest", "bilinear", "bicubic", "lanczos3",
                                                            "lanczos5"};

double lanczos(double distance, double radius) {
  if (distance >= radius) return 0;
  const double angle = std::numbers::pi * distance;
  return angle < 1e-12 ? 1 : radius * std::sin(angle) * std::sin(angle / radius) / (angle * angle);
}

/// What an element at this distance counts for (bicubic: Keys 1981, with a = -1/2).
double share(const std::string& interpolation, double distance) {
  const double d = std::abs(distance);
  if (interpolation == "bilinear") return std::max(0.0, 1 - d);
  if (interpolation == "lanczos3") return lanczos(d, 3);
  if (interpolation == "lanczos5") return lanczos(d, 5);
  if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
  return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
}

/// x times a matrix (n, size) along an axis.
Value product_along(Value x, int axis, const std::vector<double>& matrix, std::int64_t size) {
  const std::int64_t n = x.shape()[static_cast<std::size_t>(axis)];
  const Value m = graph::constant(x.graph(), Tensor(matrix, {n, size}).astype(x.dtype()));
  const Value last = graph::dot(x, m, {}, {}, {axis}, {0});  // the axis comes out last
  graph::Ints order;
  for (int i = 0; i < x.rank(); i++) order.push_back(i < axis ? i : i == axis ? x.rank() - 1 : i - 1);
  return graph::transpose(last, order);
}

}  // namespace

void check_interpolation(const std::string& class_name, const std::string& interpolation) {
  if (std::find(interpolations.begin(), interpolations.end(), interpolation) == interpolations.end())
    unknown_name(class_name + ": interpolation", interpolation, interpolations);
}

Interpolation interpolation_of(std::int64_t n, std::int64_t size, const std::string& interpolation) {
  const auto place = [&](std::int64_t i) {
    return (static_cast<double>(i) + 0.5) * static_cast<double>(n) / static_cast<double>(size);
  };
  Interpolation result;
  if (interpolation == "nearest") {
    for (std::int64_t i = 0; i < size; i++) result.elements.push_back(static_cast<std::int32_t>(place(i)));
    result.shares.assign(result.elements.size(), 1);
    return result;
  }
  // Few elements count, at consecutive places: floor(place) - half + 1 ... + half.
  const int half = interpolation == "bilinear"   ? 1
                   : interpolation == "bicubic"  ? 2
                   : interpolation == "lanczos3" ? 3
                                                 : 5;
  result.reach = 2 * half;
  for (std::int64_t i = 0; i < size; i++) {
    const double at = place(i) - 0.5, first = std::floor(at) - half + 1;
    std::vector<double> row;
    double sum = 0;
    for (int k = 0; k < result.reach; k++) {
      const double element = first + k;
      const bool exists = element >= 0 && element < static_cast<double>(n);
      row.push_back(exists ? share(interpolation, at - element) : 0);
      sum += row.back();
      result.elements.push_back(
          static_cast<std::int32_t>(std::clamp(element, 0.0, static_cast<double>(n - 1))));
    }
    for (double s : row) result.shares.push_back(s / sum);
  }
  return result;
}

namespace {

/// As many elements count as the result's are apart: a matrix.
std::vector<double> smoothing(std::int64_t n, std::int64_t size, const std::string& interpolation) {
  const double ratio = static_cast<double>(n) / static_cast<double>(size);
  std::vector<double> matrix(static_cast<std::size_t>(n * size));
  for (std::int64_t i = 0; i < size; i++) {
    const double place = (static_cast<double>(i) + 0.5) * ratio - 0.5;
    double sum = 0;
    const auto count = [&](std::int64_t k) -> double& {
      return matrix[static_cast<std::size_t>(k * size + i)];
    };
    for (std::int64_t k = 0; k < n; k++) {
      count(k) = share(interpolation, std::abs(place - static_cast<double>(k)) / ratio);
      sum += count(k);
    }
    for (std::int64_t k = 0; k < n; k++) count(k) /= sum;
  }
  return matrix;
}

}  // namespace

Value resize_axis(Value x, int axis, std::int64_t size, const std::string& interpolation, bool antialias) {
  const std::int64_t n = x.shape()[static_cast<std::size_t>(axis)];
  if (n == size) return x;
  if (antialias && size < n && interpolation != "nearest")
    return product_along(x, axis, smoothing(n, size, interpolation), size);
  const Interpolation from = interpolation_of(n, size, interpolation);
  if (from.reach == 1)
    return graph::gather(x, graph::constant(x.graph(), Tensor(from.elements, {size})), axis);
  // A sum of so many gathers, each times its share.
  Value result;
  for (int k = 0; k < from.reach; k++) {
    std::vector<std::int32_t> elements;
    std::vector<double> of_each;
    bool counts = false;
    for (std::size_t i = static_cast<std::size_t>(k); i < from.elements.size();
         i += static_cast<std::size_t>(from.reach)) {
      elements.push_back(from.elements[i]);
      of_each.push_back(from.shares[i]);
      counts = counts || of_each.back() != 0;
    }
    if (!counts) continue;
    std::vector<std::int64_t> shape(static_cast<std::size_t>(x.rank()), 1);
    shape[static_cast<std::size_t>(axis)] = size;
    const Value factors = graph::constant(x.graph(), Tensor(of_each, Shape(shape)).astype(x.dtype()));
    const Value part = graph::gather(x, graph::constant(x.graph(), Tensor(elements, {size})), axis) * factors;
    result = result ? result + part : part;
  }
  return result;
}

}  // namespace kiln::internal
