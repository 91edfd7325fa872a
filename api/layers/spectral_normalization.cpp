#include <fmt/format.h>

#include "api/layers/configured.h"
#include "api/support/unit_vectors.h"
#include "kiln/layers/configuration.h"
#include "kiln/layers/normalization.h"

namespace kiln::layers {
namespace {

using graph::Value;
using internal::ConfiguredLayer;
using internal::Fields;

struct SpectralNormalizationSpec : SpectralNormalizationArgs {
  Layer layer = {};
  void fields(Fields& f) {
    Config inner = f.reads() ? Config() : serialize(layer);
    f.required("layer", inner)("power_iterations", power_iterations);
    if (f.reads()) layer = deserialize(inner);
  }
};

class SpectralNormalizationImpl final : public ConfiguredLayer<SpectralNormalizationSpec> {
 public:
  explicit SpectralNormalizationImpl(SpectralNormalizationSpec spec) : ConfiguredLayer(std::move(spec)) {
    if (!spec_.layer.defined())
      throw StateError("SpectralNormalization: the layer is an empty handle; make one first, e.g. Dense(10)");
    if (spec_.power_iterations < 1)
      throw ValueError(fmt::format("SpectralNormalization: power_iterations must be positive, not {}",
                                   spec_.power_iterations));
  }
  std::vector<Layer> sublayers() const override { return {spec_.layer}; }
  bool converts_input() const override { return false; }
  void build(const Shape& input) override {
    spec_.layer.impl().ensure_built({&input, 1});
    for (const Variable& w : spec_.layer.impl().own_weights())
      if (w.name() == "kernel" || w.name() == "embeddings") kernel_ = w;
    if (!kernel_.defined())
      throw ValueError(fmt::format(
          "layer \"{}\" (SpectralNormalization): layer \"{}\" ({}) has neither a weight \"kernel\" "
          "nor \"embeddings\" that could be normalized; wrap a Dense, a convolution or an Embedding",
          name(), spec_.layer.name(), spec_.layer.class_name()));
    if (kernel_.dtype() != dtype())
      throw TypeError(fmt::format(
          "layer \"{}\" (SpectralNormalization): its type is {}, but weight \"{}\" of layer \"{}\" is {}; "
          "give both "
          "the same .dtype",
          name(), kiln::name(dtype()), kernel_.name(), spec_.layer.name(), kiln::name(kernel_.dtype())));
    vector_u_ = add_weight({.name = "vector_u",
                            .shape = {1, kernel_.shape().back()},
                            .initializer = initializers::TruncatedNormal({.stddev = 0.02}),
                            .trainable = false});
  }
  void check(std::span<const Shape> inputs) const override { spec_.layer.impl().check(inputs); }
  Value call(Call& context, Value x) override {
    if (context.training()) normalize(context);
    return spec_.layer.impl().emit(context, {&x, 1}).at(0);
  }

 private:
  /// Divides the kernel, as a matrix with the last axis's columns, by its largest singular value, which power
  /// iterations estimate. A kernel of zeros stays.
  void normalize(Call& context) const {
    const Value kernel = graph::stop_gradient(context(kernel_)), old_u = context(vector_u_);
    const Value matrix = graph::reshape(kernel, {None, kernel_.shape().back()});
    const auto product = [&](Value vector, int contracted) {
      return graph::dot(vector, matrix, {}, {}, {1}, {contracted});
    };
    Value u = old_u, v;
    for (std::int64_t i = 0; i < spec_.power_iterations; i++) {
      v = internal::unit_vectors(product(u, 1), {0, 1}, 1e-7);
      u = internal::unit_vectors(product(v, 0), {0, 1}, 1e-7);
    }
    const Value largest = graph::reduce_sum(product(v, 0) * u);
    const Value magnitude = graph::reduce_max(graph::abs(matrix));
    const Value empty = graph::compare(magnitude, graph::scalar(magnitude, 0), "eq");
    context.assign(vector_u_, graph::select(empty, old_u, u));
    context.assign(kernel_, graph::select(empty, kernel, kernel / largest));
  }

  Variable kernel_, vector_u_;
};

}  // namespace

Layer SpectralNormalization(Layer layer, SpectralNormalizationArgs args) {
  return make_layer<SpectralNormalizationImpl>(SpectralNormalizationSpec{std::move(args), std::move(layer)});
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_spectral_normalization(LayerRegistry& registry) {
  registry.add<layers::SpectralNormalizationImpl>("SpectralNormalization");
}

}  // namespace kiln::internal
