#pragma once
#include <memory>
#include <vector>

#include "kiln/layer.h"

/// The layer graph: which layer was applied to which tensors.
namespace kiln::internal {

/// One application of a layer.
struct Application {
  Layer layer;
  std::vector<SymbolicTensor> inputs;
  std::vector<Shape> output_shapes;
  std::vector<DType> output_dtypes;
  int index = 0;  ///< how many times the layer had been applied before
};

struct SymbolicData {
  std::shared_ptr<const Application> from;
  int output = 0;  ///< which of the application's outputs

  const Shape& shape() const { return from->output_shapes[static_cast<std::size_t>(output)]; }
  DType dtype() const { return from->output_dtypes[static_cast<std::size_t>(output)]; }
};

/// A shape with None replaced by sizes: the batch by `batch`, other unknown ones by `other`.
Shape with_sizes(const Shape& shape, std::int64_t batch, std::int64_t other);

}  // namespace kiln::internal
