#include "kiln/variable.h"

#include <fmt/format.h>

#include <cstring>

namespace kiln {

struct Variable::Data {
  std::string name;
  bool trainable;
  Regularizer regularizer;
  Tensor value;
};

// The initializer's tensor is copied: one that an initializer keeps must not be changed by training, nor be
// shared by two weights.
Variable::Variable(const WeightArgs& args, DType dtype)
    : data_(std::make_shared<Data>(
          Data{args.name, args.trainable, args.regularizer, args.initializer(args.shape, dtype).clone()})) {}

const std::string& Variable::name() const {
  return data_->name;
}
const Shape& Variable::shape() const {
  return data_->value.shape();
}
DType Variable::dtype() const {
  return data_->value.dtype();
}
bool Variable::trainable() const {
  return data_->trainable;
}
const Regularizer& Variable::regularizer() const {
  return data_->regularizer;
}
Tensor& Variable::storage() const {
  return data_->value;
}
Tensor Variable::value() const {
  return data_->value.clone();
}

void Variable::assign(const Tensor& value) {
  if (value.shape() != shape())
    throw ShapeError(fmt::format("weight \"{}\" has shape {}, but the given value has shape {}", name(),
                                 shape().to_string(), value.shape().to_string()));
  const Tensor source = value.astype(dtype()).contiguous();
  if (source.nbytes() > 0) std::memcpy(data_->value.raw(), source.raw(), source.nbytes());
}

}  // namespace kiln
