#pragma once
#include <array>
#include <concepts>
#include <optional>
#include <string>
#include <vector>

#include "kiln/runtime/tensor.h"
#include "kiln/tensors.h"

/// What arrays go through before they train, under scikit-learn's names.
namespace kiln::data {

class Table;

struct SplitArgs {
  double test_size = 0.25;  ///< a share in (0, 1), rounded up; or a whole number of rows
  std::optional<std::int64_t> seed = {};
  bool shuffle = true;  ///< else the last rows are the test's
  /// Classes, one for each row: both parts have the same shares of them, as nearly as can be.
  Tensor stratify = {};
};
/// Rows divided at random: `auto [x_train, x_test, y_train, y_test] = train_test_split(x, y, {...});`. The
/// same rows of all arrays go together. Throws ShapeError if the numbers of rows differ, ValueError if a part
/// would have no row, and for `stratify` without shuffling, with a class of one row, or with fewer rows in a
/// part than there are classes.
template <std::convertible_to<Tensor> Y>  // never from braces: those are arguments
std::array<Tensor, 4> train_test_split(const Tensor& x, const Y& y, SplitArgs args = {});
KILN_API std::array<Tensor, 2> train_test_split(const Tensor& x, SplitArgs args = {});
/// Any number of arrays: train and test of the first, of the second, and so on.
KILN_API std::vector<Tensor> train_test_split(const std::vector<Tensor>& arrays, SplitArgs args = {});
KILN_API std::array<Table, 2> train_test_split(const Table& table, SplitArgs args = {});

template <std::convertible_to<Tensor> Y>
std::array<Tensor, 4> train_test_split(const Tensor& x, const Y& y, SplitArgs args) {
  const std::vector<Tensor> parts = train_test_split(std::vector<Tensor>{x, y}, std::move(args));
  return {parts[0], parts[1], parts[2], parts[3]};
}

/// Arrays of as many rows side by side, (rows, a) and (rows, b) as (rows, a + b); rank 1 counts as one
/// column. float32, or float64 if one of them is. Throws ShapeError for other ranks and different numbers of
/// rows.
KILN_API Tensor hstack(const Tensors& arrays);

// ---- scaling ----------------------------------------------------------------------------------------------
// Fitted to training data and then applied to all: x is (rows, ...), and each of a row's elements is scaled
// by itself. NaN, a missing value, is left out of the fit and stays NaN. Results are float32, of float64
// float64. `fit` throws ShapeError without rows and ValueError for infinite values; the others throw
// StateError before `fit` and ShapeError for rows of another shape.

/// (x - from) * scale + to for each element of a row.
class KILN_API Scaler {
 public:
  Tensor transform(const Tensor& x) const;
  Tensor inverse_transform(const Tensor& x) const;

 protected:
  explicit Scaler(const char* name) : name_(name) {}
  /// A copy in doubles, checked.
  std::vector<double> checked(const char* method, const Tensor& x) const;
  Tensor result(std::vector<double> values, const Tensor& x) const;
  const char* name_;
  Shape row_;
  std::vector<double> from_, scale_;
  double to_ = 0;
  bool fitted_ = false;
  std::optional<std::pair<double, double>> limits_;
};

struct MinMaxScalerArgs {
  double lowest = 0, highest = 1;  ///< scikit-learn's feature_range
  bool clip = false;               ///< cut off what other data have beyond it
};
/// Brings the smallest value of each column to `lowest` and the largest to `highest`. A constant column
/// becomes `lowest`. Throws ValueError unless lowest < highest.
class KILN_API MinMaxScaler : public Scaler {
 public:
  explicit MinMaxScaler(MinMaxScalerArgs args = {});
  MinMaxScaler& fit(const Tensor& x);
  Tensor fit_transform(const Tensor& x) { return fit(x).transform(x); }

 private:
  MinMaxScalerArgs args_;
};

/// Brings each column to mean 0 and standard deviation 1 (divided by n, as scikit-learn). A constant column
/// becomes 0.
class KILN_API StandardScaler : public Scaler {
 public:
  StandardScaler() : Scaler("StandardScaler") {}
  StandardScaler& fit(const Tensor& x);
  Tensor fit_transform(const Tensor& x) { return fit(x).transform(x); }
};

// ---- whitening --------------------------------------------------------------------------------------------

struct WhiteningArgs {
  std::string method = "zca";  ///< or "pca"
  /// Added to the variances relative to the largest one: what hardly varies isn't blown up to noise.
  double epsilon = 1e-6;
  std::optional<std::int64_t> n_components = {};  ///< "pca": so many, those that vary most
};
/// Makes columns uncorrelated, each with variance 1: by the axes along which the data vary ("pca", the
/// result's columns are these, in falling order; (rows, n_components)), or turned back so that they stay as
/// near to what they were as can be ("zca", x's shape). A row may have any shape, such as an image's. The
/// covariance is divided by rows - 1. Errors are those of scalers; besides, `fit` throws ShapeError for
/// fewer than two rows and ValueError for NaN.
class KILN_API Whitening {
 public:
  explicit Whitening(WhiteningArgs args = {});
  Whitening& fit(const Tensor& x);
  Tensor transform(const Tensor& x) const;
  /// Back: exactly so unless components were left out.
  Tensor inverse_transform(const Tensor& x) const;
  Tensor fit_transform(const Tensor& x) { return fit(x).transform(x); }

 private:
  Tensor apply(const char* method, const Tensor& x, bool inverse) const;
  WhiteningArgs args_;
  Shape row_;
  std::int64_t features_ = 0, outputs_ = 0;
  std::vector<double> mean_, forward_, backward_;  ///< (features, outputs), (outputs, features)
};

}  // namespace kiln::data
