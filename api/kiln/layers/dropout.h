#pragma once
#include <cstdint>
#include <optional>

#include "kiln/layer.h"

namespace kiln::layers {

struct DropoutArgs {
  Shape noise_shape = {};  ///< with the batch; None takes the input's size, 1 shares the draw along an axis
  std::optional<std::int64_t> seed = {};
  DType dtype = DType::f32;
  std::string name = "";
};

/// While training, sets each element to 0 with probability `rate` and multiplies the others by 1 / (1 -
/// rate); otherwise gives its input. Each layer and each step draws other elements; the gradient uses the
/// same ones. With a `seed`, a model's steps draw the same elements whenever it is made anew; without, they
/// come from the global seed (`set_random_seed`). Throws ValueError unless 0 <= rate <= 1.
KILN_API Layer Dropout(double rate, DropoutArgs args = {});

struct NoiseArgs {
  std::optional<std::int64_t> seed = {};
  DType dtype = DType::f32;
  std::string name = "";
};
/// Dropout of whole feature maps: one draw for all steps (pixels, voxels) of a channel.
KILN_API Layer SpatialDropout1D(double rate, NoiseArgs args = {});
struct SpatialDropoutArgs {
  std::string data_format = "channels_last";
  std::optional<std::int64_t> seed = {};
  DType dtype = DType::f32;
  std::string name = "";
};
KILN_API Layer SpatialDropout2D(double rate, SpatialDropoutArgs args = {});
KILN_API Layer SpatialDropout3D(double rate, SpatialDropoutArgs args = {});

/// Dropout that keeps mean and variance of what selu makes (Klambauer et al. 2017): dropped elements become
/// selu's lower limit, then all are scaled and shifted.
KILN_API Layer AlphaDropout(double rate, DropoutArgs args = {});
/// While training, multiplies by normal noise of mean 1 and standard deviation sqrt(rate / (1 - rate)).
KILN_API Layer GaussianDropout(double rate, NoiseArgs args = {});
/// While training, adds normal noise of mean 0. Throws ValueError unless 0 <= stddev.
KILN_API Layer GaussianNoise(double stddev, NoiseArgs args = {});

struct ActivityRegularizationArgs {
  double l1 = 0;
  double l2 = 0;
  DType dtype = DType::f32;
  std::string name = "";
};
/// Gives its input, and adds l1 sum(|x|) + l2 sum(x^2) to the loss.
KILN_API Layer ActivityRegularization(ActivityRegularizationArgs args = {});

}  // namespace kiln::layers
