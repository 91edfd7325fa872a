#include "kiln/layers/activation.h"

#include <fmt/format.h>

#include "api/layers/configured.h"

namespace kiln::layers {
namespace {

using graph::Value;
using internal::ConfiguredLayer;
using internal::Fields;

struct ActivationSpec : ActivationArgs {
  activations::Function activation = {};
  void fields(Fields& f) { f.required("activation", activation); }
};
class ActivationImpl final : public ConfiguredLayer<ActivationSpec> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  Value call(Call&, Value x) override { return spec_.activation(x); }
};

struct ReLUSpec : ReLUArgs {
  void fields(Fields& f) {
    f("max_value", max_value)("negative_slope", negative_slope)("threshold", threshold);
  }
};
class ReLUImpl final : public ConfiguredLayer<ReLUSpec> {
 public:
  explicit ReLUImpl(ReLUSpec spec) : ConfiguredLayer(std::move(spec)) {
    const auto check = [](const char* name, double value) {
      if (!(value >= 0))
        throw ValueError(fmt::format("ReLU: {} must not be negative, but it is {}", name, value));
    };
    check("max_value", spec_.max_value.value_or(0));
    check("negative_slope", spec_.negative_slope);
    check("threshold", spec_.threshold);
  }
  Value call(Call&, Value x) override {
    return activations::relu(
        x,
        {.negative_slope = spec_.negative_slope, .max_value = spec_.max_value, .threshold = spec_.threshold});
  }
};

struct LeakyReLUSpec : LeakyReLUArgs {
  void fields(Fields& f) { f("negative_slope", negative_slope); }
};
class LeakyReLUImpl final : public ConfiguredLayer<LeakyReLUSpec> {
 public:
  explicit LeakyReLUImpl(LeakyReLUSpec spec) : ConfiguredLayer(std::move(spec)) {
    if (!(spec_.negative_slope >= 0))
      throw ValueError(
          fmt::format("LeakyReLU: negative_slope must not be negative, but it is {}", spec_.negative_slope));
  }
  Value call(Call&, Value x) override {
    return activations::leaky_relu(x, {.negative_slope = spec_.negative_slope});
  }
};

struct PReLUSpec : PReLUArgs {
  void fields(Fields& f) {
    f("alpha_initializer", alpha_initializer)("alpha_regularizer", alpha_regularizer);
    f("alpha_constraint", alpha_constraint)("shared_axes", shared_axes);
  }
};
class PReLUImpl final : public ConfiguredLayer<PReLUSpec> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  void build(const Shape& input) override {
    Shape shape = input.tail();
    for (std::int64_t axis : spec_.shared_axes) {
      if (axis < 1 || axis >= input.rank())
        throw ShapeError(
            fmt::format("layer \"{}\" (PReLU): shared_axes has {}, but the input of shape {} has axes "
                        "1 to {} behind the batch",
                        name(), axis, input.to_string(), input.rank() - 1));
      shape[static_cast<std::size_t>(axis - 1)] = 1;
    }
    if (!shape.is_static())
      throw ShapeError(
          fmt::format("layer \"{}\" (PReLU): the sizes of its input must be known, to size alpha, or "
                      "be in shared_axes, but the input has shape {}",
                      name(), input.to_string()));
    alpha_ = add_weight({.name = "alpha",
                         .shape = shape,
                         .initializer = spec_.alpha_initializer,
                         .regularizer = spec_.alpha_regularizer,
                         .constraint = spec_.alpha_constraint});
  }
  Value call(Call& context, Value x) override {
    // As Keras, whose relu has the derivative 0 at 0.
    return activations::relu(x) - context(alpha_) * activations::relu(-x);
  }

 private:
  Variable alpha_;
};

struct ELUSpec : ELUArgs {
  void fields(Fields& f) { f("alpha", alpha); }
};
class ELUImpl final : public ConfiguredLayer<ELUSpec> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  Value call(Call&, Value x) override { return activations::elu(x, {.alpha = spec_.alpha}); }
};

struct IdentitySpec : IdentityArgs {
  void fields(Fields&) {}
};
class IdentityImpl final : public ConfiguredLayer<IdentitySpec> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool converts_input() const override { return false; }
  Value call(Call&, Value x) override { return internal::floats_in_type(x, dtype()); }
};

struct SoftmaxSpec : SoftmaxArgs {
  void fields(Fields& f) { f("axis", axis); }
};
class SoftmaxImpl final : public ConfiguredLayer<SoftmaxSpec> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs)
      if (spec_.axis >= x.rank() || spec_.axis < -x.rank())
        throw ShapeError(fmt::format("layer \"{}\" (Softmax): its input of shape {} has no axis {}", name(),
                                     x.to_string(), spec_.axis));
  }
  Value call(Call&, Value x) override { return activations::softmax(x, {.axis = spec_.axis}); }
};

}  // namespace

Layer Activation(activations::Function activation, ActivationArgs args) {
  return make_layer<ActivationImpl>(ActivationSpec{std::move(args), std::move(activation)});
}
Layer ReLU(ReLUArgs args) {
  return make_layer<ReLUImpl>(ReLUSpec{std::move(args)});
}
Layer LeakyReLU(LeakyReLUArgs args) {
  return make_layer<LeakyReLUImpl>(LeakyReLUSpec{std::move(args)});
}
Layer PReLU(PReLUArgs args) {
  return make_layer<PReLUImpl>(PReLUSpec{std::move(args)});
}
Layer ELU(ELUArgs args) {
  return make_layer<ELUImpl>(ELUSpec{std::move(args)});
}
Layer Identity(IdentityArgs args) {
  return make_layer<IdentityImpl>(IdentitySpec{std::move(args)});
}
Layer Softmax(SoftmaxArgs args) {
  return make_layer<SoftmaxImpl>(SoftmaxSpec{std::move(args)});
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_activation_layers(LayerRegistry& registry) {
  using namespace layers;
  registry.add<ActivationImpl>("Activation");
  registry.add<ReLUImpl>("ReLU");
  registry.add<LeakyReLUImpl>("LeakyReLU");
  registry.add<PReLUImpl>("PReLU");
  registry.add<ELUImpl>("ELU");
  registry.add<IdentityImpl>("Identity");
  registry.add<SoftmaxImpl>("Softmax");
}

}  // namespace kiln::internal
