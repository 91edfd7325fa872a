#pragma once
#include "graph/plan.h"
#include "kiln/graph/ops.h"

/// Convolutions in Winograd's form, for canonicalize.
namespace kiln::graph {

/// conv(x, kernel) with the products of winograd_conv; null where there is no such form, or `algorithm`
/// leaves the choice and the direct products are cheaper. The choice never depends on the batch: a row's
/// prediction is the same to the bit in any.
Value winograd_form(Value x, Value kernel, const ConvAttrs& attrs, ConvAlgorithm algorithm);
/// The same for conv_kernel_grad(x, dy), `kernel` being the kernel's shape.
Value winograd_kernel_grad_form(Value x, Value dy, const Shape& kernel, const ConvAttrs& attrs,
                                ConvAlgorithm algorithm);

}  // namespace kiln::graph
