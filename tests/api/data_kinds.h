#pragma once
#include <algorithm>
#include <cmath>
#include <string>

#include "tests/support/hash_data.h"

/// Targets and predictions of the golden losses and metrics by the names of tests/golden/data_kinds.py.
namespace kiln::testing {

inline Shape without_last(const Shape& shape) {
  return shape.slice(0, shape.rank() - 1);
}

inline Tensor one_hot_data(const Tensor& labels, std::int64_t classes) {
  Shape shape = labels.shape();
  shape.push_back(classes);
  Tensor t = Tensor::zeros(shape);
  for (std::int64_t i = 0; i < labels.size(); i++)
    t.data<float>()[i * classes + labels.data<std::int32_t>()[i]] = 1;
  return t;
}

/// Rows of u that are divided by their sums.
inline Tensor distribution_data(const std::string& tag, const Shape& shape) {
  const HashSequence u(tag);
  const std::int64_t n = shape.back();
  Tensor t(shape);
  for (std::int64_t row = 0; row < t.size() / n; row++) {
    double sum = 0;
    for (std::int64_t j = 0; j < n; j++) sum += u[row * n + j];
    for (std::int64_t j = 0; j < n; j++)
      t.data<float>()[row * n + j] = static_cast<float>(u[row * n + j] / sum);
  }
  return t;
}

/// Labels of which a third is -1.
inline Tensor gaps_data(const std::string& tag, const Shape& shape, int classes) {
  Tensor t = hash_labels(tag, shape, classes);
  const HashSequence gaps(tag + "/gaps");
  for (std::int64_t i = 0; i < t.size(); i++)
    if (gaps[i] < 1.0 / 3) t.data<std::int32_t>()[i] = -1;
  return t;
}

inline Tensor golden_data(const std::string& kind, const std::string& tag, const Shape& shape) {
  const int classes = static_cast<int>(shape.back());
  const auto by_formula = [&](auto f) { return hash_tensor(tag, shape, DType::f32, f); };
  if (kind == "signed") return hash_signed(tag, shape);
  if (kind == "wide") return hash_signed(tag, shape, 8);
  if (kind == "small") return hash_signed(tag, shape, 1e-3);
  if (kind == "logits") return hash_signed(tag, shape, 6);
  if (kind == "large_logits") return hash_signed(tag, shape, 100);
  if (kind == "uniform") return hash_uniform(tag, shape);
  if (kind == "positive") return by_formula([](double u) { return 3 * u; });
  if (kind == "probabilities") return by_formula([](double u) { return 0.02 + 0.96 * u; });
  if (kind == "distribution") return distribution_data(tag, shape);
  if (kind == "quarters") return by_formula([](double u) { return std::floor(5 * u) / 4; });
  if (kind == "low_quarters") return by_formula([](double u) { return std::floor(4 * u) / 4; });
  if (kind == "zeros") return Tensor::zeros(shape);
  if (kind == "binary") return hash_labels(tag, shape, 2, DType::f32);
  if (kind == "plus_minus") return by_formula([](double u) { return 2 * std::floor(2 * u) - 1; });
  if (kind == "one_hot") return one_hot_data(hash_labels(tag, without_last(shape), classes), classes);
  if (kind == "labels") return hash_labels(tag, without_last(shape), classes);
  if (kind == "labels_column") {
    Shape column = without_last(shape);
    column.push_back(1);
    return hash_labels(tag, column, classes);
  }
  if (kind == "classes") return hash_labels(tag, shape, classes);
  if (kind == "gaps") return gaps_data(tag, without_last(shape), classes);
  throw ValueError("tests/golden has data that this test doesn't know: " + kind);
}

}  // namespace kiln::testing
