#include "kiln/layers/dropout.h"

#include <fmt/format.h>

#include "kiln/layer_impl.h"

namespace kiln::layers {
namespace {

class DropoutImpl final : public LayerImpl {
 public:
  DropoutImpl(double rate, const DropoutArgs& args)
      : LayerImpl({.dtype = args.dtype, .name = args.name}),
        rate_(rate),
        noise_shape_(args.noise_shape),
        seed_(args.seed) {
    if (!(rate >= 0 && rate <= 1))
      throw ValueError(
          fmt::format("Dropout: rate must be in [0, 1], the share of elements to drop, but it is {}", rate));
  }

  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs) {
      bool fits = noise_shape_.empty() || noise_shape_.rank() == x.rank();
      for (int i = 0; fits && i < noise_shape_.rank(); i++) {
        const std::int64_t n = noise_shape_.dim(i);
        fits = n == None || n == 1 || n == x.dim(i);
      }
      if (!fits)
        throw ShapeError(
            fmt::format("layer \"{}\" (Dropout): noise_shape {} must have the input's axes, each of its "
                        "size, 1 or None, but the input has shape {}",
                        name(), noise_shape_.to_string(), x.to_string()));
    }
  }

  graph::Value call(Call& context, graph::Value x) override {
    if (!context.training() || rate_ == 0) return x;
    // Zeros that have a gradient, of zeros: plain ones would leave the layers before it without any.
    if (rate_ == 1)
      return graph::select(graph::full(x.graph(), {DType::bool_, x.shape()}, 0), x, graph::scalar(x, 0));
    Shape drawn = x.shape();
    for (int i = 0; i < noise_shape_.rank(); i++)
      if (noise_shape_.dim(i) != None) drawn[static_cast<std::size_t>(i)] = noise_shape_.dim(i);
    const graph::Value uniform = context.random_uniform(drawn, x.dtype(), seed_);
    const graph::Value keep = graph::compare(uniform, graph::scalar(uniform, rate_), "ge");
    return graph::select(keep, x * (1 / (1 - rate_)), graph::scalar(x, 0));
  }

 private:
  double rate_;
  Shape noise_shape_;
  std::optional<std::int64_t> seed_;
};

}  // namespace

Layer Dropout(double rate, DropoutArgs args) {
  return make_layer<DropoutImpl>(rate, args);
}

}  // namespace kiln::layers
