#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "kiln/graph/graph.h"
#include "kiln/layer.h"
#include "kiln/tensors.h"

namespace kiln::layers {

struct NormalizationArgs {
  std::optional<std::int64_t> axis =
      -1;  ///< the features, each with its mean and variance; none: one of each for all
  std::vector<double> mean = {};  ///< given instead of `adapt`, as is
  std::vector<double> variance = {};
  bool invert = false;  ///< from normalised values back
  DType dtype = DType::f32;
  std::string name = "";
};
/// (x - mean) / max(sqrt(variance), 1e-7). Mean and variance are given, or weights, not trainable, that
/// `adapt` sets from data: 0 and 1 before.
class KILN_API NormalizationLayer : public Layer {
 public:
  using Layer::Layer;
  /// Sets mean and variance to those of the data, (batch, ...), over all axes but the features: of one array,
  /// or of several together. Throws StateError if they were given, ShapeError if there is no row or the
  /// features' number isn't the layer's; nothing is changed then.
  void adapt(const Tensors& data);
  /// The same of arrays that come one by one, until none do: more than memory holds.
  void adapt(const std::function<std::optional<Tensor>()>& next);
};
KILN_API NormalizationLayer Normalization(NormalizationArgs args = {});

struct DiscretizationArgs {
  std::optional<std::int64_t> num_bins = {};  ///< instead of boundaries, which `adapt` then finds
  double epsilon = 0.01;            ///< how precisely: the share of the data between two quantiles kept
  std::string output_mode = "int";  ///< "one_hot", "multi_hot", "count": see CategoryEncoding
  DType dtype = DType::f32;
  std::string name = "";
};
class KILN_API DiscretizationLayer : public Layer {
 public:
  using Layer::Layer;
  /// Sets the boundaries to quantiles of the data (of one array, or of several together), so that about as
  /// many elements lie in each of num_bins bins. Throws StateError if they were given, or if the layer is
  /// part of a model, whose steps hold them; ShapeError for less than two elements.
  void adapt(const Tensors& data);
  /// The same of arrays that come one by one, until none do.
  void adapt(const std::function<std::optional<Tensor>()>& next);
  const std::vector<double>& bin_boundaries() const;
};
/// The number of the bin that each element lies in: how many of the boundaries, which ascend, are at or below
/// it. Whole numbers (i32), or encoded in the layer's type. `Discretization({}, {.num_bins = 4})` finds the
/// boundaries by `adapt`. Throws ValueError for boundaries that don't ascend, and unless either boundaries or
/// a number of bins, 2 or more, are given.
KILN_API DiscretizationLayer Discretization(std::vector<double> bin_boundaries = {},
                                            DiscretizationArgs args = {});

struct CategoryEncodingArgs {
  std::string output_mode = "multi_hot";  ///< "one_hot", "count"
  DType dtype = DType::f32;
  std::string name = "";
};
/// Whole numbers below num_tokens as ones among zeros: "one_hot" (batch, ...) -> (batch, ..., num_tokens),
/// where a last axis of 1 is left out; "multi_hot" one row for all numbers along the last axis, "count" how
/// often each of them is there. Throws ValueError for num_tokens below 1; numbers outside [0, num_tokens)
/// stop the step with a ValueError.
KILN_API Layer CategoryEncoding(std::int64_t num_tokens, CategoryEncodingArgs args = {});

struct LambdaArgs {
  DType dtype = DType::f32;
  std::string name = "";
};
/// A function over graph values as a layer. It can't be written into a configuration.
KILN_API Layer Lambda(std::function<graph::Value(graph::Value)> function, LambdaArgs args = {});

}  // namespace kiln::layers
