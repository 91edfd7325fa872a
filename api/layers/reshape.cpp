#include "kiln/layers/reshape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

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

class PermuteImpl final : public LayerImpl {
 public:
  PermuteImpl(std::vector<std::int64_t> dims, const PermuteArgs& args)
      : LayerImpl({.dtype = args.dtype, .name = args.name}), dims_(std::move(dims)) {
    std::vector<std::int64_t> sorted = dims_;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t i = 0; i < sorted.size(); i++)
      if (sorted[i] != static_cast<std::int64_t>(i) + 1)
        throw ValueError(fmt::format(
            "Permute: dims must be an order of 1 to {} (axis 0, the batch, stays), but they are [{}]",
            sorted.size(), fmt::join(dims_, ", ")));
  }
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs)
      if (x.rank() != static_cast<int>(dims_.size()) + 1)
        throw ShapeError(
            fmt::format("layer \"{}\" (Permute): dims [{}] are for inputs of {} axes, with the batch, "
                        "but received shape {}",
                        name(), fmt::join(dims_, ", "), dims_.size() + 1, x.to_string()));
  }
  graph::Value call(Call&, graph::Value x) override {
    std::vector<std::int64_t> axes = dims_;
    axes.insert(axes.begin(), 0);
    return graph::transpose(x, axes);
  }

 private:
  std::vector<std::int64_t> dims_;
};

class RepeatVectorImpl final : public LayerImpl {
 public:
  RepeatVectorImpl(std::int64_t n, const RepeatVectorArgs& args)
      : LayerImpl({.dtype = args.dtype, .name = args.name}), n_(n) {
    if (n < 1) throw ValueError(fmt::format("RepeatVector: n must be positive, not {}", n));
  }
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs)
      if (x.rank() != 2)
        throw ShapeError(fmt::format(
            "layer \"{}\" (RepeatVector) needs inputs of shape (batch, features), but received {}", name(),
            x.to_string()));
  }
  graph::Value call(Call&, graph::Value x) override {
    const Shape& shape = x.shape();
    return graph::broadcast(x, {shape[0], n_, shape[1]}, {0, 2});
  }

 private:
  std::int64_t n_;
};

}  // namespace

Layer Flatten(FlattenArgs args) {
  return make_layer<FlattenImpl>(args);
}
Layer Reshape(Shape target_shape, ReshapeArgs args) {
  return make_layer<ReshapeImpl>(std::move(target_shape), args);
}
Layer Permute(std::vector<std::int64_t> dims, PermuteArgs args) {
  return make_layer<PermuteImpl>(std::move(dims), args);
}
Layer RepeatVector(std::int64_t n, RepeatVectorArgs args) {
  return make_layer<RepeatVectorImpl>(n, args);
}

}  // namespace kiln::layers
