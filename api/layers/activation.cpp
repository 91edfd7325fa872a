#include "kiln/layers/activation.h"

#include <fmt/format.h>

#include "kiln/layer_impl.h"

namespace kiln::layers {
namespace {

using graph::Value;

class ActivationImpl final : public LayerImpl {
 public:
  ActivationImpl(activations::Function activation, const ActivationArgs& args)
      : LayerImpl({.dtype = args.dtype, .name = args.name}), activation_(std::move(activation)) {}
  Value call(Call&, Value x) override { return activation_(x); }

 private:
  activations::Function activation_;
};

class ReLUImpl final : public LayerImpl {
 public:
  explicit ReLUImpl(const ReLUArgs& args) : LayerImpl({.dtype = args.dtype, .name = args.name}), args_(args) {
    const auto check = [](const char* name, double value) {
      if (!(value >= 0))
        throw ValueError(fmt::format("ReLU: {} must not be negative, but it is {}", name, value));
    };
    check("max_value", args.max_value.value_or(0));
    check("negative_slope", args.negative_slope);
    check("threshold", args.threshold);
  }
  Value call(Call&, Value x) override {
    Value y;
    if (args_.negative_slope == 0 && args_.threshold == 0) {
      y = activations::relu(x);
    } else {
      // By "le": x == threshold belongs below, as in Keras, and NaN stays NaN.
      const Value zero = graph::scalar(x, 0);
      const Value below = args_.negative_slope == 0 ? zero : (x - args_.threshold) * args_.negative_slope;
      y = graph::select(graph::compare(x, graph::scalar(x, args_.threshold), "le"), below, x);
    }
    if (!args_.max_value) return y;
    // By select, as activations::relu6: the derivative at the bound is 0.
    const Value bound = graph::scalar(y, *args_.max_value);
    return graph::select(graph::compare(y, bound, "ge"), bound, y);
  }

 private:
  ReLUArgs args_;
};

class SoftmaxImpl final : public LayerImpl {
 public:
  explicit SoftmaxImpl(const SoftmaxArgs& args)
      : LayerImpl({.dtype = args.dtype, .name = args.name}), axis_(args.axis) {}
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs)
      if (axis_ >= x.rank() || axis_ < -x.rank())
        throw ShapeError(fmt::format("layer \"{}\" (Softmax): its input of shape {} has no axis {}", name(),
                                     x.to_string(), axis_));
  }
  Value call(Call&, Value x) override {
    return activations::softmax_along(x, axis_ < 0 ? axis_ + x.rank() : axis_);
  }

 private:
  int axis_;
};

}  // namespace

Layer Activation(activations::Function activation, ActivationArgs args) {
  return make_layer<ActivationImpl>(std::move(activation), args);
}
Layer ReLU(ReLUArgs args) {
  return make_layer<ReLUImpl>(args);
}
Layer Softmax(SoftmaxArgs args) {
  return make_layer<SoftmaxImpl>(args);
}

}  // namespace kiln::layers
