#include "kiln/variable.h"

#include <fmt/format.h>

#include "api/support/weight_guards.h"

namespace kiln {

struct Variable::Data {
  std::string name;
  std::string path;
  bool trainable;
  Regularizer regularizer;
  Constraint constraint;
  Tensor value;
  std::shared_ptr<internal::FairSharedMutex> guard = nullptr;
};

// The initializer's tensor is copied: one that an initializer keeps must not be changed by training, nor be
// shared by two weights.
Variable::Variable(const WeightArgs& args, DType dtype, const std::string& layer)
    : data_(std::make_shared<Data>(Data{args.name, layer.empty() ? args.name : layer + "/" + args.name,
                                        args.trainable, args.regularizer, args.constraint,
                                        args.initializer(args.shape, dtype).clone()})) {}

Variable::Data& Variable::data() const {
  if (!data_)
    throw StateError(
        "an empty Variable was used; a weight exists once its layer was called or built, and only if the "
        "layer's `build` makes it: weight = add_weight({.name = ..., .shape = ...})");
  return *data_;
}
const std::string& Variable::name() const {
  return data().name;
}
const std::string& Variable::path() const {
  return data().path;
}
const Shape& Variable::shape() const {
  return data().value.shape();
}
DType Variable::dtype() const {
  return data().value.dtype();
}
bool Variable::trainable() const {
  return data().trainable;
}
const Regularizer& Variable::regularizer() const {
  return data().regularizer;
}
const Constraint& Variable::constraint() const {
  return data().constraint;
}
const Tensor& Variable::storage() const {
  return data().value;
}
std::shared_ptr<internal::FairSharedMutex>& Variable::guard() const {
  return data().guard;
}
Tensor Variable::value() const {
  return internal::read_weights({this, 1})[0];
}

void Variable::assign(const Tensor& value) {
  if (value.shape() != shape())
    throw ShapeError(fmt::format("weight \"{}\" has shape {}, but the given value has shape {}", path(),
                                 shape().to_string(), value.shape().to_string()));
  internal::write_weights({this, 1}, {&value, 1});
}

}  // namespace kiln
