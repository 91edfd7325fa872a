#pragma once
#include <fmt/format.h>

#include "api/layers/configured.h"
#include "api/layers/spatial.h"
#include "kiln/layers/conv.h"

/// What the convolution layers have in common.
namespace kiln::internal {

/// The arguments that all of them have.
struct ConvolutionSpec {
  std::string class_name;
  int axes = 2;
  Ints kernel_size = {};
  Ints strides = {}, dilation_rate = {};
  std::string padding = "valid";
  std::string data_format = "channels_last";
  activations::Function activation = {};
  bool use_bias = true;
  Initializer bias_initializer = "zeros";
  Regularizer bias_regularizer = {}, activity_regularizer = {};
  Constraint bias_constraint = {};
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";

  void base_fields(Fields& f) {
    const Ints ones(static_cast<std::size_t>(axes), 1);
    if (f.reads()) kernel_size = strides = dilation_rate = ones;
    f.required("kernel_size", kernel_size)("strides", strides)("dilation_rate", dilation_rate);
    check_axes(class_name, "kernel_size", kernel_size, axes);
    check_axes(class_name, "strides", strides, axes);
    check_axes(class_name, "dilation_rate", dilation_rate, axes);
    f("padding", padding)("data_format", data_format)("activation", activation)("use_bias", use_bias);
    f("bias_initializer", bias_initializer)("bias_regularizer", bias_regularizer);
    f("activity_regularizer", activity_regularizer)("bias_constraint", bias_constraint);
  }
  WindowSpec window() const {
    return {.class_name = class_name,
            .window_name = "kernel_size",
            .window = kernel_size,
            .strides = strides,
            .dilation = dilation_rate,
            .padding = padding,
            .data_format = data_format};
  }
};

template <class Size, class Args>
ConvolutionSpec convolution_spec(const char* class_name, Size kernel_size, const Args& args) {
  const Ints sizes = ints(kernel_size);
  return {.class_name = class_name,
          .axes = static_cast<int>(sizes.size()),
          .kernel_size = sizes,
          .strides = ints(args.strides),
          .dilation_rate = ints(args.dilation_rate),
          .padding = args.padding,
          .data_format = args.data_format,
          .activation = args.activation,
          .use_bias = args.use_bias,
          .bias_initializer = args.bias_initializer,
          .bias_regularizer = args.bias_regularizer,
          .activity_regularizer = args.activity_regularizer,
          .bias_constraint = args.bias_constraint,
          .trainable = args.trainable,
          .dtype = args.dtype,
          .name = args.name};
}

inline void check_count(const std::string& class_name, const char* argument, std::int64_t count) {
  if (count < 1)
    throw ValueError(fmt::format("{}: {} must be positive, not {}", class_name, argument, count));
}

/// What convolutions do alike: checks, bias, activation, the channels' place.
template <class Spec>
class ConvolutionImpl : public ConfiguredLayer<Spec> {
 public:
  using ConfiguredLayer<Spec>::ConfiguredLayer;

  void check(std::span<const Shape> inputs) const override {
    for (const Shape& input : inputs) {
      check_input(input);
      const std::int64_t channels = channels_last(spec().data_format, input).back();
      if (channels == None)
        throw ShapeError(
            fmt::format("{} layer \"{}\": the number of channels must be known, to size the kernel, "
                        "but the input has shape {}; give it in Input(...)",
                        spec().class_name, this->name(), input.to_string()));
      check_channels(channels, input);
      if (this->built() && channels != channels_)
        throw ShapeError(fmt::format(
            "Input 0 of layer \"{}\" is incompatible with the layer: expected axis {} of "
            "input shape to have value {}, but received input with shape {}",
            this->name(), spec().data_format == "channels_last" ? -1 : 1, channels_, input.to_string()));
    }
  }
  void build(const Shape& input) final {
    channels_ = channels_last(spec().data_format, input).back();
    build_kernels();
    if (spec().use_bias)
      bias_ = this->add_weight({.name = "bias",
                                .shape = {outputs()},
                                .initializer = spec().bias_initializer,
                                .regularizer = spec().bias_regularizer,
                                .constraint = spec().bias_constraint});
  }
  graph::Value call(Call& context, graph::Value x) final {
    graph::Value y = convolve(context, channels_last(spec().data_format, x));
    if (spec().use_bias) y = y + context(bias_);
    return spec().activation(from_channels_last(spec().data_format, y));
  }

 protected:
  const Spec& spec() const { return this->spec_; }
  std::int64_t channels() const { return channels_; }
  virtual void check_input(const Shape& input) const { check_window(spec().window(), this->name(), input); }
  virtual void check_channels(std::int64_t, const Shape&) const {}
  virtual void build_kernels() = 0;
  /// Channels of the result.
  virtual std::int64_t outputs() const = 0;
  /// Of x with its channels last.
  virtual graph::Value convolve(Call& context, graph::Value x) = 0;

  graph::ConvAttrs attributes(graph::Value x, std::int64_t groups) const {
    graph::ConvAttrs attrs{.strides = spec().strides, .dilation = spec().dilation_rate, .groups = groups};
    for (std::size_t i = 0; i < spec().kernel_size.size(); i++) {
      const auto padding = padding_of(spec().padding, x.shape()[i + 1], spec().kernel_size[i],
                                      spec().strides[i], spec().dilation_rate[i]);
      attrs.low.push_back(padding.low);
      attrs.high.push_back(padding.high);
    }
    return attrs;
  }
  /// The kernel's shape: its spatial sizes, then two others.
  Shape kernel_shape(std::int64_t from, std::int64_t to) const {
    Shape shape{std::vector<std::int64_t>(spec().kernel_size)};
    shape.push_back(from);
    shape.push_back(to);
    return shape;
  }

 private:
  std::int64_t channels_ = 0;
  Variable bias_;
};

/// Makes a class of convolutions known over one to `most_axes` axes: "Conv{}D".
template <class Impl>
void register_convolutions(LayerRegistry& registry, const char* pattern, int most_axes) {
  for (int axes = 1; axes <= most_axes; axes++) {
    const std::string class_name = fmt::format(fmt::runtime(pattern), axes);
    registry.add(class_name, [=](Fields& f) {
      typename Impl::Spec spec;
      spec.class_name = class_name;
      spec.axes = axes;
      return layer_from<Impl>(f, std::move(spec));
    });
  }
}

}  // namespace kiln::internal
