#include "kiln/layers/conv.h"

#include <fmt/format.h>

#include "api/layers/configured.h"
#include "api/layers/spatial.h"

namespace kiln::layers {
namespace {

using graph::Value;
using internal::Fields;
using internal::Ints;
using internal::WindowSpec;

/// What all convolutions have.
struct BaseSpec {
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
    const auto check = [&](const char* argument, const Ints& sizes) {
      if (static_cast<int>(sizes.size()) != axes)
        throw ValueError(fmt::format("{}: {} should have {} numbers, but it is {}", class_name, argument,
                                     axes, internal::text(sizes)));
    };
    check("kernel_size", kernel_size);
    check("strides", strides);
    check("dilation_rate", dilation_rate);
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
BaseSpec base_spec(const char* class_name, Size kernel_size, const Args& args) {
  const Ints sizes = internal::ints(kernel_size);
  return {.class_name = class_name,
          .axes = static_cast<int>(sizes.size()),
          .kernel_size = sizes,
          .strides = internal::ints(args.strides),
          .dilation_rate = internal::ints(args.dilation_rate),
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

void check_count(const std::string& class_name, const char* argument, std::int64_t count) {
  if (count < 1)
    throw ValueError(fmt::format("{}: {} must be positive, not {}", class_name, argument, count));
}

/// What convolutions do alike: checks, bias, activation, the channels' place.
template <class Spec>
class ConvolutionImpl : public internal::ConfiguredLayer<Spec> {
 public:
  using internal::ConfiguredLayer<Spec>::ConfiguredLayer;

  void check(std::span<const Shape> inputs) const override {
    for (const Shape& input : inputs) {
      check_input(input);
      const std::int64_t channels = internal::channels_last(spec().data_format, input).back();
      if (channels == None)
        throw ShapeError(
            fmt::format("{} layer \"{}\": the number of channels must be known, to size the kernel, "
                        "but the input has shape {}",
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
    channels_ = internal::channels_last(spec().data_format, input).back();
    build_kernels();
    if (spec().use_bias)
      bias_ = this->add_weight({.name = "bias",
                                .shape = {outputs()},
                                .initializer = spec().bias_initializer,
                                .regularizer = spec().bias_regularizer,
                                .constraint = spec().bias_constraint});
  }
  Value call(Call& context, Value x) final {
    Value y = convolve(context, internal::channels_last(spec().data_format, x));
    if (spec().use_bias) y = y + context(bias_);
    return spec().activation(internal::from_channels_last(spec().data_format, y));
  }

 protected:
  const Spec& spec() const { return this->spec_; }
  std::int64_t channels() const { return channels_; }
  virtual void check_input(const Shape& input) const {
    internal::check_window(spec().window(), this->name(), input);
  }
  virtual void check_channels(std::int64_t, const Shape&) const {}
  virtual void build_kernels() = 0;
  /// Channels of the result.
  virtual std::int64_t outputs() const = 0;
  /// Of x with its channels last.
  virtual Value convolve(Call& context, Value x) = 0;

  graph::ConvAttrs attributes(Value x, std::int64_t groups) const {
    graph::ConvAttrs attrs{.strides = spec().strides, .dilation = spec().dilation_rate, .groups = groups};
    for (std::size_t i = 0; i < spec().kernel_size.size(); i++) {
      const auto padding = internal::padding_of(spec().padding, x.shape()[i + 1], spec().kernel_size[i],
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

// ---- Conv1D, Conv2D, Conv3D -------------------------------------------------------------------------------

struct ConvSpec : BaseSpec {
  std::int64_t filters = 0;
  std::int64_t groups = 1;
  Initializer kernel_initializer = "glorot_uniform";
  Regularizer kernel_regularizer = {};
  Constraint kernel_constraint = {};

  void fields(Fields& f) {
    f.required("filters", filters)("groups", groups);
    f("kernel_initializer", kernel_initializer)("kernel_regularizer", kernel_regularizer);
    f("kernel_constraint", kernel_constraint);
    base_fields(f);
  }
};

class ConvImpl final : public ConvolutionImpl<ConvSpec> {
 public:
  explicit ConvImpl(ConvSpec given) : ConvolutionImpl(std::move(given)) {
    check_count(spec().class_name, "filters", spec().filters);
    check_count(spec().class_name, "groups", spec().groups);
    if (spec().filters % spec().groups != 0)
      throw ValueError(
          fmt::format("{}: filters must be a multiple of groups, but filters = {} and groups = {}",
                      spec().class_name, spec().filters, spec().groups));
    internal::check_window_arguments(spec().window(), /*causal=*/spec().axes == 1);
  }

 private:
  void check_channels(std::int64_t channels, const Shape& input) const override {
    if (channels % spec().groups != 0)
      throw ShapeError(
          fmt::format("{} layer \"{}\": the input's {} channels don't divide into {} groups; the "
                      "input has shape {}",
                      spec().class_name, name(), channels, spec().groups, input.to_string()));
  }
  void build_kernels() override {
    kernel_ = add_weight({.name = "kernel",
                          .shape = kernel_shape(channels() / spec().groups, spec().filters),
                          .initializer = spec().kernel_initializer,
                          .regularizer = spec().kernel_regularizer,
                          .constraint = spec().kernel_constraint});
  }
  std::int64_t outputs() const override { return spec().filters; }
  Value convolve(Call& context, Value x) override {
    return graph::conv(x, context(kernel_), attributes(x, spec().groups));
  }

  Variable kernel_;
};

template <class Size>
Layer conv(const char* class_name, std::int64_t filters, Size kernel_size, const ConvArgs<Size>& args) {
  return make_layer<ConvImpl>(ConvSpec{base_spec(class_name, kernel_size, args), filters, args.groups,
                                       args.kernel_initializer, args.kernel_regularizer,
                                       args.kernel_constraint});
}

// ---- Conv1DTranspose, Conv2DTranspose, Conv3DTranspose ----------------------------------------------------

struct ConvTransposeSpec : BaseSpec {
  std::int64_t filters = 0;
  std::optional<Ints> output_padding = {};
  Initializer kernel_initializer = "glorot_uniform";
  Regularizer kernel_regularizer = {};
  Constraint kernel_constraint = {};

  void fields(Fields& f) {
    if (f.has("output_padding")) output_padding = Ints(static_cast<std::size_t>(axes), 0);
    f.required("filters", filters)("output_padding", output_padding);
    f("kernel_initializer", kernel_initializer)("kernel_regularizer", kernel_regularizer);
    f("kernel_constraint", kernel_constraint);
    base_fields(f);
  }
};

class ConvTransposeImpl final : public ConvolutionImpl<ConvTransposeSpec> {
 public:
  explicit ConvTransposeImpl(ConvTransposeSpec given) : ConvolutionImpl(std::move(given)) {
    check_count(spec().class_name, "filters", spec().filters);
    internal::check_window_arguments(spec().window());
    if (!spec().output_padding) return;
    for (std::size_t i = 0; i < spec().strides.size(); i++)
      if ((*spec().output_padding)[i] < 0 || (*spec().output_padding)[i] >= spec().strides[i])
        throw ValueError(fmt::format(
            "{}: output_padding must be from 0 to below the strides, but output_padding = "
            "{} and strides = {}",
            spec().class_name, internal::text(*spec().output_padding), internal::text(spec().strides)));
  }

 private:
  void check_input(const Shape& input) const override {
    internal::check_spatial_axes(name(), spec().axes, spec().data_format, input);
  }
  void build_kernels() override {
    kernel_ = add_weight({.name = "kernel",
                          .shape = kernel_shape(spec().filters, channels()),
                          .initializer = spec().kernel_initializer,
                          .regularizer = spec().kernel_regularizer,
                          .constraint = spec().kernel_constraint});
  }
  std::int64_t outputs() const override { return spec().filters; }

  /// The convolution whose gradient this is makes x of the result. Keras's way: a result that is larger than
  /// (n - 1) stride + k has its zeros at the end, one that is smaller lacks more at the start.
  Value convolve(Call& context, Value x) override {
    Shape y = x.shape().slice(0, 1);
    graph::ConvAttrs attrs{.strides = spec().strides, .dilation = spec().dilation_rate};
    for (std::size_t i = 0; i < spec().kernel_size.size(); i++) {
      const std::int64_t stride = spec().strides[i],
                         reach = (spec().kernel_size[i] - 1) * spec().dilation_rate[i],
                         spread = (x.shape()[i + 1] - 1) * stride + 1;
      const bool same = spec().padding == "same";
      // Zeros around x with its elements `stride` apart.
      const std::int64_t more = spec().output_padding ? (*spec().output_padding)[i]
                                : same                ? stride - (reach + 1) % 2
                                                      : std::max<std::int64_t>(stride - reach - 1, 0);
      const std::int64_t zeros = same ? reach + (reach + 1) % 2 - 1 + more : 2 * reach + more;
      const std::int64_t before = same ? std::min((zeros + 1) / 2, reach) : reach;
      const std::int64_t size = spread + zeros - reach;
      y.push_back(size);
      attrs.low.push_back(reach - before);
      attrs.high.push_back(std::max<std::int64_t>(0, spread + reach - size - attrs.low.back()));
    }
    y.push_back(spec().filters);
    return graph::conv_input_grad(x, context(kernel_), y, attrs);
  }

  Variable kernel_;
};

template <class Size>
Layer conv_transpose(const char* class_name, std::int64_t filters, Size kernel_size,
                     const ConvTransposeArgs<Size>& args) {
  ConvTransposeSpec spec{base_spec(class_name, kernel_size, args)};
  spec.filters = filters;
  if (args.output_padding) spec.output_padding = internal::ints(*args.output_padding);
  spec.kernel_initializer = args.kernel_initializer;
  spec.kernel_regularizer = args.kernel_regularizer;
  spec.kernel_constraint = args.kernel_constraint;
  return make_layer<ConvTransposeImpl>(std::move(spec));
}

// ---- DepthwiseConv1D, DepthwiseConv2D ---------------------------------------------------------------------

/// The kernel (sizes..., channels, multiplier) as that of a convolution with a group for each channel.
Value grouped(Value kernel) {
  Shape shape = kernel.shape();
  const std::size_t rank = static_cast<std::size_t>(shape.rank());
  shape[rank - 1] *= shape[rank - 2];
  shape[rank - 2] = 1;
  return graph::reshape(kernel, shape);
}

struct DepthwiseSpec : BaseSpec {
  std::int64_t depth_multiplier = 1;
  Initializer depthwise_initializer = "glorot_uniform";
  Regularizer depthwise_regularizer = {};
  Constraint depthwise_constraint = {};

  void fields(Fields& f) {
    f("depth_multiplier", depth_multiplier)("depthwise_initializer", depthwise_initializer);
    f("depthwise_regularizer", depthwise_regularizer)("depthwise_constraint", depthwise_constraint);
    base_fields(f);
  }
};

class DepthwiseConvImpl final : public ConvolutionImpl<DepthwiseSpec> {
 public:
  explicit DepthwiseConvImpl(DepthwiseSpec given) : ConvolutionImpl(std::move(given)) {
    check_count(spec().class_name, "depth_multiplier", spec().depth_multiplier);
    internal::check_window_arguments(spec().window());
  }

 private:
  void build_kernels() override {
    kernel_ = add_weight({.name = "kernel",
                          .shape = kernel_shape(channels(), spec().depth_multiplier),
                          .initializer = spec().depthwise_initializer,
                          .regularizer = spec().depthwise_regularizer,
                          .constraint = spec().depthwise_constraint});
  }
  std::int64_t outputs() const override { return channels() * spec().depth_multiplier; }
  Value convolve(Call& context, Value x) override {
    return graph::conv(x, grouped(context(kernel_)), attributes(x, channels()));
  }

  Variable kernel_;
};

template <class Size>
Layer depthwise(const char* class_name, Size kernel_size, const DepthwiseConvArgs<Size>& args) {
  return make_layer<DepthwiseConvImpl>(DepthwiseSpec{base_spec(class_name, kernel_size, args),
                                                     args.depth_multiplier, args.depthwise_initializer,
                                                     args.depthwise_regularizer, args.depthwise_constraint});
}

// ---- SeparableConv1D, SeparableConv2D ---------------------------------------------------------------------

struct SeparableSpec : BaseSpec {
  std::int64_t filters = 0, depth_multiplier = 1;
  Initializer depthwise_initializer = "glorot_uniform", pointwise_initializer = "glorot_uniform";
  Regularizer depthwise_regularizer = {}, pointwise_regularizer = {};
  Constraint depthwise_constraint = {}, pointwise_constraint = {};

  void fields(Fields& f) {
    f.required("filters", filters)("depth_multiplier", depth_multiplier);
    f("depthwise_initializer", depthwise_initializer)("pointwise_initializer", pointwise_initializer);
    f("depthwise_regularizer", depthwise_regularizer)("pointwise_regularizer", pointwise_regularizer);
    f("depthwise_constraint", depthwise_constraint)("pointwise_constraint", pointwise_constraint);
    base_fields(f);
  }
};

class SeparableConvImpl final : public ConvolutionImpl<SeparableSpec> {
 public:
  explicit SeparableConvImpl(SeparableSpec given) : ConvolutionImpl(std::move(given)) {
    check_count(spec().class_name, "filters", spec().filters);
    check_count(spec().class_name, "depth_multiplier", spec().depth_multiplier);
    internal::check_window_arguments(spec().window());
  }

 private:
  void build_kernels() override {
    depthwise_ = add_weight({.name = "depthwise_kernel",
                             .shape = kernel_shape(channels(), spec().depth_multiplier),
                             .initializer = spec().depthwise_initializer,
                             .regularizer = spec().depthwise_regularizer,
                             .constraint = spec().depthwise_constraint});
    Shape pointwise{std::vector<std::int64_t>(spec().kernel_size.size(), 1)};
    pointwise.push_back(channels() * spec().depth_multiplier);
    pointwise.push_back(spec().filters);
    pointwise_ = add_weight({.name = "pointwise_kernel",
                             .shape = pointwise,
                             .initializer = spec().pointwise_initializer,
                             .regularizer = spec().pointwise_regularizer,
                             .constraint = spec().pointwise_constraint});
  }
  std::int64_t outputs() const override { return spec().filters; }
  Value convolve(Call& context, Value x) override {
    return graph::conv(graph::conv(x, grouped(context(depthwise_)), attributes(x, channels())),
                       context(pointwise_), {});
  }

  Variable depthwise_, pointwise_;
};

template <class Size>
Layer separable(const char* class_name, std::int64_t filters, Size kernel_size,
                const SeparableConvArgs<Size>& args) {
  SeparableSpec spec{base_spec(class_name, kernel_size, args)};
  spec.filters = filters;
  spec.depth_multiplier = args.depth_multiplier;
  spec.depthwise_initializer = args.depthwise_initializer;
  spec.pointwise_initializer = args.pointwise_initializer;
  spec.depthwise_regularizer = args.depthwise_regularizer;
  spec.pointwise_regularizer = args.pointwise_regularizer;
  spec.depthwise_constraint = args.depthwise_constraint;
  spec.pointwise_constraint = args.pointwise_constraint;
  return make_layer<SeparableConvImpl>(std::move(spec));
}

}  // namespace

Layer Conv1D(std::int64_t filters, std::int64_t kernel_size, Conv1DArgs args) {
  return conv("Conv1D", filters, kernel_size, args);
}
Layer Conv2D(std::int64_t filters, Size2 kernel_size, Conv2DArgs args) {
  return conv("Conv2D", filters, kernel_size, args);
}
Layer Conv3D(std::int64_t filters, Size3 kernel_size, Conv3DArgs args) {
  return conv("Conv3D", filters, kernel_size, args);
}
Layer Convolution1D(std::int64_t filters, std::int64_t kernel_size, Conv1DArgs args) {
  return Conv1D(filters, kernel_size, std::move(args));
}
Layer Convolution2D(std::int64_t filters, Size2 kernel_size, Conv2DArgs args) {
  return Conv2D(filters, kernel_size, std::move(args));
}
Layer Convolution3D(std::int64_t filters, Size3 kernel_size, Conv3DArgs args) {
  return Conv3D(filters, kernel_size, std::move(args));
}

Layer Conv1DTranspose(std::int64_t filters, std::int64_t kernel_size, Conv1DTransposeArgs args) {
  return conv_transpose("Conv1DTranspose", filters, kernel_size, args);
}
Layer Conv2DTranspose(std::int64_t filters, Size2 kernel_size, Conv2DTransposeArgs args) {
  return conv_transpose("Conv2DTranspose", filters, kernel_size, args);
}
Layer Conv3DTranspose(std::int64_t filters, Size3 kernel_size, Conv3DTransposeArgs args) {
  return conv_transpose("Conv3DTranspose", filters, kernel_size, args);
}
Layer Convolution1DTranspose(std::int64_t filters, std::int64_t kernel_size, Conv1DTransposeArgs args) {
  return Conv1DTranspose(filters, kernel_size, std::move(args));
}
Layer Convolution2DTranspose(std::int64_t filters, Size2 kernel_size, Conv2DTransposeArgs args) {
  return Conv2DTranspose(filters, kernel_size, std::move(args));
}
Layer Convolution3DTranspose(std::int64_t filters, Size3 kernel_size, Conv3DTransposeArgs args) {
  return Conv3DTranspose(filters, kernel_size, std::move(args));
}

Layer DepthwiseConv1D(std::int64_t kernel_size, DepthwiseConv1DArgs args) {
  return depthwise("DepthwiseConv1D", kernel_size, args);
}
Layer DepthwiseConv2D(Size2 kernel_size, DepthwiseConv2DArgs args) {
  return depthwise("DepthwiseConv2D", kernel_size, args);
}

Layer SeparableConv1D(std::int64_t filters, std::int64_t kernel_size, SeparableConv1DArgs args) {
  return separable("SeparableConv1D", filters, kernel_size, args);
}
Layer SeparableConv2D(std::int64_t filters, Size2 kernel_size, SeparableConv2DArgs args) {
  return separable("SeparableConv2D", filters, kernel_size, args);
}
Layer SeparableConvolution1D(std::int64_t filters, std::int64_t kernel_size, SeparableConv1DArgs args) {
  return SeparableConv1D(filters, kernel_size, std::move(args));
}
Layer SeparableConvolution2D(std::int64_t filters, Size2 kernel_size, SeparableConv2DArgs args) {
  return SeparableConv2D(filters, kernel_size, std::move(args));
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_conv_layers(LayerRegistry& registry) {
  using namespace layers;
  const auto add = [&]<class Impl>(std::type_identity<Impl>, const char* class_name, int axes) {
    registry.add(class_name, [=](Fields& f) {
      typename Impl::Spec spec;
      spec.class_name = class_name;
      spec.axes = axes;
      return layer_from<Impl>(f, std::move(spec));
    });
  };
  for (int axes = 1; axes <= 3; axes++) {
    static constexpr const char* conv[] = {"Conv1D", "Conv2D", "Conv3D"};
    static constexpr const char* transpose[] = {"Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"};
    static constexpr const char* depthwise[] = {"DepthwiseConv1D", "DepthwiseConv2D"};
    static constexpr const char* separable[] = {"SeparableConv1D", "SeparableConv2D"};
    add(std::type_identity<ConvImpl>(), conv[axes - 1], axes);
    add(std::type_identity<ConvTransposeImpl>(), transpose[axes - 1], axes);
    if (axes == 3) continue;
    add(std::type_identity<DepthwiseConvImpl>(), depthwise[axes - 1], axes);
    add(std::type_identity<SeparableConvImpl>(), separable[axes - 1], axes);
  }
}

}  // namespace kiln::internal
