#include "kiln/layers/dense.h"

#include <fmt/format.h>

#include "api/layers/configured.h"

namespace kiln::layers {
namespace {

struct DenseSpec : DenseArgs {
  std::int64_t units = 0;

  void fields(internal::Fields& f) {
    f.required("units", units)("activation", activation)("use_bias", use_bias);
    f("kernel_initializer", kernel_initializer)("bias_initializer", bias_initializer);
    f("kernel_regularizer", kernel_regularizer)("bias_regularizer", bias_regularizer);
    f("activity_regularizer", activity_regularizer);
    f("kernel_constraint", kernel_constraint)("bias_constraint", bias_constraint);
  }
};

class DenseImpl final : public internal::ConfiguredLayer<DenseSpec> {
 public:
  explicit DenseImpl(DenseSpec spec) : ConfiguredLayer(std::move(spec)) {
    if (spec_.units < 1) throw ValueError(fmt::format("Dense: units must be positive, not {}", spec_.units));
  }

  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs) {
      if (x.rank() < 2)
        throw ShapeError(
            fmt::format("Input 0 of layer \"{}\" is incompatible with the layer: expected two axes or "
                        "more, (batch, ..., features), but received input with shape {}",
                        name(), x.to_string()));
      if (x.back() == None)
        throw ShapeError(
            fmt::format("Dense layer \"{}\": the last size of its input must be known, to size the "
                        "kernel, but the input has shape {}. Give the size in Input(...), or put a "
                        "layer before it that makes it known, such as GlobalAveragePooling2D",
                        name(), x.to_string()));
      if (built() && x.back() != kernel_.shape()[0])
        throw ShapeError(
            fmt::format("Input 0 of layer \"{}\" is incompatible with the layer: expected axis -1 of "
                        "input shape to have value {}, but received input with shape {}",
                        name(), kernel_.shape()[0], x.to_string()));
    }
  }

  void build(const Shape& input) override {
    kernel_ = add_weight({.name = "kernel",
                          .shape = {input.back(), spec_.units},
                          .initializer = spec_.kernel_initializer,
                          .regularizer = spec_.kernel_regularizer,
                          .constraint = spec_.kernel_constraint});
    if (spec_.use_bias)
      bias_ = add_weight({.name = "bias",
                          .shape = {spec_.units},
                          .initializer = spec_.bias_initializer,
                          .regularizer = spec_.bias_regularizer,
                          .constraint = spec_.bias_constraint});
  }

  graph::Value call(Call& context, graph::Value x) override {
    graph::Value y = graph::dot(x, context(kernel_), {}, {}, {x.rank() - 1}, {0});
    if (spec_.use_bias) y = y + context(bias_);
    return spec_.activation(y);
  }

 private:
  Variable kernel_, bias_;
};

}  // namespace

Layer Dense(std::int64_t units, DenseArgs args) {
  return make_layer<DenseImpl>(DenseSpec{std::move(args), units});
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_dense_layers(LayerRegistry& registry) {
  registry.add<layers::DenseImpl>("Dense");
}

}  // namespace kiln::internal
