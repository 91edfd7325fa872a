#include "graph/passes/winograd.h"

#include <fmt/format.h>

#include <algorithm>

#include "graph/ops/support.h"
#include "graph/ops/winograd.h"

namespace kiln::graph {
namespace {

using winograd::Matrix;

bool has_form(const Shape& x, const Shape& kernel, const ConvAttrs& attrs) {
  return x.rank() == 4 && kernel[0] == kernel[1] && winograd::has_transform(kernel[0]) &&
         all_are(attrs.strides, 1) && all_are(attrs.dilation, 1) && attrs.groups == 1 && x.elements() > 1 &&
         kernel.elements() > 0;
}

// Is Winograd's form faster? In multiply-adds of one image. To transform a tile's elements costs as much as
// `transform` products at each of the tile's positions for each channel and each filter, of which vectors
// take several at a time. Measured for 3x3 and 5x5 kernels, 1 to 384 channels: this is right to about 10 %,
// but for fewer channels than `fewest_channels`, where sums are loaded and stored more than added to.
WinogradChoice choose_by_cost(const Shape& x, const Shape& kernel, const ConvAttrs& attrs) {
  constexpr std::int64_t transform = 4, vector = 8, fewest_channels = 4;
  constexpr std::int64_t fewest_tiles = 9;  // an image; alone, fewer read more of the kernel than they save
  const winograd::Tiles tiles(x, attrs.low, attrs.high, kernel[0]);
  const std::int64_t channels = kernel[2], filters = kernel[3], count = tiles.down * tiles.across;
  if (channels < fewest_channels)
    return {false, fmt::format("too few channels ({}): hardly anything but transforms", channels)};
  if (count < fewest_tiles)
    return {false, fmt::format("too few tiles an image ({}) for what is read of the kernel", count)};
  const std::int64_t direct = tiles.height * tiles.width * kernel[0] * kernel[1] * channels * filters;
  const std::int64_t in_tiles =
      count * winograd::positions *
      (channels * filters + transform * (std::max(channels, vector) + std::max(filters, vector)));
  return {in_tiles + in_tiles / 10 < direct,
          fmt::format("{} multiply-adds an image, transforms included, instead of {}", in_tiles, direct)};
}

Value matrix_constant(Value like, const Matrix& m) {
  Tensor t({m.rows, m.columns}, like.dtype());
  visit(like.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::transform(m.elements.begin(), m.elements.end(), t.data<T>(),
                   [](double v) { return static_cast<T>(v); });
  });
  return constant(like.graph(), t);
}

/// m times x, whose leading axes are one of m's columns together.
Value product(const Matrix& m, Value x, const Shape& result) {
  const Value rows = reshape(x, Shape({m.columns, x.shape().elements() / m.columns}));
  return reshape(dot(matrix_constant(x, m), rows, {}, {}, {1}, {0}), result);
}

}  // namespace

WinogradChoice choose_winograd(const Type& x, const Shape& kernel, const ConvAttrs& attrs,
                               ConvAlgorithm algorithm) {
  if (algorithm == ConvAlgorithm::direct) return {false, "asked for"};
  if (!has_form(x.shape, kernel, attrs)) return {false, "Winograd has no form for its kernel and strides"};
  if (algorithm == ConvAlgorithm::winograd) return {true, "asked for"};
  if (x.dtype != DType::f32) return {false, "f64 is for the last digits, not for speed"};
  return choose_by_cost(x.shape, kernel, attrs);
}

Value winograd_form(Value x, Value kernel, const ConvAttrs& attrs) {
  const std::int64_t window = kernel.shape()[0];
  const Value transformed = product(winograd::on_both_axes(winograd::kernel_transform(window)), kernel,
                                    Shape({winograd::positions, kernel.shape()[2], kernel.shape()[3]}));
  return winograd_conv(x, transformed, window, attrs.low, attrs.high);
}

Value winograd_kernel_grad_form(Value x, Value dy, const Shape& kernel, const ConvAttrs& attrs) {
  constexpr std::int64_t block = 64, wanted_tasks = 16, shortest_part = 64;
  const auto blocks = [](std::int64_t n) { return (n + block - 1) / block; };
  const std::int64_t tasks = blocks(kernel[2]) * blocks(kernel[3]);
  const std::int64_t tiles = winograd::Tiles(x.shape(), attrs.low, attrs.high, kernel[0]).count();
  const std::int64_t parts = std::clamp<std::int64_t>((wanted_tasks + tasks - 1) / tasks, 1,
                                                      std::max<std::int64_t>(tiles / shortest_part, 1));
  const Value sums = winograd_kernel_grad(x, dy, kernel[0], attrs.low, attrs.high, parts);
  return product(winograd::transposed(winograd::on_both_axes(winograd::kernel_transform(kernel[0]))),
                 reduce_sum(sums, {0}), kernel);
}

}  // namespace kiln::graph
