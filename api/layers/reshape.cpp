#include "kiln/layers/reshape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "api/layers/configured.h"
#include "api/layers/spatial.h"

namespace kiln::layers {
namespace {

using internal::ConfiguredLayer;
using internal::Fields;
using internal::floats_in_type;

struct FlattenSpec : FlattenArgs {
  void fields(Fields& f) { f("data_format", data_format); }
};
class FlattenImpl final : public ConfiguredLayer<FlattenSpec> {
 public:
  explicit FlattenImpl(FlattenSpec spec) : ConfiguredLayer(std::move(spec)) {
    internal::check_data_format("Flatten", spec_.data_format);
  }
  bool converts_input() const override { return false; }
  graph::Value call(Call&, graph::Value x) override {
    if (x.rank() > 2) x = internal::channels_last(spec_.data_format, x);
    return graph::reshape(floats_in_type(x, dtype()), {x.shape()[0], x.shape().tail().elements()});
  }
};

struct ReshapeSpec : ReshapeArgs {
  Shape target_shape;
  void fields(Fields& f) {
    std::vector<std::int64_t> sizes = target_shape.sizes();  // -1 as it is
    f.required("target_shape", sizes);
    target_shape = Shape(std::move(sizes));
  }
};
class ReshapeImpl final : public ConfiguredLayer<ReshapeSpec> {
 public:
  explicit ReshapeImpl(ReshapeSpec spec) : ConfiguredLayer(std::move(spec)) {
    int unknown = 0;
    for (std::int64_t n : spec_.target_shape) {
      unknown += n == None ? 1 : 0;
      if (n != None && n < 1)
        throw ShapeError(
            fmt::format("Reshape: sizes must be positive (one may be -1), but target_shape is {}",
                        spec_.target_shape.to_string()));
    }
    if (unknown > 1)
      throw ShapeError(fmt::format("Reshape: only one size may be -1, but target_shape is {}",
                                   spec_.target_shape.to_string()));
  }

  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs) {
      if (!x.tail().is_static()) continue;
      const std::int64_t elements = x.tail().elements();
      std::int64_t known = 1;
      for (std::int64_t n : spec_.target_shape) known *= n == None ? 1 : n;
      const bool inferred = !spec_.target_shape.is_static();
      if (inferred ? elements % known != 0 : elements != known)
        throw ShapeError(
            fmt::format("layer \"{}\" (Reshape): the total size must stay the same, but one sample has {} "
                        "elements (input shape {}) and target_shape is {}",
                        name(), elements, x.to_string(), spec_.target_shape.to_string()));
    }
  }

  bool converts_input() const override { return false; }
  graph::Value call(Call&, graph::Value x) override {
    return graph::reshape(floats_in_type(x, dtype()), spec_.target_shape.prepend(x.shape()[0]));
  }
};

struct PermuteSpec : PermuteArgs {
  std::vector<std::int64_t> dims;
  void fields(Fields& f) { f.required("dims", dims); }
};
class PermuteImpl final : public ConfiguredLayer<PermuteSpec> {
 public:
  explicit PermuteImpl(PermuteSpec spec) : ConfiguredLayer(std::move(spec)) {
    std::vector<std::int64_t> sorted = spec_.dims;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t i = 0; i < sorted.size(); i++)
      if (sorted[i] != static_cast<std::int64_t>(i) + 1)
        throw ValueError(fmt::format(
            "Permute: dims must be an order of 1 to {} (axis 0, the batch, stays), but they are [{}]",
            sorted.size(), fmt::join(spec_.dims, ", ")));
  }
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs)
      if (x.rank() != static_cast<int>(spec_.dims.size()) + 1)
        throw ShapeError(
            fmt::format("layer \"{}\" (Permute): dims [{}] are for inputs of {} axes, with the batch, "
                        "but received shape {}",
                        name(), fmt::join(spec_.dims, ", "), spec_.dims.size() + 1, x.to_string()));
  }
  bool converts_input() const override { return false; }
  graph::Value call(Call&, graph::Value x) override {
    std::vector<std::int64_t> axes = spec_.dims;
    axes.insert(axes.begin(), 0);
    return graph::transpose(floats_in_type(x, dtype()), axes);
  }
};

struct RepeatVectorSpec : RepeatVectorArgs {
  std::int64_t n = 0;
  void fields(Fields& f) { f.required("n", n); }
};
class RepeatVectorImpl final : public ConfiguredLayer<RepeatVectorSpec> {
 public:
  explicit RepeatVectorImpl(RepeatVectorSpec spec) : ConfiguredLayer(std::move(spec)) {
    if (spec_.n < 1) throw ValueError(fmt::format("RepeatVector: n must be positive, not {}", spec_.n));
  }
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs)
      if (x.rank() != 2)
        throw ShapeError(fmt::format(
            "layer \"{}\" (RepeatVector) needs inputs of shape (batch, features), but received {}", name(),
            x.to_string()));
  }
  bool converts_input() const override { return false; }
  graph::Value call(Call&, graph::Value x) override {
    const Shape& shape = x.shape();
    return graph::broadcast(floats_in_type(x, dtype()), {shape[0], spec_.n, shape[1]}, {0, 2});
  }
};

}  // namespace

Layer Flatten(FlattenArgs args) {
  return make_layer<FlattenImpl>(FlattenSpec{std::move(args)});
}
Layer Reshape(Shape target_shape, ReshapeArgs args) {
  return make_layer<ReshapeImpl>(ReshapeSpec{std::move(args), std::move(target_shape)});
}
Layer Permute(std::vector<std::int64_t> dims, PermuteArgs args) {
  return make_layer<PermuteImpl>(PermuteSpec{std::move(args), std::move(dims)});
}
Layer RepeatVector(std::int64_t n, RepeatVectorArgs args) {
  return make_layer<RepeatVectorImpl>(RepeatVectorSpec{std::move(args), n});
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_reshape_layers(LayerRegistry& registry) {
  using namespace layers;
  registry.add<FlattenImpl>("Flatten");
  registry.add<ReshapeImpl>("Reshape");
  registry.add<PermuteImpl>("Permute");
  registry.add<RepeatVectorImpl>("RepeatVector");
}

}  // namespace kiln::internal
