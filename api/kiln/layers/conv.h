#pragma once
#include <optional>

#include "kiln/activations.h"
#include "kiln/constraints.h"
#include "kiln/layer.h"
#include "kiln/layers/sizes.h"

namespace kiln::layers {

/// `Size` is std::int64_t, Size2 or Size3.
template <class Size>
struct ConvArgs {
  Size strides = 1;
  std::string padding = "valid";              ///< "valid" or "same"; Conv1D: or "causal"
  std::string data_format = "channels_last";  ///< or "channels_first": the channels follow the batch
  Size dilation_rate = 1;
  std::int64_t groups = 1;
  activations::Function activation = {};
  bool use_bias = true;
  Initializer kernel_initializer = "glorot_uniform";
  Initializer bias_initializer = "zeros";
  Regularizer kernel_regularizer = {};
  Regularizer bias_regularizer = {};
  Regularizer activity_regularizer = {};
  Constraint kernel_constraint = {};
  Constraint bias_constraint = {};
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};
using Conv1DArgs = ConvArgs<std::int64_t>;
using Conv2DArgs = ConvArgs<Size2>;
using Conv3DArgs = ConvArgs<Size3>;

/// Convolution (correlation, as everywhere in deep learning) over one, two or three axes:
/// (batch, height, width, channels) -> (batch, height', width', filters). Weights: kernel (kernel height,
/// kernel width, channels / groups, filters), bias (filters,).
///
/// "same" padding gives ceil(size / stride) outputs; an odd number of zeros puts the extra one at the end
/// (bottom and right), as TensorFlow does. "causal" puts all of them before, so that no output depends on
/// later steps. Throws ValueError for arguments out of range, ShapeError if the kernel is larger than the
/// input or the channels don't divide into the groups.
KILN_API Layer Conv1D(std::int64_t filters, std::int64_t kernel_size, Conv1DArgs args = {});
KILN_API Layer Conv2D(std::int64_t filters, Size2 kernel_size, Conv2DArgs args = {});
KILN_API Layer Conv3D(std::int64_t filters, Size3 kernel_size, Conv3DArgs args = {});
/// Keras's other names.
KILN_API Layer Convolution1D(std::int64_t filters, std::int64_t kernel_size, Conv1DArgs args = {});
KILN_API Layer Convolution2D(std::int64_t filters, Size2 kernel_size, Conv2DArgs args = {});
KILN_API Layer Convolution3D(std::int64_t filters, Size3 kernel_size, Conv3DArgs args = {});

template <class Size>
struct ConvTransposeArgs {
  Size strides = 1;
  std::string padding = "valid";  ///< "valid" or "same"
  std::optional<Size> output_padding = {};
  std::string data_format = "channels_last";
  Size dilation_rate = 1;
  activations::Function activation = {};
  bool use_bias = true;
  Initializer kernel_initializer = "glorot_uniform";
  Initializer bias_initializer = "zeros";
  Regularizer kernel_regularizer = {};
  Regularizer bias_regularizer = {};
  Regularizer activity_regularizer = {};
  Constraint kernel_constraint = {};
  Constraint bias_constraint = {};
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};
using Conv1DTransposeArgs = ConvTransposeArgs<std::int64_t>;
using Conv2DTransposeArgs = ConvTransposeArgs<Size2>;
using Conv3DTransposeArgs = ConvTransposeArgs<Size3>;

/// The gradient of a convolution with respect to its input, as a layer: (batch, height, width, channels) ->
/// (batch, height', width', filters). Weights: kernel (kernel height, kernel width, filters, channels), bias
/// (filters,). With k = (kernel_size - 1) dilation_rate + 1 an axis of n becomes (n - 1) stride + max(k,
/// stride) ("valid") or n stride ("same"); an `output_padding` p gives (n - 1) stride + k + p, or, with
/// "same", (n - 1) stride + k % 2 + p. Throws ValueError for arguments out of range.
KILN_API Layer Conv1DTranspose(std::int64_t filters, std::int64_t kernel_size, Conv1DTransposeArgs args = {});
KILN_API Layer Conv2DTranspose(std::int64_t filters, Size2 kernel_size, Conv2DTransposeArgs args = {});
KILN_API Layer Conv3DTranspose(std::int64_t filters, Size3 kernel_size, Conv3DTransposeArgs args = {});
/// Keras's other names.
KILN_API Layer Convolution1DTranspose(std::int64_t filters, std::int64_t kernel_size,
                                      Conv1DTransposeArgs args = {});
KILN_API Layer Convolution2DTranspose(std::int64_t filters, Size2 kernel_size, Conv2DTransposeArgs args = {});
KILN_API Layer Convolution3DTranspose(std::int64_t filters, Size3 kernel_size, Conv3DTransposeArgs args = {});

template <class Size>
struct DepthwiseConvArgs {
  Size strides = 1;
  std::string padding = "valid";
  std::int64_t depth_multiplier = 1;  ///< filters for each channel
  std::string data_format = "channels_last";
  Size dilation_rate = 1;
  activations::Function activation = {};
  bool use_bias = true;
  Initializer depthwise_initializer = "glorot_uniform";
  Initializer bias_initializer = "zeros";
  Regularizer depthwise_regularizer = {};
  Regularizer bias_regularizer = {};
  Regularizer activity_regularizer = {};
  Constraint depthwise_constraint = {};
  Constraint bias_constraint = {};
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};
using DepthwiseConv1DArgs = DepthwiseConvArgs<std::int64_t>;
using DepthwiseConv2DArgs = DepthwiseConvArgs<Size2>;

/// Each channel is convolved by filters of its own: (batch, height, width, channels) -> (batch, height',
/// width', channels * depth_multiplier). Weights: kernel (kernel height, kernel width, channels,
/// depth_multiplier), bias (channels * depth_multiplier,). Padding and errors as in Conv2D.
KILN_API Layer DepthwiseConv1D(std::int64_t kernel_size, DepthwiseConv1DArgs args = {});
KILN_API Layer DepthwiseConv2D(Size2 kernel_size, DepthwiseConv2DArgs args = {});

template <class Size>
struct SeparableConvArgs {
  Size strides = 1;
  std::string padding = "valid";
  std::string data_format = "channels_last";
  Size dilation_rate = 1;
  std::int64_t depth_multiplier = 1;
  activations::Function activation = {};
  bool use_bias = true;
  Initializer depthwise_initializer = "glorot_uniform";
  Initializer pointwise_initializer = "glorot_uniform";
  Initializer bias_initializer = "zeros";
  Regularizer depthwise_regularizer = {};
  Regularizer pointwise_regularizer = {};
  Regularizer bias_regularizer = {};
  Regularizer activity_regularizer = {};
  Constraint depthwise_constraint = {};
  Constraint pointwise_constraint = {};
  Constraint bias_constraint = {};
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};
using SeparableConv1DArgs = SeparableConvArgs<std::int64_t>;
using SeparableConv2DArgs = SeparableConvArgs<Size2>;

/// A depthwise convolution, then a pointwise one. Weights: depthwise_kernel (kernel height, kernel width,
/// channels, depth_multiplier), pointwise_kernel (1, 1, channels * depth_multiplier, filters), bias
/// (filters,). Padding and errors as in Conv2D.
KILN_API Layer SeparableConv1D(std::int64_t filters, std::int64_t kernel_size, SeparableConv1DArgs args = {});
KILN_API Layer SeparableConv2D(std::int64_t filters, Size2 kernel_size, SeparableConv2DArgs args = {});
KILN_API Layer SeparableConvolution1D(std::int64_t filters, std::int64_t kernel_size,
                                      SeparableConv1DArgs args = {});
KILN_API Layer SeparableConvolution2D(std::int64_t filters, Size2 kernel_size, SeparableConv2DArgs args = {});

}  // namespace kiln::layers
