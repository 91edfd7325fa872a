#include "kiln/layers/conv2d.h"

#include <fmt/format.h>

#include "api/layers/windows.h"
#include "kiln/layer_impl.h"

namespace kiln::layers {
namespace {

class Conv2DImpl final : public LayerImpl {
 public:
  Conv2DImpl(std::int64_t filters, Size2 kernel_size, Conv2DArgs args)
      : LayerImpl({.trainable = args.trainable, .dtype = args.dtype, .name = args.name}),
        filters_(filters),
        kernel_size_(kernel_size),
        args_(std::move(args)),
        same_(internal::parse_padding("Conv2D", args_.padding)) {
    if (filters < 1) throw ValueError(fmt::format("Conv2D: filters must be positive, not {}", filters));
    if (args_.groups < 1)
      throw ValueError(fmt::format("Conv2D: groups must be positive, not {}", args_.groups));
    if (filters % args_.groups != 0)
      throw ValueError(
          fmt::format("Conv2D: filters must be a multiple of groups, but filters = {} and groups = {}",
                      filters, args_.groups));
    internal::check_positive("Conv2D", "kernel_size", kernel_size);
    internal::check_positive("Conv2D", "strides", args_.strides);
    internal::check_positive("Conv2D", "dilation_rate", args_.dilation_rate);
  }

  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs) {
      internal::check_window({.layer = name(),
                              .class_name = "Conv2D",
                              .window_name = "kernel_size",
                              .window = kernel_size_,
                              .strides = args_.strides,
                              .dilation = args_.dilation_rate,
                              .same = same_},
                             x);
      const std::int64_t channels = x.back();
      if (channels == None)
        throw ShapeError(
            fmt::format("Conv2D layer \"{}\": the number of channels must be known, to size the kernel, "
                        "but the input has shape {}",
                        name(), x.to_string()));
      if (channels % args_.groups != 0)
        throw ShapeError(
            fmt::format("Conv2D layer \"{}\": the input's {} channels don't divide into {} groups; the "
                        "input has shape {}",
                        name(), channels, args_.groups, x.to_string()));
      if (built() && channels != kernel_.shape()[2] * args_.groups)
        throw ShapeError(
            fmt::format("Input 0 of layer \"{}\" is incompatible with the layer: expected axis -1 of "
                        "input shape to have value {}, but received input with shape {}",
                        name(), kernel_.shape()[2] * args_.groups, x.to_string()));
    }
  }

  void build(const Shape& input) override {
    kernel_ =
        add_weight({.name = "kernel",
                    .shape = {kernel_size_.height, kernel_size_.width, input.back() / args_.groups, filters_},
                    .initializer = args_.kernel_initializer,
                    .regularizer = args_.kernel_regularizer});
    if (args_.use_bias)
      bias_ = add_weight({.name = "bias",
                          .shape = {filters_},
                          .initializer = args_.bias_initializer,
                          .regularizer = args_.bias_regularizer});
  }

  graph::Value call(Call& context, graph::Value x) override {
    const Size2 strides = args_.strides;
    const Size2 dilation = args_.dilation_rate;
    const auto rows =
        internal::padding_of(same_, x.shape()[1], kernel_size_.height, strides.height, dilation.height);
    const auto columns =
        internal::padding_of(same_, x.shape()[2], kernel_size_.width, strides.width, dilation.width);
    graph::Value y = graph::conv(x, context(kernel_),
                                 {.strides = {strides.height, strides.width},
                                  .low = {rows.low, columns.low},
                                  .high = {rows.high, columns.high},
                                  .dilation = {dilation.height, dilation.width},
                                  .groups = args_.groups});
    if (args_.use_bias) y = y + context(bias_);
    return args_.activation(y);
  }

 private:
  std::int64_t filters_;
  Size2 kernel_size_;
  Conv2DArgs args_;
  bool same_;
  Variable kernel_, bias_;
};

}  // namespace

Layer Conv2D(std::int64_t filters, Size2 kernel_size, Conv2DArgs args) {
  return make_layer<Conv2DImpl>(filters, kernel_size, std::move(args));
}
Layer Convolution2D(std::int64_t filters, Size2 kernel_size, Conv2DArgs args) {
  return Conv2D(filters, kernel_size, std::move(args));
}

}  // namespace kiln::layers
