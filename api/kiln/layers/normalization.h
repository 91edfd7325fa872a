#pragma once
#include "kiln/axes.h"
#include "kiln/constraints.h"
#include "kiln/layer.h"

namespace kiln::layers {

struct BatchNormalizationArgs {
  std::int64_t axis = -1;  ///< the features; statistics are taken over all others
  double momentum = 0.99;
  double epsilon = 1e-3;
  bool center = true;
  bool scale = true;
  Initializer beta_initializer = "zeros";
  Initializer gamma_initializer = "ones";
  Initializer moving_mean_initializer = "zeros";
  Initializer moving_variance_initializer = "ones";
  Regularizer beta_regularizer = {};
  Regularizer gamma_regularizer = {};
  Constraint beta_constraint = {};
  Constraint gamma_constraint = {};
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};
/// gamma (x - mean) / sqrt(variance + epsilon) + beta (Ioffe and Szegedy 2015). While training, mean and
/// (biased) variance are those of the batch, and the moving ones go towards them: moving <- momentum moving +
/// (1 - momentum) batch's. Otherwise, and in a frozen layer (`trainable = false`) always, they are the moving
/// ones. Weights: gamma, beta, and, not trainable, moving_mean, moving_variance, each (features,). Throws
/// ShapeError if the size along the axis is unknown.
KILN_API Layer BatchNormalization(BatchNormalizationArgs args = {});

struct LayerNormalizationArgs {
  Axes axis = -1;
  double epsilon = 1e-3;
  bool center = true;
  bool scale = true;
  Initializer beta_initializer = "zeros";
  Initializer gamma_initializer = "ones";
  Regularizer beta_regularizer = {};
  Regularizer gamma_regularizer = {};
  Constraint beta_constraint = {};
  Constraint gamma_constraint = {};
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};
/// The same with mean and variance over `axis`, of each sample for itself (Ba et al. 2016). Weights: gamma
/// and beta of the sizes along these axes. Throws ShapeError if one is unknown.
KILN_API Layer LayerNormalization(LayerNormalizationArgs args = {});

struct GroupNormalizationArgs {
  std::int64_t groups = 32;  ///< -1: as many as channels
  std::int64_t axis = -1;
  double epsilon = 1e-3;
  bool center = true;
  bool scale = true;
  Initializer beta_initializer = "zeros";
  Initializer gamma_initializer = "ones";
  Regularizer beta_regularizer = {};
  Regularizer gamma_regularizer = {};
  Constraint beta_constraint = {};
  Constraint gamma_constraint = {};
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};
/// The same with mean and variance over each group of neighbouring channels and all other axes of a sample
/// (Wu and He 2018). Throws ShapeError if the channels don't divide into the groups, ValueError for other
/// numbers of groups.
KILN_API Layer GroupNormalization(GroupNormalizationArgs args = {});

struct RMSNormalizationArgs {
  Axes axis = -1;
  double epsilon = 1e-6;
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};
/// scale x / sqrt(mean(x^2) + epsilon), the mean over `axis` (Zhang and Sennrich 2019).
KILN_API Layer RMSNormalization(RMSNormalizationArgs args = {});

struct UnitNormalizationArgs {
  Axes axis = -1;
  DType dtype = DType::f32;
  std::string name = "";
};
/// x / max(sqrt(sum(x^2)), 1e-12), the sum over `axis`.
KILN_API Layer UnitNormalization(UnitNormalizationArgs args = {});

struct SpectralNormalizationArgs {
  std::int64_t power_iterations = 1;  ///< more of them: a better estimate
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};
/// The layer, whose weight "kernel" or "embeddings" (as a matrix: its last axis are the columns) is divided
/// by an estimate of its largest singular value before each training step, so that the layer stretches
/// nothing (Miyato et al. 2018). Gradients are those of the divided kernel, and the optimizer changes it from
/// there, as with Keras on TensorFlow. The estimate starts from the weight `vector_u` (1, columns), not
/// trainable, that the last step left. Throws ValueError for power_iterations below 1, and when it is built
/// around a layer that has neither weight.
KILN_API Layer SpectralNormalization(Layer layer, SpectralNormalizationArgs args = {});

}  // namespace kiln::layers
