#include "kiln/layers/normalization.h"

#include <fmt/format.h>

#include <cmath>

#include "api/layers/configured.h"
#include "api/support/unit_vectors.h"

namespace kiln::layers {
namespace {

using graph::Ints;
using graph::Value;
using internal::ConfiguredLayer;
using internal::Fields;

/// gamma and beta, and what else several layers have.
template <class Args>
void scale_fields(Fields& f, Args& a) {
  f("epsilon", a.epsilon)("center", a.center)("scale", a.scale);
  f("beta_initializer", a.beta_initializer)("gamma_initializer", a.gamma_initializer);
  f("beta_regularizer", a.beta_regularizer)("gamma_regularizer", a.gamma_regularizer);
  f("beta_constraint", a.beta_constraint)("gamma_constraint", a.gamma_constraint);
}

void check_epsilon(const char* class_name, double epsilon) {
  if (!(epsilon >= 0 && std::isfinite(epsilon)))
    throw ValueError(
        fmt::format("{}: epsilon must be finite and not negative, but it is {}", class_name, epsilon));
}

struct Moments {
  Value mean, variance;
};
/// Over these axes, which stay with size 1.
Moments moments(Value x, const Ints& axes) {
  const Value mean = graph::reduce_mean(x, axes, /*keepdims=*/true), off = x - mean;
  return {mean, graph::reduce_mean(off * off, axes, /*keepdims=*/true)};
}

/// What normalises and then scales by weights of the sizes along some axes.
template <class Spec>
class ScaledImpl : public ConfiguredLayer<Spec> {
 public:
  using ConfiguredLayer<Spec>::ConfiguredLayer;

 protected:
  void make_weights(const Shape& shape) {
    const Spec& spec = this->spec_;
    if (spec.scale)
      gamma_ = this->add_weight({.name = "gamma",
                                 .shape = shape,
                                 .initializer = spec.gamma_initializer,
                                 .regularizer = spec.gamma_regularizer,
                                 .constraint = spec.gamma_constraint});
    if (spec.center)
      beta_ = this->add_weight({.name = "beta",
                                .shape = shape,
                                .initializer = spec.beta_initializer,
                                .regularizer = spec.beta_regularizer,
                                .constraint = spec.beta_constraint});
  }
  /// (x - mean) / sqrt(variance + epsilon) gamma + beta; weights are brought to `shape`, which broadcasts.
  Value normalize(Call& context, Value x, const Moments& m, const Shape& shape) {
    Value factor = graph::rsqrt(m.variance + this->spec_.epsilon);
    if (this->spec_.scale) factor = factor * graph::reshape(context(gamma_), shape);
    const Value y = (x - m.mean) * factor;
    return this->spec_.center ? y + graph::reshape(context(beta_), shape) : y;
  }

 private:
  Variable gamma_, beta_;
};

/// The sizes along some axes, which must be known.
Shape known_sizes(const LayerImpl& layer, const Ints& axes, const Shape& input) {
  Shape sizes;
  for (std::int64_t axis : axes) {
    sizes.push_back(input[static_cast<std::size_t>(axis)]);
    if (sizes.back() == None)
      throw ShapeError(fmt::format(
          "layer \"{}\" ({}): the size along axis {} must be known, to size the weights, but the input "
          "has shape {}; give it in Input(...)",
          layer.name(), layer.class_name(), axis, input.to_string()));
  }
  return sizes;
}

std::string user(const LayerImpl& layer, const Shape& input) {
  return fmt::format("layer \"{}\" ({}), input of shape {}", layer.name(), layer.class_name(),
                     input.to_string());
}

/// 1 but for the sizes along some axes.
Shape spread(const Shape& x, const Ints& axes) {
  Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(x.rank()), 1));
  for (std::int64_t axis : axes) shape[static_cast<std::size_t>(axis)] = x[static_cast<std::size_t>(axis)];
  return shape;
}

// ---- BatchNormalization -----------------------------------------------------------------------------------

struct BatchNormalizationSpec : BatchNormalizationArgs {
  void fields(Fields& f) {
    f("axis", axis)("momentum", momentum);
    scale_fields(f, *this);
    f("moving_mean_initializer", moving_mean_initializer);
    f("moving_variance_initializer", moving_variance_initializer);
    f.only("synchronized", false).only("renorm", false).only("renorm_momentum", 0.99);
  }
};

