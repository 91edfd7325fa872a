#include "kiln/layer.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/layers/symbolic.h"
#include "api/support/weight_guards.h"
#include "kiln/layer_impl.h"

namespace kiln {

const internal::SymbolicData& SymbolicTensor::data() const {
  if (!data_)
    throw StateError("an empty SymbolicTensor was used; one comes from Input(...) or from calling a layer");
  return *data_;
}
bool operator==(const SymbolicTensor& a, const SymbolicTensor& b) {
  if (!a.data_ || !b.data_) return a.data_ == b.data_;
  return a.data_->from == b.data_->from && a.data_->output == b.data_->output;
}
const Shape& SymbolicTensor::shape() const {
  return data().shape();
}
DType SymbolicTensor::dtype() const {
  return data().dtype();
}
Layer SymbolicTensor::layer() const {
  return data().from->layer;
}

namespace {

struct Weight {
  Variable variable;
  bool trainable;
};

// Layer by layer, so that the order doesn't depend on what is frozen.
void collect(const Layer& layer, bool parents_trainable, std::vector<Weight>& found) {
  const bool all_trainable = parents_trainable && layer.trainable();
  for (const Variable& w : layer.impl().own_weights()) {
    const bool seen = std::any_of(found.begin(), found.end(),  // a layer may stand in several places
                                  [&](const Weight& other) { return other.variable == w; });
    if (!seen) found.push_back({w, all_trainable && w.trainable()});
  }
  for (const Layer& inner : layer.impl().sublayers()) collect(inner, all_trainable, found);
}

template <class Predicate>
std::vector<Variable> collect_if(const Layer& layer, Predicate wanted) {
  std::vector<Weight> found;
  collect(layer, true, found);
  std::vector<Variable> variables;
  for (const Weight& w : found)
    if (wanted(w)) variables.push_back(w.variable);
  return variables;
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
  return impl().apply(xs);
}

graph::Value Layer::operator()(Call& call, graph::Value x, CallArgs args) const {
  const std::vector<graph::Value> ys = apply(call, {x}, args);
  if (ys.size() != 1)
    throw StateError(fmt::format("layer \"{}\" gives {} outputs; call it by `apply`, which returns them all",
                                 name(), ys.size()));
  return ys[0];
}
std::vector<graph::Value> Layer::apply(Call& call, const std::vector<graph::Value>& xs, CallArgs args) const {
  if (xs.empty()) throw ShapeError(fmt::format("layer \"{}\" was called without any input", name()));
  std::vector<Shape> shapes;
  for (const graph::Value x : xs) {
    Shape shape = x.shape();
    if (shape.rank() > 0) shape[0] = None;  // weights are made for any number of rows
    shapes.push_back(shape);
  }
  impl().ensure_built(shapes);
  const auto mode = call.in_mode(args.training.value_or(call.training()));
  return impl().emit(call, xs);
}

std::vector<graph::Value> Layer::losses(Call& call) const {
  std::vector<graph::Value> losses;
  for (const Variable& w : trainable_weights())
    if (w.regularizer()) losses.push_back(w.regularizer()(call(w)));
  std::vector<Layer> inside{*this};
  for (std::size_t i = 0; i < inside.size(); i++)
    for (const Layer& inner : inside[i].impl().sublayers()) inside.push_back(inner);
  for (std::size_t i = 0; i < call.losses().size(); i++) {
    const auto added = [&](const Layer& layer) { return layer.shared().get() == call.loss_layers()[i]; };
    if (std::any_of(inside.begin(), inside.end(), added)) losses.push_back(call.losses()[i]);
  }
  return losses;
}

LayerImpl& Layer::impl() const {
  if (!impl_) throw StateError("an empty Layer or Model handle was used; make one first, e.g. Dense(10)");
  return *impl_;
}

const std::string& Layer::name() const {
  return impl().name();
}
std::string Layer::class_name() const {
  return impl().class_name();
}
bool Layer::built() const {
  return impl().built();
}
bool Layer::trainable() const {
  return impl().trainable();
}
void Layer::set_trainable(bool trainable) {
  impl().set_trainable(trainable);
}

std::vector<Variable> Layer::weights() const {
  return collect_if(*this, [](const Weight&) { return true; });
}
std::vector<Variable> Layer::trainable_weights() const {
  return collect_if(*this, [](const Weight& w) { return w.trainable; });
}
std::vector<Variable> Layer::non_trainable_weights() const {
  return collect_if(*this, [](const Weight& w) { return !w.trainable; });
}

std::vector<Tensor> Layer::get_weights() const {
  return internal::read_weights(weights());
}

void Layer::set_weights(const std::vector<Tensor>& values) {
  const std::vector<Variable> targets = weights();
  if (targets.size() != values.size())
    throw ShapeError(fmt::format(
        "layer \"{}\" has {} weights, but set_weights got {} tensors{}", name(), targets.size(),
        values.size(), built() ? "" : "; the layer isn't built yet: call it, or build the model, first"));
  for (std::size_t i = 0; i < values.size(); i++)
    if (values[i].shape() != targets[i].shape())
      throw ShapeError(
          fmt::format("layer \"{}\": weight {} (\"{}\") has shape {}, but set_weights got shape {}", name(),
                      i, targets[i].name(), targets[i].shape().to_string(), values[i].shape().to_string()));
  internal::write_weights(targets, values);
}

std::int64_t Layer::count_params() const {
  std::int64_t n = 0;
  for (const Variable& w : weights()) n += w.shape().elements();
  return n;
}

Config Layer::get_config() const {
  return impl().get_config();
}

namespace {

std::shared_ptr<const internal::Application> first_call(const Layer& layer, const char* what) {
  auto application = layer.impl().first_application();
  if (!application)
    throw StateError(
        fmt::format("layer \"{}\" has no {}: it was never called on a symbolic tensor, or nothing "
                    "uses what it gave any more",
                    layer.name(), what));
  return application;
}

}  // namespace

SymbolicTensor Layer::input() const {
  const auto application = first_call(*this, "input");
  if (application->inputs.size() != 1)
    throw StateError(fmt::format("layer \"{}\" has {} inputs; `input` is for layers with one", name(),
                                 application->inputs.size()));
  return application->inputs[0];
}
SymbolicTensor Layer::output() const {
  const auto application = first_call(*this, "output");
  if (application->output_shapes.size() != 1)
    throw StateError(fmt::format("layer \"{}\" has {} outputs; `output` is for layers with one", name(),
                                 application->output_shapes.size()));
  return SymbolicTensor(std::make_shared<internal::SymbolicData>(internal::SymbolicData{application, 0}));
}

Shape Layer::input_shape() const {
  if (impl().input_shapes().empty())
    throw StateError(fmt::format("layer \"{}\" has no input shape yet: it was never called", name()));
  return impl().input_shapes()[0];
}
Shape Layer::output_shape() const {
  if (impl().output_shapes().empty())
    throw StateError(fmt::format("layer \"{}\" has no output shape yet: it was never called", name()));
  return impl().output_shapes()[0];
}

}  // namespace kiln
