#include "kiln/layers/merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "api/layers/configured.h"
#include "api/support/unit_vectors.h"

namespace kiln::layers {
namespace {

using graph::Value;

std::string list(std::span<const Shape> shapes) {
  std::string out;
  for (const Shape& s : shapes) out += (out.empty() ? "" : ", ") + s.to_string();
  return out;
}

enum class Merge : std::uint8_t { add, subtract, multiply, average, maximum, minimum };

const char* class_name_of(Merge kind) {
  static constexpr std::array names = {"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"};
  return names[static_cast<std::size_t>(kind)];
}

/// With axes of size 1 behind the batch, as many as it lacks.
Shape with_rank(const Shape& x, int rank) {
  Shape shape = x;
  while (shape.rank() < rank) shape = shape.tail().prepend(1).prepend(shape[0]);
  return shape;
}

int largest_rank(std::span<const Shape> inputs) {
  int rank = 0;
  for (const Shape& x : inputs) rank = std::max(rank, x.rank());
  return rank;
}

/// What combines its inputs element by element.
struct MergeSpec : MergeArgs {
  std::string class_name;
  Merge kind = Merge::add;
  void fields(internal::Fields&) {}
};
class MergeImpl final : public internal::ConfiguredLayer<MergeSpec> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  void build_all(std::span<const Shape>) override {}
  void check(std::span<const Shape> inputs) const override {
    if (spec_.kind == Merge::subtract && inputs.size() != 2)
      throw ShapeError(
          fmt::format("layer \"{}\" (Subtract) needs two inputs, as in Subtract()({{a, b}}), but got {}",
                      name(), inputs.size()));
    if (inputs.size() < 2)
      throw ShapeError(
          fmt::format("layer \"{}\" ({}) needs two inputs or more, as in {}()({{a, b}}), but got {}", name(),
                      class_name(), class_name(), inputs.size()));
    // Sizes so far; 1 until an input has another.
    const int rank = largest_rank(inputs);
    Shape sizes = with_rank(inputs[0], rank);
    for (const Shape& input : inputs) {
      const Shape x = with_rank(input, rank);
      for (std::size_t i = 0; i < static_cast<std::size_t>(rank); i++) {
        if (x[i] != sizes[i] && x[i] != 1 && sizes[i] != 1 && x[i] != None && sizes[i] != None)
          throw ShapeError(fmt::format(
              "layer \"{}\" ({}): inputs have incompatible shapes: {}; on each axis their sizes must be "
              "equal, or 1",
              name(), class_name(), list(inputs)));
        if (sizes[i] == 1 || sizes[i] == None) sizes[i] = x[i] == 1 ? sizes[i] : x[i];
      }
    }
  }
  std::vector<Value> call_all(Call&, std::span<const Value> inputs) override {
    std::vector<Shape> shapes;
    for (Value x : inputs) shapes.push_back(x.shape());
    const int rank = largest_rank(shapes);
    Value merged;
    for (Value input : inputs) {
      const Value x = input.rank() == rank ? input : graph::reshape(input, with_rank(input.shape(), rank));
      merged = merged ? combine(merged, x) : x;
    }
    return {spec_.kind == Merge::average ? merged / static_cast<double>(inputs.size()) : merged};
  }

 private:
  Value combine(Value a, Value b) const {
    switch (spec_.kind) {
      case Merge::subtract:
        return a - b;
      case Merge::multiply:
        return a * b;
      case Merge::maximum:
        return graph::maximum(a, b);
      case Merge::minimum:
        return graph::minimum(a, b);
      default:
        return a + b;
    }
  }
};

struct ConcatenateSpec : ConcatenateArgs {
  void fields(internal::Fields& f) { f("axis", axis); }
};
class ConcatenateImpl final : public internal::ConfiguredLayer<ConcatenateSpec> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  void build_all(std::span<const Shape>) override {}
  void check(std::span<const Shape> inputs) const override {
    const int rank = inputs[0].rank();
    if (spec_.axis >= rank || spec_.axis < -rank)
      throw ShapeError(fmt::format(
          "layer \"{}\" (Concatenate): inputs of shape {} have no axis {}; give one from {} to {}", name(),
          inputs[0].to_string(), spec_.axis, -rank, rank - 1));
    const int axis = spec_.axis < 0 ? spec_.axis + rank : spec_.axis;
    for (const Shape& x : inputs) {
      bool fits = x.rank() == rank;
      for (int i = 0; fits && i < rank; i++)
        fits = i == axis || x.dim(i) == inputs[0].dim(i) || x.dim(i) == None || inputs[0].dim(i) == None;
      if (!fits)
        throw ShapeError(
            fmt::format("layer \"{}\" (Concatenate) requires inputs with matching shapes except for the "
                        "concatenation axis {}. Received: {}",
                        name(), spec_.axis, list(inputs)));
    }
  }
  std::vector<Value> call_all(Call&, std::span<const Value> xs) override {
    return {graph::concatenate(xs, spec_.axis < 0 ? spec_.axis + xs[0].rank() : spec_.axis)};
  }
};

