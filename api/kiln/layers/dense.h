#pragma once
#include "kiln/activations.h"
#include "kiln/constraints.h"
#include "kiln/layer.h"

namespace kiln::layers {

struct DenseArgs {
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

/// activation(x kernel + bias): (..., n) -> (..., units). Weights: kernel (n, units), bias (units,).
/// Throws ValueError if units < 1, ShapeError if the input's last size is unknown or changes after the build.
KILN_API Layer Dense(std::int64_t units, DenseArgs args = {});

}  // namespace kiln::layers
