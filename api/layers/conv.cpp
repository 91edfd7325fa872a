#include "api/layers/convolution.h"

namespace kiln::layers {
namespace {

using namespace internal;
using graph::Value;

// ---- Conv1D, Conv2D, Conv3D -------------------------------------------------------------------------------

struct ConvSpec : ConvolutionSpec {
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
    check_window_arguments(spec().window(), /*causal=*/spec().axes == 1);
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
  return make_layer<ConvImpl>(ConvSpec{convolution_spec(class_name, kernel_size, args), filters, args.groups,
                                       args.kernel_initializer, args.kernel_regularizer,
                                       args.kernel_constraint});
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

}  // namespace kiln::layers

namespace kiln::internal {

void register_conv_layers(LayerRegistry& registry) {
  register_convolutions<layers::ConvImpl>(registry, "Conv{}D", 3);
}

}  // namespace kiln::internal
