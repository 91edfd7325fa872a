#include "kiln/utils.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace kiln::utils {

Tensor to_categorical(const Tensor& x, std::optional<std::int64_t> num_classes) {
  if (!x.defined()) throw ShapeError("to_categorical: x is an empty Tensor; give class numbers");
  if (num_classes && *num_classes < 1)
    throw ValueError(
        fmt::format("to_categorical: num_classes must be at least 1, but it is {}", *num_classes));
  const std::vector<double> numbers = x.to_vector<double>();
  if (numbers.empty() && !num_classes)
    throw ShapeError(
        fmt::format("to_categorical: x of shape {} has no numbers; give num_classes", x.shape().to_string()));
  constexpr double most = 1 << 30;
  const double limit = num_classes ? static_cast<double>(*num_classes) : most;
  for (std::size_t i = 0; i < numbers.size(); i++)
    if (!(numbers[i] >= 0 && numbers[i] < limit && numbers[i] == std::floor(numbers[i])))
      throw ValueError(fmt::format(
          "to_categorical: element {} is {}; class numbers are whole numbers from 0 to {}{}", i, numbers[i],
          limit - 1, num_classes ? fmt::format(" (num_classes={})", *num_classes) : ""));
  const std::int64_t classes =
      num_classes ? *num_classes
                  : static_cast<std::int64_t>(*std::max_element(numbers.begin(), numbers.end())) + 1;
  Shape shape = x.shape();
  if (shape.rank() > 1 && shape.back() == 1) shape = shape.slice(0, shape.rank() - 1);
  shape.push_back(classes);
  Tensor one_hot = Tensor::zeros(shape);
  float* row = one_hot.data<float>();
  for (double number : numbers) {
    row[static_cast<std::int64_t>(number)] = 1;
    row += classes;
  }
  return one_hot;
}

Tensor normalize(const Tensor& x, std::int64_t axis, double order) {
  if (!x.defined()) throw ShapeError("normalize: x is an empty Tensor; give numbers");
  if (!(order >= 1))
    throw ValueError(fmt::format("normalize: order must be at least 1, but it is {}", order));
  if (x.rank() == 0) throw ShapeError("normalize: x has shape (), a single number; it needs an axis");
  const int along = normalize_axis(axis, x.rank(), "normalize: axis");
  std::vector<double> values = x.to_vector<double>();
  for (std::size_t i = 0; i < values.size(); i++)
    if (std::isinf(values[i]))
      throw ValueError(fmt::format("normalize: element {} of x is infinite; leave such values out", i));
  std::int64_t behind = 1;
  for (int i = along + 1; i < x.rank(); i++) behind *= x.dim(i);
  const std::int64_t n = x.dim(along), lines = n == 0 ? 0 : x.size() / n;
  for (std::int64_t line = 0; line < lines; line++) {
    double* first = values.data() + line / behind * n * behind + line % behind;
    // Divided by the largest first: squares of what is very large or small would leave the range.
    double largest = 0, sum = 0;
    for (std::int64_t i = 0; i < n; i++) largest = std::max(largest, std::abs(first[i * behind]));
    if (largest == 0 || std::isinf(order)) {
      sum = 1;
    } else {
      for (std::int64_t i = 0; i < n; i++) sum += std::pow(std::abs(first[i * behind]) / largest, order);
    }
    const double length = largest == 0 ? 1 : largest * std::pow(sum, 1 / order);
    for (std::int64_t i = 0; i < n; i++) first[i * behind] /= length;
  }
  return Tensor(values, x.shape()).astype(x.dtype() == DType::f64 ? DType::f64 : DType::f32);
}

}  // namespace kiln::utils
