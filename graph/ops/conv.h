#pragma once
#include <vector>

#include "graph/op_def.h"

/// What the files of convolutions share.
namespace kiln::graph {

/// The shape of conv(x, kernel), all attributes checked.
Shape conv_shape(const InferContext& c, const Shape& x, const Shape& kernel);

/// The attributes for an x of this rank, with what is left empty filled in: strides and dilation 1, no
/// padding.
Attributes conv_attributes(const ConvAttrs& attrs, int rank);
/// The attributes that all convolutions have.
std::vector<AttrSpec> conv_attribute_specs();

}  // namespace kiln::graph
