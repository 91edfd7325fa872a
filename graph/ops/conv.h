#pragma once
#include <algorithm>
#include <vector>

#include "graph/op_def.h"
#include "graph/ops/support.h"

/// What the files of convolutions share.
namespace kiln::graph {

/// The shape of conv(x, kernel), all attributes checked.
Shape conv_shape(const InferContext& c, const Shape& x, const Shape& kernel);

/// The attributes for an x of this rank, with what is left empty filled in: strides and dilation 1, no
/// padding.
Attributes conv_attributes(const ConvAttrs& attrs, int rank);
/// The attributes that all convolutions have.
std::vector<AttrSpec> conv_attribute_specs();

/// Whether conv_input_grad is a convolution for each phase of its strides: few phases, of a kernel that isn't
/// dilated. Else it is one over dy with zeros between its elements.
inline bool has_phases(const Ints& strides, const Ints& dilation) {
  constexpr std::int64_t most = 8;
  return all_are(dilation, 1) &&
         std::all_of(strides.begin(), strides.end(), [](std::int64_t s) { return s <= most; });
}

}  // namespace kiln::graph
