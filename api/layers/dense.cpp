#include "kiln/layers/dense.h"

#include <fmt/format.h>

#include "kiln/layer_impl.h"

namespace kiln::layers {
namespace {

class DenseImpl final : public LayerImpl {
 public:
  DenseImpl(std::int64_t units, DenseArgs args)
      : LayerImpl({.trainable = args.trainable, .dtype = args.dtype, .name = args.name}),
        units_(units),
        args_(std::move(args)) {
    if (units < 1) throw ValueError(fmt::format("Dense: units must be positive, not {}", units));
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
                          .shape = {input.back(), units_},
                          .initializer = args_.kernel_initializer,
                          .regularizer = args_.kernel_regularizer});
    if (args_.use_bias)
      bias_ = add_weight({.name = "bias",
                          .shape = {units_},
                          .initializer = args_.bias_initializer,
                          .regularizer = args_.bias_regularizer});
  }

  graph::Value call(Call& context, graph::Value x) override {
    graph::Value y = graph::dot(x, context(kernel_), {}, {}, {x.rank() - 1}, {0});
    if (args_.use_bias) y = y + context(bias_);
    return args_.activation(y);
  }

 private:
  std::int64_t units_;
  DenseArgs args_;
  Variable kernel_, bias_;
};

}  // namespace

Layer Dense(std::int64_t units, DenseArgs args) {
  return make_layer<DenseImpl>(units, std::move(args));
}

}  // namespace kiln::layers
