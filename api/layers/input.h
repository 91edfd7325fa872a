#pragma once
#include "kiln/layer_impl.h"

namespace kiln::internal {

/// The layer behind `Input`: makes its tensor once and hands it on.
class InputLayer final : public LayerImpl {
 public:
  InputLayer(Shape batch_shape, LayerOptions options)
      : LayerImpl(std::move(options)), shape_(std::move(batch_shape)) {
    mark_built();
  }
  std::vector<graph::Value> call_all(Call&, std::span<const graph::Value> xs) override {
    return {xs.begin(), xs.end()};
  }
  bool converts_input() const override { return false; }
  Config get_config() const override;
  const Shape& shape() const { return shape_; }

 private:
  Shape shape_;
};

/// The input layer, if the layer is one, else null.
const InputLayer* as_input(const Layer& layer);
/// A symbolic tensor that comes from an input layer.
SymbolicTensor input_tensor(const Layer& input);

}  // namespace kiln::internal
