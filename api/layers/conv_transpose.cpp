#include "api/layers/convolution.h"

namespace kiln::layers {
namespace {

using namespace internal;
using graph::Value;

// ---- Conv1DTranspose, Conv2DTranspose, Conv3DTranspose ----------------------------------------------------

struct ConvTransposeSpec : ConvolutionSpec {
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
    check_window_arguments(spec().window());
    if (!spec().output_padding) return;
    for (std::size_t i = 0; i < spec().strides.size(); i++)
      if ((*spec().output_padding)[i] < 0 || (*spec().output_padding)[i] >= spec().strides[i])
        throw ValueError(
            fmt::format("{}: output_padding must be from 0 to below the strides, but output_padding = "
                        "{} and strides = {}",
                        spec().class_name, text(*spec().output_padding), text(spec().strides)));
  }

 private:
  void check_input(const Shape& input) const override {
    check_spatial_axes(name(), spec().axes, spec().data_format, input);
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
  ConvTransposeSpec spec{convolution_spec(class_name, kernel_size, args)};
  spec.filters = filters;
  if (args.output_padding) spec.output_padding = ints(*args.output_padding);
  spec.kernel_initializer = args.kernel_initializer;
  spec.kernel_regularizer = args.kernel_regularizer;
  spec.kernel_constraint = args.kernel_constraint;
  return make_layer<ConvTransposeImpl>(std::move(spec));
}

}  // namespace

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

}  // namespace kiln::layers

namespace kiln::internal {

void register_conv_transpose_layers(LayerRegistry& registry) {
  register_convolutions<layers::ConvTransposeImpl>(registry, "Conv{}DTranspose", 3);
}

}  // namespace kiln::internal
