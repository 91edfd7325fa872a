#pragma once
#include <functional>

#include "kiln/graph/ops.h"

/// The gradient of a convolution's input as convolutions, for canonicalize.
namespace kiln::graph {

/// conv(x, kernel) in a form that there are kernels for.
using Convolve = std::function<Value(Value x, Value kernel, const ConvAttrs& attrs)>;

/// conv_input_grad(dy, kernel), the node `n`.
Value input_grad_form(const Node& n, Value dy, Value kernel, const Convolve& convolve);

}  // namespace kiln::graph
