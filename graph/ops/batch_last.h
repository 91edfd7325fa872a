#pragma once
#include "kiln/runtime/tensor.h"

/// Arrays whose batch axis is the last, (spatial..., channels, N) instead of (N, spatial..., channels).
namespace kiln::graph {

/// The shape with its last axis first, and its first axis last.
Shape batch_first(const Shape& shape);
Shape batch_last(const Shape& shape);
/// Copies with these axes.
Tensor batch_first(const Tensor& tensor);
Tensor batch_last(const Tensor& tensor);

/// A convolution that pools its results keeps those of one window, of at most so many images, beside its
/// tiles.
inline constexpr std::int64_t most_pooled_images = 128;

}  // namespace kiln::graph
