#pragma once
#include <optional>

#include "kiln/activations.h"
#include "kiln/layer.h"

namespace kiln::layers {

struct ActivationArgs {
  DType dtype = DType::f32;
  std::string name = "";
};
/// Applies an activation function, given by name or as a function.
KILN_API Layer Activation(activations::Function activation, ActivationArgs args = {});

struct ReLUArgs {
  std::optional<double> max_value = {};
  double negative_slope = 0;
  double threshold = 0;
  DType dtype = DType::f32;
  std::string name = "";
};
/// x where threshold <= x < max_value, max_value above, negative_slope * (x - threshold) below. Throws
/// ValueError for a negative argument.
KILN_API Layer ReLU(ReLUArgs args = {});

struct LeakyReLUArgs {
  double negative_slope = 0.3;
  DType dtype = DType::f32;
  std::string name = "";
};
/// x for x >= 0, else negative_slope * x. Throws ValueError for a negative slope.
KILN_API Layer LeakyReLU(LeakyReLUArgs args = {});

struct ELUArgs {
  double alpha = 1;
  DType dtype = DType::f32;
  std::string name = "";
};
/// x for x > 0, else alpha (exp(x) - 1)
KILN_API Layer ELU(ELUArgs args = {});

struct IdentityArgs {
  DType dtype = DType::f32;
  std::string name = "";
};
/// Its input.
KILN_API Layer Identity(IdentityArgs args = {});

struct SoftmaxArgs {
  int axis = -1;
  DType dtype = DType::f32;
  std::string name = "";
};
/// exp(x) / sum(exp(x)) along an axis. Throws ShapeError if there is no such axis.
KILN_API Layer Softmax(SoftmaxArgs args = {});

}  // namespace kiln::layers
