#pragma once
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "graph/op_def.h"

/// The geometry that convolutions and windows share.
namespace kiln::graph {

/// How a window slides along one axis: tap k of window o reads input element o * stride + k * dilation - low,
/// and padding where that is outside the input.
struct Slide {
  std::int64_t input = 1, window = 1, stride = 1, low = 0, high = 0, dilation = 1;

  /// Elements from the first tap to the last; the largest number if there are more.
  std::int64_t extent() const {
    std::int64_t n = 0;
    const bool overflow =
        __builtin_mul_overflow(window - 1, dilation, &n) || __builtin_add_overflow(n, 1, &n);
    return overflow ? std::numeric_limits<std::int64_t>::max() : n;
  }
  std::int64_t padded() const { return input + low + high; }
  /// Number of windows that fit. Only for slides that `check_slides` has passed.
  std::int64_t output() const { return (padded() - extent()) / stride + 1; }
  std::int64_t position(std::int64_t o, std::int64_t k) const { return o * stride + k * dilation - low; }
};

/// One slide for each axis. All lists are of one length.
std::vector<Slide> make_slides(std::span<const std::int64_t> input, std::span<const std::int64_t> window,
                               const Ints& strides, const Ints& low, const Ints& high, const Ints& dilation);

/// Throws ShapeError unless the attribute has one entry per (spatial) axis and all are at least `least`.
void check_entries(const InferContext& c, std::string_view attribute, std::size_t axes, std::int64_t least);

/// Throws ShapeError, naming the sizes, if a window is larger than its padded input or the input's size is
/// none. `what` is what slides: "kernel", "window".
void check_slides(const InferContext& c, std::string_view what, std::span<const Slide> slides);

}  // namespace kiln::graph
