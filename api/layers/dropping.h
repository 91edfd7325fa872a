#pragma once
#include <optional>

#include "kiln/layer_impl.h"

/// What drops elements while training.
namespace kiln::internal {

/// Where elements of x are kept: one draw for each of `drawn`'s elements, which broadcast to x.
inline graph::Value kept(Call& context, graph::Value x, const Shape& drawn, double rate,
                         std::optional<std::int64_t> seed) {
  const graph::Value uniform = context.random_uniform(drawn, x.dtype(), seed);
  return graph::compare(uniform, graph::scalar(uniform, rate), "ge");
}

/// x with elements set to 0 with probability `rate`, the others multiplied by 1 / (1 - rate). x itself if not
/// training.
inline graph::Value dropped(Call& context, graph::Value x, const Shape& drawn, double rate,
                            std::optional<std::int64_t> seed) {
  if (!context.training() || rate == 0) return x;
  // Zeros that have a gradient, of zeros: plain ones would leave the layers before it without any.
  if (rate == 1)
    return graph::select(graph::full(x.graph(), {DType::bool_, x.shape()}, 0), x, graph::scalar(x, 0));
  const graph::Value keep = kept(context, x, drawn, rate, seed);
  return graph::select(keep, x * (1 / (1 - rate)), graph::scalar(x, 0));
}

}  // namespace kiln::internal