class BatchNormalizationImpl final : public ScaledImpl<BatchNormalizationSpec> {
 public:
  explicit BatchNormalizationImpl(BatchNormalizationSpec spec) : ScaledImpl(std::move(spec)) {
    check_epsilon("BatchNormalization", spec_.epsilon);
    if (!(spec_.momentum >= 0 && spec_.momentum <= 1))
      throw ValueError(
          fmt::format("BatchNormalization: momentum must be in [0, 1], but it is {}", spec_.momentum));
  }
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs) {
      const Shape features = known_sizes(*this, axis(x), x);
      if (built() && features != mean_.shape())
        throw ShapeError(fmt::format(
            "Input 0 of layer \"{}\" is incompatible with the layer: expected axis {} of input shape to have "
            "value {}, but received input with shape {}",
            name(), spec_.axis, mean_.shape()[0], x.to_string()));
    }
  }
  void build(const Shape& input) override {
    const Shape features = known_sizes(*this, axis(input), input);
    make_weights(features);
    mean_ = add_weight({.name = "moving_mean",
                        .shape = features,
                        .initializer = spec_.moving_mean_initializer,
                        .trainable = false});
    variance_ = add_weight({.name = "moving_variance",
                            .shape = features,
                            .initializer = spec_.moving_variance_initializer,
                            .trainable = false});
  }
  Value call(Call& context, Value x) override {
    const Ints features = axis(x.shape());
    const Shape shape = spread(x.shape(), features);
    if (!context.training() || !trainable())
      return normalize(context, x,
                       {graph::reshape(context(mean_), shape), graph::reshape(context(variance_), shape)},
                       shape);
    Ints others;
    for (int i = 0; i < x.rank(); i++)
      if (i != features[0]) others.push_back(i);
    const Moments batch = moments(x, others);
    const auto move = [&](const Variable& moving, Value to) {
      context.assign(moving, context(moving) * spec_.momentum +
                                 graph::reshape(to, moving.shape()) * (1 - spec_.momentum));
    };
    move(mean_, batch.mean);
    move(variance_, batch.variance);
    return normalize(context, x, batch, shape);
  }

 private:
  Ints axis(const Shape& x) const { return Axes(spec_.axis).of_rank(user(*this, x), x.rank()); }

  Variable mean_, variance_;
};

// ---- LayerNormalization -----------------------------------------------------------------------------------

struct LayerNormalizationSpec : LayerNormalizationArgs {
  void fields(Fields& f) {
    f("axis", axis);
    scale_fields(f, *this);
    f.only("rms_scaling", false);
  }
};

class LayerNormalizationImpl final : public ScaledImpl<LayerNormalizationSpec> {
 public:
  explicit LayerNormalizationImpl(LayerNormalizationSpec spec) : ScaledImpl(std::move(spec)) {
    check_epsilon("LayerNormalization", spec_.epsilon);
  }
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs) known_sizes(*this, axes(x), x);
  }
  void build(const Shape& input) override { make_weights(known_sizes(*this, axes(input), input)); }
  Value call(Call& context, Value x) override {
    return normalize(context, x, moments(x, axes(x.shape())), spread(x.shape(), axes(x.shape())));
  }

 private:
  Ints axes(const Shape& x) const { return spec_.axis.of_rank(user(*this, x), x.rank()); }
};

// ---- GroupNormalization -----------------------------------------------------------------------------------

struct GroupNormalizationSpec : GroupNormalizationArgs {
  void fields(Fields& f) {
    f("groups", groups)("axis", axis);
    scale_fields(f, *this);
  }
};

