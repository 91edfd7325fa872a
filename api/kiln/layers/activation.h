#pragma once
#include <optional>
#include <vector>

#include "kiln/activations.h"
#include "kiln/constraints.h"
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
/// x where threshold < x < max_value, max_value above, negative_slope * (x - threshold) below. Throws
/// ValueError for a negative argument.
KILN_API Layer ReLU(ReLUArgs args = {});

struct LeakyReLUArgs {
  double negative_slope = 0.3;
  DType dtype = DType::f32;
  std::string name = "";
};
/// x for x >= 0, else negative_slope * x. Throws ValueError for a negative slope.
KILN_API Layer LeakyReLU(LeakyReLUArgs args = {});

struct PReLUArgs {
  Initializer alpha_initializer = "zeros";
  Regularizer alpha_regularizer = {};
  Constraint alpha_constraint = {};
  std::vector<std::int64_t> shared_axes = {};  ///< along which one alpha serves all; the batch is axis 0
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};
/// x for x >= 0, else alpha x, with a weight alpha for each element of a sample (He et al. 2015). Throws
/// ShapeError for a size that isn't known, or an axis that the input hasn't.
KILN_API Layer PReLU(PReLUArgs args = {});

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
