#include "kiln/layers/rescaling.h"

#include "api/layers/configured.h"

namespace kiln::layers {
namespace {

struct RescalingSpec : RescalingArgs {
  double scale = 1;
  void fields(internal::Fields& f) { f.required("scale", scale)("offset", offset); }
};

class RescalingImpl final : public internal::ConfiguredLayer<RescalingSpec> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  graph::Value call(Call&, graph::Value x) override {
    const graph::Value scaled = x * spec_.scale;
    return spec_.offset == 0 ? scaled : scaled + spec_.offset;
  }
};

}  // namespace

Layer Rescaling(double scale, RescalingArgs args) {
  return make_layer<RescalingImpl>(RescalingSpec{std::move(args), scale});
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_rescaling_layers(LayerRegistry& registry) {
  registry.add<layers::RescalingImpl>("Rescaling");
}

}  // namespace kiln::internal
