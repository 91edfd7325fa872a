#include "kiln/layers/reshape.h"

#include <fmt/format.h>

#include "kiln/layer_impl.h"

namespace kiln::layers {
namespace {

// Floats in the layer's type; other types as they are.
graph::Value floats_in_type(graph::Value x, DType dtype) {
  return is_float(x.dtype()) ? graph::convert(x, dtype) : x;
}

class FlattenImpl final : public LayerImpl {
 public:
  explicit FlattenImpl(const FlattenArgs& args) : LayerImpl({.dtype = args.dtype, .name = args.name}) {}
  bool converts_input() const override { return false; }
  graph::Value call(Call&, graph::Value x) override {
    return graph::reshape(floats_in_type(x, dtype()), {x.shape()[0], x.shape().tail().elements()});
  }
};

class ReshapeImpl final : public LayerImpl {
 public:
  ReshapeImpl(Shape target, const ReshapeArgs& args)
      : LayerImpl({.dtype = args.dtype, .name = args.name}), target_(std::move(target)) {
    int unknown = 0;
    for (std::int64_t n : target_) {
      unknown += n == None ? 1 : 0;
      if (n != None && n < 1)
        throw ShapeError(fmt::format(
            "Reshape: sizes must be positive (one may be -1), but target_shape is {}", target_.to_string()));
    }
    if (unknown > 1)
      throw ShapeError(
          fmt::format("Reshape: only one size may be -1, but target_shape is {}", target_.to_string()));
  }

  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs) {
      if (!x.tail().is_static()) continue;
      const std::int64_t elements = x.tail().elements();
      std::int64_t known = 1;
      for (std::int64_t n : target_) known *= n == None ? 1 : n;
      const bool inferred = !target_.is_static();
      if (inferred ? elements % known != 0 : elements != known)
        throw ShapeError(
            fmt::format("layer \"{}\" (Reshape): the total size must stay the same, but one sample has {} "
                        "elements (input shape {}) and target_shape is {}",
                        name(), elements, x.to_string(), target_.to_string()));
    }
  }

  bool converts_input() const override { return false; }
  graph::Value call(Call&, graph::Value x) override {
    return graph::reshape(floats_in_type(x, dtype()), target_.prepend(x.shape()[0]));
  }

 private:
  Shape target_;
};

}  // namespace

Layer Flatten(FlattenArgs args) {
  return make_layer<FlattenImpl>(args);
}
Layer Reshape(Shape target_shape, ReshapeArgs args) {
  return make_layer<ReshapeImpl>(std::move(target_shape), args);
}

}  // namespace kiln::layers
