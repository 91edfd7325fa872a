#include "kiln/layers/rescaling.h"

#include "kiln/layer_impl.h"

namespace kiln::layers {
namespace {

class RescalingImpl final : public LayerImpl {
 public:
  RescalingImpl(double scale, const RescalingArgs& args)
      : LayerImpl({.dtype = args.dtype, .name = args.name}), scale_(scale), offset_(args.offset) {}
  graph::Value call(Call&, graph::Value x) override {
    const graph::Value scaled = x * scale_;
    return offset_ == 0 ? scaled : scaled + offset_;
  }

 private:
  double scale_, offset_;
};

}  // namespace

Layer Rescaling(double scale, RescalingArgs args) {
  return make_layer<RescalingImpl>(scale, args);
}

}  // namespace kiln::layers
