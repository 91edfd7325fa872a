#pragma once
#include "kiln/layer.h"

namespace kiln::layers {

struct RescalingArgs {
  double offset = 0;
  DType dtype = DType::f32;
  std::string name = "";
};
/// x * scale + offset; `Rescaling(1.0 / 255)` turns bytes into [0, 1].
KILN_API Layer Rescaling(double scale, RescalingArgs args = {});

}  // namespace kiln::layers