struct DotSpec : DotArgs {
  Axes axes = -1;
  void fields(internal::Fields& f) { f.required("axes", axes)("normalize", normalize); }
};
class DotImpl final : public internal::ConfiguredLayer<DotSpec> {
 public:
  explicit DotImpl(DotSpec spec) : ConfiguredLayer(std::move(spec)) {
    if (spec_.axes.size() > 2)
      throw ValueError(
          fmt::format("Dot: axes should be one number or two, but there are {}", spec_.axes.size()));
    for (std::int64_t axis : spec_.axes.values())
      if (axis == 0) throw ValueError("Dot: axis 0 is the batch, over which no sum can run");
  }
  void build_all(std::span<const Shape>) override {}
  void check(std::span<const Shape> inputs) const override {
    const auto wrong = [&](const std::string& what) {
      throw ShapeError(fmt::format("layer \"{}\" (Dot): {}: {}", name(), what, list(inputs)));
    };
    if (inputs.size() != 2) wrong("it takes two inputs, as in Dot(1)({a, b})");
    if (inputs[0].rank() < 2 || inputs[1].rank() < 2) wrong("its inputs need two axes or more");
    const std::int64_t a = inputs[0].dim(axis(0, inputs[0])), b = inputs[1].dim(axis(1, inputs[1]));
    if (a != b && a != None && b != None)
      wrong("the sizes along the axes must be equal, to be multiplied and summed");
  }
  std::vector<Value> call_all(Call&, std::span<const Value> xs) override {
    const int a = axis(0, xs[0].shape()), b = axis(1, xs[1].shape());
    const Value x = scaled(xs[0], a), y = scaled(xs[1], b);
    const Value product = graph::dot(x, y, {0}, {0}, {a}, {b});
    return {product.rank() == 1 ? graph::expand_dims(product, 1) : product};
  }

 private:
  int axis(std::size_t input, const Shape& x) const {
    const Axes one(spec_.axes[std::min(input, spec_.axes.size() - 1)]);
    return static_cast<int>(one.of_rank(fmt::format("layer \"{}\" (Dot)", name()), x.rank())[0]);
  }
  Value scaled(Value x, int axis) const {
    constexpr double epsilon = 1e-7;  // Keras's
    return spec_.normalize ? internal::unit_vectors(x, {axis}, epsilon) : x;
  }
};

Layer merge(Merge kind, MergeArgs args) {
  return make_layer<MergeImpl>(MergeSpec{std::move(args), class_name_of(kind), kind});
}

}  // namespace

Layer Add(MergeArgs args) {
  return merge(Merge::add, std::move(args));
}
Layer Subtract(MergeArgs args) {
  return merge(Merge::subtract, std::move(args));
}
Layer Multiply(MergeArgs args) {
  return merge(Merge::multiply, std::move(args));
}
Layer Average(MergeArgs args) {
  return merge(Merge::average, std::move(args));
}
Layer Maximum(MergeArgs args) {
  return merge(Merge::maximum, std::move(args));
}
Layer Minimum(MergeArgs args) {
  return merge(Merge::minimum, std::move(args));
}
Layer Dot(Axes axes, DotArgs args) {
  return make_layer<DotImpl>(DotSpec{std::move(args), std::move(axes)});
}
Layer Concatenate(ConcatenateArgs args) {
  return make_layer<ConcatenateImpl>(ConcatenateSpec{std::move(args)});
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_merge_layers(LayerRegistry& registry) {
  using namespace layers;
  for (Merge kind :
       {Merge::add, Merge::subtract, Merge::multiply, Merge::average, Merge::maximum, Merge::minimum})
    registry.add(class_name_of(kind), [kind](Fields& f) {
      MergeSpec spec;
      spec.class_name = class_name_of(kind);
      spec.kind = kind;
      return layer_from<MergeImpl>(f, std::move(spec));
    });
  registry.add<ConcatenateImpl>("Concatenate");
  registry.add<DotImpl>("Dot");
}

}  // namespace kiln::internal