class GroupNormalizationImpl final : public ScaledImpl<GroupNormalizationSpec> {
 public:
  explicit GroupNormalizationImpl(GroupNormalizationSpec spec) : ScaledImpl(std::move(spec)) {
    check_epsilon("GroupNormalization", spec_.epsilon);
    if (spec_.groups < 1 && spec_.groups != -1)
      throw ValueError(
          fmt::format("GroupNormalization: groups must be positive, or -1, not {}", spec_.groups));
  }
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs) {
      const std::int64_t channels = known_sizes(*this, {axis(x)}, x)[0];
      if (channels % groups(channels) != 0)
        throw ShapeError(
            fmt::format("layer \"{}\" (GroupNormalization): the {} channels don't divide into {} groups; the "
                        "input has shape {}",
                        name(), channels, spec_.groups, x.to_string()));
    }
  }
  void build(const Shape& input) override { make_weights(known_sizes(*this, {axis(input)}, input)); }
  Value call(Call& context, Value x) override {
    const std::int64_t channel_axis = axis(x.shape());
    const auto at = static_cast<std::size_t>(channel_axis);
    const std::int64_t channels = x.shape()[at], count = groups(channels);
    // (..., groups, channels of a group, ...)
    std::vector<std::int64_t> sizes = x.shape().sizes();
    sizes[at] = channels / count;
    sizes.insert(sizes.begin() + channel_axis, count);
    const Value grouped = graph::reshape(x, Shape(sizes));
    Ints others;
    for (int i = 1; i < grouped.rank(); i++)
      if (i != channel_axis) others.push_back(i);
    const Shape shape = spread(grouped.shape(), {channel_axis, channel_axis + 1});
    return graph::reshape(normalize(context, grouped, moments(grouped, others), shape), x.shape());
  }

 private:
  std::int64_t axis(const Shape& x) const { return Axes(spec_.axis).of_rank(user(*this, x), x.rank())[0]; }
  std::int64_t groups(std::int64_t channels) const { return spec_.groups == -1 ? channels : spec_.groups; }
};

// ---- RMSNormalization, UnitNormalization ------------------------------------------------------------------

struct RMSNormalizationSpec : RMSNormalizationArgs {
  void fields(Fields& f) { f("axis", axis)("epsilon", epsilon); }
};

class RMSNormalizationImpl final : public ConfiguredLayer<RMSNormalizationSpec> {
 public:
  explicit RMSNormalizationImpl(RMSNormalizationSpec spec) : ConfiguredLayer(std::move(spec)) {
    check_epsilon("RMSNormalization", spec_.epsilon);
  }
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs) known_sizes(*this, axes(x), x);
  }
  void build(const Shape& input) override {
    scale_ =
        add_weight({.name = "scale", .shape = known_sizes(*this, axes(input), input), .initializer = "ones"});
  }
  Value call(Call& context, Value x) override {
    const Ints along = axes(x.shape());
    const Value squares = graph::reduce_mean(x * x, along, /*keepdims=*/true);
    return x * graph::rsqrt(squares + spec_.epsilon) *
           graph::reshape(context(scale_), spread(x.shape(), along));
  }

 private:
  Ints axes(const Shape& x) const { return spec_.axis.of_rank(user(*this, x), x.rank()); }
  Variable scale_;
};

struct UnitNormalizationSpec : UnitNormalizationArgs {
  void fields(Fields& f) { f("axis", axis); }
};

class UnitNormalizationImpl final : public ConfiguredLayer<UnitNormalizationSpec> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs) axes(x);
  }
  Value call(Call&, Value x) override {
    constexpr double epsilon = 1e-12;  // Keras's
    return internal::unit_vectors(x, axes(x.shape()), epsilon);
  }

 private:
  Ints axes(const Shape& x) const { return spec_.axis.of_rank(user(*this, x), x.rank()); }
};

}  // namespace

Layer BatchNormalization(BatchNormalizationArgs args) {
  return make_layer<BatchNormalizationImpl>(BatchNormalizationSpec{std::move(args)});
}
Layer LayerNormalization(LayerNormalizationArgs args) {
  return make_layer<LayerNormalizationImpl>(LayerNormalizationSpec{std::move(args)});
}
Layer GroupNormalization(GroupNormalizationArgs args) {
  return make_layer<GroupNormalizationImpl>(GroupNormalizationSpec{std::move(args)});
}
Layer RMSNormalization(RMSNormalizationArgs args) {
  return make_layer<RMSNormalizationImpl>(RMSNormalizationSpec{std::move(args)});
}
Layer UnitNormalization(UnitNormalizationArgs args) {
  return make_layer<UnitNormalizationImpl>(UnitNormalizationSpec{std::move(args)});
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_normalization_layers(LayerRegistry& registry) {
  using namespace layers;
  registry.add<BatchNormalizationImpl>("BatchNormalization");
  registry.add<LayerNormalizationImpl>("LayerNormalization");
  registry.add<GroupNormalizationImpl>("GroupNormalization");
  registry.add<RMSNormalizationImpl>("RMSNormalization");
  registry.add<UnitNormalizationImpl>("UnitNormalization");
}

}  // namespace kiln::internal
