#pragma once
#include <cstdint>
#include <vector>

#include "graph/op_def.h"

/// The numbers of Winograd's convolution: S. Winograd, "Arithmetic Complexity of Computations" (1980);
/// A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks" (arXiv:1509.09308).
///
/// Along one axis, `results` neighbouring results of a kernel of r taps hang on 6 = results + r - 1 inputs d:
///
///   y = A^T [(G k) * (B^T d)]
///
/// where * multiplies element by element: 6 products instead of results * r. In two dimensions every matrix
/// is applied to both axes, and 36 products do the work of (results r)^2. Kernel and results are polynomials
/// here, which the matrices evaluate at five points and at infinity, and bring back by interpolation. The
/// points 0, +-1/sqrt(2), +-sqrt(2) keep the rounding error at about twice the direct convolution's (0, +-1,
/// +-2, the usual ones: four times).
namespace kiln::graph::winograd {

inline constexpr std::int64_t side = 6;                 ///< of a tile of the input
inline constexpr std::int64_t positions = side * side;  ///< products a tile, channel and filter

/// Square kernels that there is a transform for: 3 gives 4 x 4 results a tile, 5 gives 2 x 2.
constexpr bool has_transform(std::int64_t window) {
  return window == 3 || window == 5;
}
constexpr std::int64_t results(std::int64_t window) {
  return side + 1 - window;
}

/// The finite points but 0 are +-inner and +-outer; inner * outer = 1.
inline constexpr double inner = 0.70710678118654752440, outer = 1.41421356237309504880;
inline constexpr double inner_squared = 0.5, outer_squared = 2;

/// A matrix, row-major.
struct Matrix {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> elements;
  double at(std::int64_t i, std::int64_t j) const {
    return elements[static_cast<std::size_t>(i * columns + j)];
  }
};
Matrix input_transform();                      ///< B^T, 6 x 6
Matrix kernel_transform(std::int64_t window);  ///< G, 6 x window
Matrix result_transform(std::int64_t window);  ///< A^T, results x 6
/// The matrix that applies `m` to both axes of a square: (rows^2) x (columns^2).
Matrix on_both_axes(const Matrix& m);
Matrix transposed(const Matrix& m);

/// The interpreter's winograd_conv and winograd_kernel_grad, for any transforms of the input (6 x 6) and of
/// the results; with their magnitudes it gives bounds of errors.
void evaluate(const EvalContext& c, const Matrix& input, const Matrix& result);

/// How an image is cut into tiles: sizes of the result, and of tiles along each axis.
struct Tiles {
  /// `x` (N, H, W, C) with `low` and `high` zeros around its spatial axes.
  Tiles(const Shape& x, const Ints& low, const Ints& high, std::int64_t window);

  std::int64_t images, height, width;  ///< of the result
  std::int64_t down, across;           ///< tiles an image
  std::int64_t count() const { return images * down * across; }
};

/// Tiles that one of the parts of a winograd_kernel_grad sums over; the last may have fewer.
std::int64_t part_length(std::int64_t tiles, std::int64_t parts);

}  // namespace kiln::graph::winograd
