#pragma once
#include <span>
#include <string>
#include <vector>

#include "kiln/layer_impl.h"

namespace kiln::internal {

/// The gradient for each weight, zeros for those that the loss doesn't depend on. Throws ValueError if there
/// are weights and it depends on none; `whose` ("model \"mlp\"") and `names` stand in the message.
std::vector<graph::Value> weight_gradients(Call& call, graph::Value loss, std::span<const Variable> weights,
                                           const std::string& whose, std::span<const std::string> names);

}  // namespace kiln::internal
