#include "api/layers/convolution.h"

namespace kiln::layers {
namespace {

using namespace internal;
using graph::Value;

// ---- DepthwiseConv1D, DepthwiseConv2D ---------------------------------------------------------------------

/// The kernel (sizes..., channels, multiplier) as that of a convolution with a group for each channel.
Value grouped(Value kernel) {
  Shape shape = kernel.shape();
  const std::size_t rank = static_cast<std::size_t>(shape.rank());
  shape[rank - 1] *= shape[rank - 2];
  shape[rank - 2] = 1;
  return graph::reshape(kernel, shape);
}

struct DepthwiseSpec : ConvolutionSpec {
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
    check_window_arguments(spec().window());
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
  return make_layer<DepthwiseConvImpl>(DepthwiseSpec{convolution_spec(class_name, kernel_size, args),
                                                     args.depth_multiplier, args.depthwise_initializer,
                                                     args.depthwise_regularizer, args.depthwise_constraint});
}

// ---- SeparableConv1D, SeparableConv2D ---------------------------------------------------------------------

struct SeparableSpec : ConvolutionSpec {
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
    check_window_arguments(spec().window());
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
  SeparableSpec spec{convolution_spec(class_name, kernel_size, args)};
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

void register_depthwise_conv_layers(LayerRegistry& registry) {
  register_convolutions<layers::DepthwiseConvImpl>(registry, "DepthwiseConv{}D", 2);
  register_convolutions<layers::SeparableConvImpl>(registry, "SeparableConv{}D", 2);
}

}  // namespace kiln::internal
