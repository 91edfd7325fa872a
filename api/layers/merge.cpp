#include "kiln/layers/merge.h"

#include <fmt/format.h>

#include "kiln/layer_impl.h"

namespace kiln::layers {
namespace {

using graph::Value;

std::string list(std::span<const Shape> shapes) {
  std::string out;
  for (const Shape& s : shapes) out += (out.empty() ? "" : ", ") + s.to_string();
  return out;
}

class AddImpl final : public LayerImpl {
 public:
  explicit AddImpl(const MergeArgs& args) : LayerImpl({.dtype = args.dtype, .name = args.name}) {}
  void build_all(std::span<const Shape>) override {}
  void check(std::span<const Shape> inputs) const override {
    if (inputs.size() < 2)
      throw ShapeError(
          fmt::format("layer \"{}\" (Add) needs two inputs or more, as in Add()({{a, b}}), but got {}",
                      name(), inputs.size()));
    for (const Shape& x : inputs) {
      bool fits = x.rank() == inputs[0].rank();
      for (int i = 0; fits && i < x.rank(); i++) {
        const std::int64_t a = x.dim(i);
        const std::int64_t b = inputs[0].dim(i);
        fits = a == b || a == 1 || b == 1 || a == None || b == None;
      }
      if (!fits)
        throw ShapeError(
            fmt::format("layer \"{}\" (Add): inputs have incompatible shapes: {}", name(), list(inputs)));
    }
  }
  std::vector<Value> call_all(Call&, std::span<const Value> xs) override {
    Value sum = xs[0];
    for (Value x : xs.subspan(1)) sum = sum + x;
    return {sum};
  }
};

class ConcatenateImpl final : public LayerImpl {
 public:
  explicit ConcatenateImpl(const ConcatenateArgs& args)
      : LayerImpl({.dtype = args.dtype, .name = args.name}), axis_(args.axis) {}
  void build_all(std::span<const Shape>) override {}
  void check(std::span<const Shape> inputs) const override {
    const int rank = inputs[0].rank();
    if (axis_ >= rank || axis_ < -rank)
      throw ShapeError(fmt::format("layer \"{}\" (Concatenate): inputs of shape {} have no axis {}", name(),
                                   inputs[0].to_string(), axis_));
    const int axis = axis_ < 0 ? axis_ + rank : axis_;
    for (const Shape& x : inputs) {
      bool fits = x.rank() == rank;
      for (int i = 0; fits && i < rank; i++)
        fits = i == axis || x.dim(i) == inputs[0].dim(i) || x.dim(i) == None || inputs[0].dim(i) == None;
      if (!fits)
        throw ShapeError(
            fmt::format("layer \"{}\" (Concatenate) requires inputs with matching shapes except for the "
                        "concatenation axis {}. Received: {}",
                        name(), axis_, list(inputs)));
    }
  }
  std::vector<Value> call_all(Call&, std::span<const Value> xs) override {
    return {graph::concatenate(xs, axis_ < 0 ? axis_ + xs[0].rank() : axis_)};
  }

 private:
  int axis_;
};

}  // namespace

Layer Add(MergeArgs args) {
  return make_layer<AddImpl>(args);
}
Layer Concatenate(ConcatenateArgs args) {
  return make_layer<ConcatenateImpl>(args);
}

}  // namespace kiln::layers
