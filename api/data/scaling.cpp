#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "api/data/columns.h"
#include "kiln/data/preparation.h"

namespace kiln {
namespace internal {

void check_to_fit(const char* name, const Tensor& x, std::int64_t fewest) {
  if (!x.defined()) throw ShapeError(fmt::format("{}: fit: x is an empty Tensor; give (rows, ...)", name));
  if (x.rank() < 1 || x.dim(0) < fewest)
    throw ShapeError(fmt::format("{}: fit: x of shape {} has {} rows; at least {} needed", name,
                                 x.shape().to_string(), x.rank() < 1 ? 0 : x.dim(0),
                                 fewest == 1 ? "one is" : fmt::format("{} are", fewest)));
}

void check_row(const char* name, const char* method, const Tensor& x, const Shape& row) {
  if (!x.defined() || x.rank() < 1 || x.shape().tail() != row)
    throw ShapeError(fmt::format("{}: {}: x must have rows of shape {}, but its shape is {}", name, method,
                                 row.to_string(),
                                 x.defined() ? x.shape().to_string() : "that of an empty Tensor"));
}

DType scaled_type(const Tensor& x) {
  return x.dtype() == DType::f64 ? DType::f64 : DType::f32;
}

}  // namespace internal

namespace data {
namespace {

/// What fits look at, column after column: the values that are there.
template <class F>
void each_column(const char* name, const Tensor& x, F f) {
  const std::vector<double> values = x.to_vector<double>();
  const std::int64_t rows = x.dim(0), columns = x.size() / rows;
  std::vector<double> column;
  for (std::int64_t c = 0; c < columns; c++) {
    column.clear();
    for (std::int64_t r = 0; r < rows; r++) {
      const double v = values[static_cast<std::size_t>(r * columns + c)];
      if (std::isinf(v))
        throw ValueError(
            fmt::format("{}: fit: x is infinite in row {}, column {}; leave such rows out", name, r, c));
      if (!std::isnan(v)) column.push_back(v);
    }
    f(column);
  }
}

}  // namespace

std::vector<double> Scaler::checked(const char* method, const Tensor& x) const {
  if (!fitted_)
    throw StateError(
        fmt::format("{}: {} was called before fit; call fit on the training data first", name_, method));
  internal::check_row(name_, method, x, row_);
  return x.to_vector<double>();
}

Tensor Scaler::result(std::vector<double> values, const Tensor& x) const {
  return Tensor(values, x.shape()).astype(internal::scaled_type(x));
}

Tensor Scaler::transform(const Tensor& x) const {
  std::vector<double> values = checked("transform", x);
  for (std::size_t i = 0; i < values.size(); i++) {
    const std::size_t c = i % scale_.size();
    values[i] = (values[i] - from_[c]) * scale_[c] + to_;
    if (limits_ && !std::isnan(values[i])) values[i] = std::clamp(values[i], limits_->first, limits_->second);
  }
  return result(std::move(values), x);
}

Tensor Scaler::inverse_transform(const Tensor& x) const {
  std::vector<double> values = checked("inverse_transform", x);
  for (std::size_t i = 0; i < values.size(); i++) {
    const std::size_t c = i % scale_.size();
    values[i] = (values[i] - to_) / scale_[c] + from_[c];
  }
  return result(std::move(values), x);
}

MinMaxScaler::MinMaxScaler(MinMaxScalerArgs args) : Scaler("MinMaxScaler"), args_(args) {
  if (!(args.lowest < args.highest) || !std::isfinite(args.highest - args.lowest))
    throw ValueError(fmt::format("MinMaxScaler: lowest must be below highest, but they are {} and {}",
                                 args.lowest, args.highest));
  to_ = args.lowest;
  if (args.clip) limits_ = {args.lowest, args.highest};
}

MinMaxScaler& MinMaxScaler::fit(const Tensor& x) {
  internal::check_to_fit(name_, x, 1);
  std::vector<double> from, scale;
  each_column(name_, x, [&](const std::vector<double>& column) {
    double least = 0, range = 0;
    if (!column.empty()) {
      const auto [low, high] = std::minmax_element(column.begin(), column.end());
      least = *low;
      range = *high - *low;
    }
    // A constant column is only moved, which can be undone; so is one whose range has no reciprocal.
    const double factor = (args_.highest - args_.lowest) / range;
    scale.push_back(factor > 0 && std::isfinite(factor) ? factor : 1);
    from.push_back(least);
  });
  row_ = x.shape().tail();
  from_ = std::move(from);
  scale_ = std::move(scale);
  fitted_ = true;
  return *this;
}

StandardScaler& StandardScaler::fit(const Tensor& x) {
  internal::check_to_fit(name_, x, 1);
  std::vector<double> from, scale;
  each_column(name_, x, [&](const std::vector<double>& column) {
    const auto n = static_cast<double>(column.size());
    double mean = 0, variance = 0;
    for (double v : column) mean += v / n;
    for (double v : column) variance += (v - mean) * (v - mean) / n;
    // What rounding leaves of a constant column's variance isn't one.
    const bool constant = std::sqrt(variance) <= 1e-12 * std::abs(mean);
    if (!std::isfinite(variance))
      throw ValueError(
          fmt::format("StandardScaler: fit: the variance of column {} is too large for float64; divide it "
                      "by some number first",
                      from.size()));
    scale.push_back(variance > 0 && !constant ? 1 / std::sqrt(variance) : 1);
    from.push_back(mean);
  });
  row_ = x.shape().tail();
  from_ = std::move(from);
  scale_ = std::move(scale);
  fitted_ = true;
  return *this;
}

}  // namespace data
}  // namespace kiln
