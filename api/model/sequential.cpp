#include "kiln/sequential.h"

#include <fmt/format.h>

#include "api/layers/input.h"
#include "api/model/model_impl.h"

namespace kiln {
namespace {

class SequentialImpl final : public ModelImpl {
 public:
  using ModelImpl::ModelImpl;
  std::string class_name() const override { return "Sequential"; }
  bool sequential() const override { return true; }

  void add(const Layer& layer) {
    require_not_fitting("Sequential::add");
    if (!layer.defined())
      throw StateError(fmt::format("Sequential \"{}\": an empty Layer was added", name()));
    if (layer.shared().get() == this)
      throw ValueError(fmt::format("Sequential \"{}\": a model can't be a layer of itself", name()));
    internal::require_own_name(fmt::format("Sequential \"{}\"", name()), layers_, layer);
    if (internal::as_input(layer) != nullptr && !layers_.empty())
      throw ValueError(fmt::format("Sequential \"{}\": Input must be the first layer", name()));
    layers_.push_back(layer);
    try {
      if (layers_[0].defined() && internal::as_input(layers_[0]) != nullptr) join({});
    } catch (...) {
      layers_.pop_back();
      throw;
    }
  }

  void pop() {
    require_not_fitting("Sequential::pop");
    if (layers_.empty()) throw StateError(fmt::format("Sequential \"{}\": there is no layer to pop", name()));
    layers_.pop_back();
    if (connected()) {
      const Layer input = inputs()[0].layer();
      const bool own_input = layers_.empty() || !(layers_[0] == input);
      disconnect();
      if (!own_input) join({});
    }
  }

  void build_for(std::span<const Shape> inputs) override {
    if (connected()) return;
    if (layers_.empty())
      throw StateError(fmt::format("Sequential \"{}\" has no layers; add some first", name()));
    if (inputs.size() != 1)
      throw ShapeError(fmt::format("Sequential \"{}\" takes one input, but got {}", name(), inputs.size()));
    Shape shape = inputs[0].tail();
    join(layers::Input(shape));
  }

 private:
  // Runs a symbolic tensor through the layers, from the Input in front or from the one given. The layers stay
  // as they were listed: a model without Input has none in layers_.
  void join(SymbolicTensor start) {
    const std::vector<Layer> listed = layers_;
    const bool has_input = internal::as_input(layers_[0]) != nullptr;
    if (connected() && has_input) {
      // One more layer behind those that are connected.
      const Layer& last = listed.back();
      const std::vector<SymbolicTensor> first = inputs();
      SymbolicTensor y = last(outputs()[0]);
      disconnect();
      connect(first, {y});
    } else {
      SymbolicTensor x = has_input ? internal::input_tensor(listed[0]) : start;
      SymbolicTensor y = x;
      for (std::size_t i = has_input ? 1 : 0; i < listed.size(); i++) y = listed[i](y);
      connect({x}, {y});
    }
    layers_ = listed;
  }
};

SequentialImpl& impl_of(const Sequential& model) {
  return static_cast<SequentialImpl&>(model.impl());
}

std::shared_ptr<ModelImpl> make(const SequentialArgs& args) {
  auto impl = std::make_shared<SequentialImpl>(LayerOptions{.name = args.name});
  impl->assign_name();
  return impl;
}

}  // namespace

Sequential::Sequential(std::vector<Layer> layers, SequentialArgs args) : Model(make(args)) {
  for (const Layer& layer : layers) add(layer);
}
void Sequential::add(const Layer& layer) {
  impl_of(*this).add(layer);
}
void Sequential::pop() {
  impl_of(*this).pop();
}

}  // namespace kiln
