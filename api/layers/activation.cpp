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
    return activations::relu(
        x,
        {.negative_slope = args_.negative_slope, .max_value = args_.max_value, .threshold = args_.threshold});
  }

 private:
  ReLUArgs args_;
};

class LeakyReLUImpl final : public LayerImpl {
 public:
  explicit LeakyReLUImpl(const LeakyReLUArgs& args)
      : LayerImpl({.dtype = args.dtype, .name = args.name}), slope_(args.negative_slope) {
    if (!(slope_ >= 0))
      throw ValueError(fmt::format("LeakyReLU: negative_slope must not be negative, but it is {}", slope_));
  }
  Value call(Call&, Value x) override { return activations::leaky_relu(x, {.negative_slope = slope_}); }

 private:
  double slope_;
};

class ELUImpl final : public LayerImpl {
 public:
  explicit ELUImpl(const ELUArgs& args)
      : LayerImpl({.dtype = args.dtype, .name = args.name}), alpha_(args.alpha) {}
  Value call(Call&, Value x) override { return activations::elu(x, {.alpha = alpha_}); }

 private:
  double alpha_;
};

class IdentityImpl final : public LayerImpl {
 public:
  explicit IdentityImpl(const IdentityArgs& args) : LayerImpl({.dtype = args.dtype, .name = args.name}) {}
  Value call(Call&, Value x) override { return x; }
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
  Value call(Call&, Value x) override { return activations::softmax(x, {.axis = axis_}); }

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
Layer LeakyReLU(LeakyReLUArgs args) {
  return make_layer<LeakyReLUImpl>(args);
}
Layer ELU(ELUArgs args) {
  return make_layer<ELUImpl>(args);
}
Layer Identity(IdentityArgs args) {
  return make_layer<IdentityImpl>(args);
}
Layer Softmax(SoftmaxArgs args) {
  return make_layer<SoftmaxImpl>(args);
}

}  // namespace kiln::layers
