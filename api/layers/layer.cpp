#include "kiln/layer.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/layers/symbolic.h"
#include "kiln/layer_impl.h"

namespace kiln {

const Shape& SymbolicTensor::shape() const {
  return data_->shape();
}
DType SymbolicTensor::dtype() const {
  return data_->dtype();
}
Layer SymbolicTensor::layer() const {
  return data_->from->layer;
}

namespace {

void collect(const Layer& layer, bool parents_trainable, std::vector<Variable>& trainable,
             std::vector<Variable>& other) {
  const bool all_trainable = parents_trainable && layer.trainable();
  const auto seen = [&](const Variable& w) {  // a layer may stand in several places
    return std::find(trainable.begin(), trainable.end(), w) != trainable.end() ||
           std::find(other.begin(), other.end(), w) != other.end();
  };
  for (const Variable& w : layer.impl().own_weights())
    if (!seen(w)) (all_trainable && w.trainable() ? trainable : other).push_back(w);
  for (const Layer& inner : layer.impl().sublayers()) collect(inner, all_trainable, trainable, other);
}

}  // namespace

SymbolicTensor Layer::operator()(const SymbolicTensor& x) const {
  return (*this)(std::vector<SymbolicTensor>{x});
}
SymbolicTensor Layer::operator()(std::initializer_list<SymbolicTensor> xs) const {
  return (*this)(std::vector<SymbolicTensor>(xs));
}
SymbolicTensor Layer::operator()(const std::vector<SymbolicTensor>& xs) const {
  std::vector<SymbolicTensor> ys = apply(xs);
  if (ys.size() != 1)
    throw StateError(fmt::format("layer \"{}\" gives {} outputs; call it by `apply`, which returns them all",
                                 name(), ys.size()));
  return ys[0];
}
std::vector<SymbolicTensor> Layer::apply(const std::vector<SymbolicTensor>& xs) const {
  if (!impl_) throw StateError("an empty Layer handle was called; make a layer first, e.g. Dense(10)");
  return impl_->apply(xs);
}

const std::string& Layer::name() const {
  return impl_->name();
}
std::string Layer::class_name() const {
  return impl_->class_name();
}
bool Layer::built() const {
  return impl_->built();
}
bool Layer::trainable() const {
  return impl_->trainable();
}
void Layer::set_trainable(bool trainable) {
  impl_->set_trainable(trainable);
}

std::vector<Variable> Layer::weights() const {
  std::vector<Variable> trainable, other;
  collect(*this, true, trainable, other);
  trainable.insert(trainable.end(), other.begin(), other.end());
  return trainable;
}
std::vector<Variable> Layer::trainable_weights() const {
  std::vector<Variable> trainable, other;
  collect(*this, true, trainable, other);
  return trainable;
}
std::vector<Variable> Layer::non_trainable_weights() const {
  std::vector<Variable> trainable, other;
  collect(*this, true, trainable, other);
  return other;
}

std::vector<Tensor> Layer::get_weights() const {
  std::vector<Tensor> values;
  for (const Variable& w : weights()) values.push_back(w.value());
  return values;
}

void Layer::set_weights(const std::vector<Tensor>& values) {
  std::vector<Variable> targets = weights();
  if (targets.size() != values.size())
    throw ShapeError(fmt::format(
        "layer \"{}\" has {} weights, but set_weights got {} tensors{}", name(), targets.size(),
        values.size(), built() ? "" : "; the layer isn't built yet: call it, or build the model, first"));
  for (std::size_t i = 0; i < values.size(); i++)
    if (values[i].shape() != targets[i].shape())
      throw ShapeError(
          fmt::format("layer \"{}\": weight {} (\"{}\") has shape {}, but set_weights got shape {}", name(),
                      i, targets[i].name(), targets[i].shape().to_string(), values[i].shape().to_string()));
  for (std::size_t i = 0; i < values.size(); i++) targets[i].assign(values[i]);
}

std::int64_t Layer::count_params() const {
  std::int64_t n = 0;
  for (const Variable& w : weights()) n += w.shape().elements();
  return n;
}

Shape Layer::input_shape() const {
  if (impl_->input_shapes().empty())
    throw StateError(fmt::format("layer \"{}\" has no input shape yet: it was never called", name()));
  return impl_->input_shapes()[0];
}
Shape Layer::output_shape() const {
  if (impl_->output_shapes().empty())
    throw StateError(fmt::format("layer \"{}\" has no output shape yet: it was never called", name()));
  return impl_->output_shapes()[0];
}

}  // namespace kiln
