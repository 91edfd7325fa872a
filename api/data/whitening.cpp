#include <fmt/format.h>

#include <Eigen/Eigenvalues>
#include <cmath>

#include "api/data/columns.h"
#include "api/support/names.h"
#include "kiln/data/preparation.h"

namespace kiln::data {
namespace {

// As Tensors: row after row.
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::Map<const Eigen::RowVectorXd>;

std::vector<double> elements(const Matrix& m) {
  return {m.data(), m.data() + m.size()};
}

// Eigenvectors have no sign of their own; one that doesn't hang on the solver: the largest element is
// positive.
void fix_signs(Eigen::MatrixXd& vectors) {
  for (Eigen::Index i = 0; i < vectors.cols(); i++) {
    Eigen::Index largest = 0;
    vectors.col(i).cwiseAbs().maxCoeff(&largest);
    if (vectors(largest, i) < 0) vectors.col(i) *= -1;
  }
}

}  // namespace

Whitening::Whitening(WhiteningArgs args) : args_(std::move(args)) {
  static constexpr std::array<std::string_view, 2> methods = {"zca", "pca"};
  if (args_.method != methods[0] && args_.method != methods[1])
    internal::unknown_name("Whitening: method", args_.method, methods);
  if (!(args_.epsilon >= 0))
    throw ValueError(fmt::format("Whitening: epsilon must not be negative, but it is {}", args_.epsilon));
  if (args_.n_components && args_.method == "zca")
    throw ValueError("Whitening: n_components is for method \"pca\"; \"zca\" keeps x's shape");
  if (args_.n_components && *args_.n_components < 1)
    throw ValueError(
        fmt::format("Whitening: n_components must be at least 1, but it is {}", *args_.n_components));
}

Whitening& Whitening::fit(const Tensor& x) {
  internal::check_to_fit("Whitening", x, 2);
  const std::int64_t rows = x.dim(0), features = x.size() / rows;
  if (features == 0)
    throw ShapeError(fmt::format("Whitening: fit: the rows of x, whose shape is {}, have no elements",
                                 x.shape().to_string()));
  if (args_.n_components && *args_.n_components > features)
    throw ValueError(fmt::format("Whitening: n_components is {}, but x of shape {} has {} features",
                                 *args_.n_components, x.shape().to_string(), features));
  const std::vector<double> values = x.to_vector<double>();
  for (std::size_t i = 0; i < values.size(); i++)
    if (!std::isfinite(values[i]))
      throw ValueError(fmt::format(
          "Whitening: fit: x has {} in row {}, column {}; leave such rows out, or fill the gaps", values[i],
          static_cast<std::int64_t>(i) / features, static_cast<std::int64_t>(i) % features));
  const Eigen::Map<const Matrix> data(values.data(), rows, features);
  const Eigen::RowVectorXd mean = data.colwise().mean();
  const Matrix centred = data.rowwise() - mean;
  const Eigen::MatrixXd covariance = centred.transpose() * centred / static_cast<double>(rows - 1);
  if (!covariance.allFinite())
    throw ValueError(
        "Whitening: fit: the variances are too large for float64; divide x by some number first");
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(covariance);
  if (solver.info() != Eigen::Success)
    throw InternalError("Whitening: the eigenvalues of the covariance weren't found");

  // The solver's order rises.
  const std::int64_t kept = args_.n_components.value_or(features);
  Eigen::MatrixXd vectors = solver.eigenvectors().rowwise().reverse().leftCols(kept);
  fix_signs(vectors);
  const Eigen::VectorXd variances = solver.eigenvalues().reverse().cwiseMax(0);
  const double largest = variances.size() > 0 ? variances(0) : 0;
  Eigen::VectorXd deviations = (variances.head(kept).array() + args_.epsilon * largest).sqrt();
  // Along an axis without any variance, nothing is divided: what is 0 stays 0.
  for (double& d : deviations)
    if (!(d > 1e-12 * std::sqrt(largest)) || d == 0) d = 1;
  Matrix forward = vectors * deviations.cwiseInverse().asDiagonal();
  Matrix backward = deviations.asDiagonal() * vectors.transpose();
  if (args_.method == "zca") {
    forward = (forward * vectors.transpose()).eval();
    backward = (vectors * backward).eval();
  }
  row_ = x.shape().tail();
  features_ = features;
  outputs_ = forward.cols();
  mean_.assign(mean.data(), mean.data() + mean.size());
  forward_ = elements(forward);
  backward_ = elements(backward);
  return *this;
}

Tensor Whitening::apply(const char* method, const Tensor& x, bool inverse) const {
  if (outputs_ == 0)
    throw StateError(
        fmt::format("Whitening: {} was called before fit; call fit on the training data first", method));
  const bool flat = args_.method == "pca";
  internal::check_row("Whitening", method, x, inverse && flat ? Shape{outputs_} : row_);
  const std::vector<double> values = x.to_vector<double>();
  const std::int64_t from = inverse ? outputs_ : features_, to = inverse ? features_ : outputs_;
  const Eigen::Map<const Matrix> data(values.data(), x.dim(0), from);
  const Eigen::Map<const Matrix> factors((inverse ? backward_ : forward_).data(), from, to);
  const Vector mean(mean_.data(), features_);
  Matrix result;
  if (inverse)
    result = (data * factors).rowwise() + mean;
  else
    result = (data.rowwise() - mean) * factors;
  const Shape shape = !inverse && flat ? Shape{x.dim(0), outputs_} : row_.prepend(x.dim(0));
  return Tensor(elements(result), shape).astype(internal::scaled_type(x));
}

Tensor Whitening::transform(const Tensor& x) const {
  return apply("transform", x, false);
}
Tensor Whitening::inverse_transform(const Tensor& x) const {
  return apply("inverse_transform", x, true);
}

}  // namespace kiln::data
