#pragma once
#include "kiln/activations.h"
#include "kiln/layer.h"
#include "kiln/layers/size2.h"

namespace kiln::layers {

struct Conv2DArgs {
  Size2 strides = 1;
  std::string padding = "valid";  ///< "valid" or "same"
  Size2 dilation_rate = 1;
  std::int64_t groups = 1;
  activations::Function activation = {};
  bool use_bias = true;
  Initializer kernel_initializer = "glorot_uniform";
  Initializer bias_initializer = "zeros";
  Regularizer kernel_regularizer = {};
  Regularizer bias_regularizer = {};
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};

/// Two-dimensional convolution (correlation, as everywhere in deep learning), channels last:
/// (batch, height, width, channels) -> (batch, height', width', filters). Weights: kernel (kernel height,
/// kernel width, channels / groups, filters), bias (filters,).
///
/// "same" padding gives ceil(size / stride) outputs; an odd number of zeros puts the extra one at the bottom
/// and right, as TensorFlow does. Throws ValueError for arguments out of range, ShapeError if the kernel is
/// larger than the input or the channels don't divide into the groups.
KILN_API Layer Conv2D(std::int64_t filters, Size2 kernel_size, Conv2DArgs args = {});
/// Keras's other name of Conv2D.
KILN_API Layer Convolution2D(std::int64_t filters, Size2 kernel_size, Conv2DArgs args = {});

}  // namespace kiln::layers
