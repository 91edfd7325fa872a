#include "graph/ops/batch_last.h"

namespace kiln::graph {

Shape batch_first(const Shape& shape) {
  return shape.slice(0, shape.rank() - 1).prepend(shape.back());
}

Shape batch_last(const Shape& shape) {
  Shape last = shape.tail();
  last.push_back(shape[0]);
  return last;
}

namespace {

Tensor copy_with_axes(const Tensor& tensor, const Shape& shape, std::vector<std::int64_t> strides) {
  const auto owner = std::make_shared<Tensor>(tensor);
  return Tensor::view(owner->raw(), shape, tensor.dtype(), std::move(strides), owner).contiguous();
}

}  // namespace

Tensor batch_first(const Tensor& tensor) {
  std::vector<std::int64_t> strides = tensor.strides();
  strides.insert(strides.begin(), strides.back());
  strides.pop_back();
  return copy_with_axes(tensor, batch_first(tensor.shape()), std::move(strides));
}

Tensor batch_last(const Tensor& tensor) {
  std::vector<std::int64_t> strides = tensor.strides();
  strides.push_back(strides.front());
  strides.erase(strides.begin());
  return copy_with_axes(tensor, batch_last(tensor.shape()), std::move(strides));
}

}  // namespace kiln::graph
