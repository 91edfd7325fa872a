#pragma once
#include <string>

#include "graph/plan.h"
#include "kiln/graph/ops.h"

/// Convolutions in Winograd's form, for canonicalize.
namespace kiln::graph {

struct WinogradChoice {
  bool taken = false;
  std::string reason;  ///< for KILN_DUMP
};
/// Whether the convolution of x by a kernel of this shape, and its gradients, have such a form, and if
/// `algorithm` leaves the choice, whether the direct products cost more. It never depends on the batch: a
/// row's prediction is the same to the bit in any.
WinogradChoice choose_winograd(const Type& x, const Shape& kernel, const ConvAttrs& attrs,
                               ConvAlgorithm algorithm);

/// conv(x, kernel) by winograd_conv.
Value winograd_form(Value x, Value kernel, const ConvAttrs& attrs);
/// conv_kernel_grad(x, dy) by winograd_kernel_grad, `kernel` being the kernel's shape.
Value winograd_kernel_grad_form(Value x, Value dy, const Shape& kernel, const ConvAttrs& attrs);

}  // namespace kiln::graph
