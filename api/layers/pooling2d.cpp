#include "kiln/layers/pooling2d.h"

#include "api/layers/windows.h"
#include "kiln/activations.h"
#include "kiln/layer_impl.h"

namespace kiln::layers {
namespace {

using graph::Value;

// How many elements of the input each window of one axis covers.
std::vector<float> coverage(std::int64_t n, std::int64_t window, std::int64_t stride,
                            internal::Padding padding) {
  std::vector<float> counts;
  for (std::int64_t start = -padding.low; start + window <= n + padding.high; start += stride)
    counts.push_back(static_cast<float>(std::min(start + window, n) - std::max<std::int64_t>(start, 0)));
  return counts;
}

class Pooling2DImpl : public LayerImpl {
 public:
  Pooling2DImpl(std::string class_name, Size2 pool_size, const Pooling2DArgs& args)
      : LayerImpl({.dtype = args.dtype, .name = args.name}),
        class_name_(std::move(class_name)),
        pool_size_(pool_size),
        strides_(args.strides.value_or(pool_size)),
        same_(internal::parse_padding(class_name_, args.padding)) {
    internal::check_positive(class_name_, "pool_size", pool_size_);
    internal::check_positive(class_name_, "strides", strides_);
  }

  std::string class_name() const override { return class_name_; }

  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs)
      internal::check_window({.layer = name(),
                              .class_name = class_name_,
                              .window_name = "pool_size",
                              .window = pool_size_,
                              .strides = strides_,
                              .same = same_},
                             x);
  }

 protected:
  internal::Padding rows(Value x) const {
    return internal::padding_of(same_, x.shape()[1], pool_size_.height, strides_.height, 1);
  }
  internal::Padding columns(Value x) const {
    return internal::padding_of(same_, x.shape()[2], pool_size_.width, strides_.width, 1);
  }
  graph::WindowAttrs window(Value x) const {
    return {.window = {1, pool_size_.height, pool_size_.width, 1},
            .strides = {1, strides_.height, strides_.width, 1},
            .low = {0, rows(x).low, columns(x).low, 0},
            .high = {0, rows(x).high, columns(x).high, 0}};
  }

  std::string class_name_;
  Size2 pool_size_, strides_;
  bool same_;
};

// The x of y = relu(x), in activations::relu's form; null for any other y.
Value relu_operand(Value y) {
  const auto is_zero = [](Value v) {
    const graph::Node& n = *(v.node->op == graph::Op::broadcast ? v.node->operand(0).node : v.node);
    return n.op == graph::Op::constant && n.attributes.tensor("value").size() == 1 &&
           n.attributes.tensor("value").item() == 0;
  };
  if (y.node->op != graph::Op::select) return {};
  const graph::Node& mask = *y.node->operand(0).node;
  const Value x = y.node->operand(2);
  const bool matches = mask.op == graph::Op::compare && mask.attributes.string("direction") == "le" &&
                       mask.operand(0) == x && is_zero(mask.operand(1)) && is_zero(y.node->operand(1));
  return matches ? x : Value{};
}

class MaxPooling2DImpl final : public Pooling2DImpl {
 public:
  MaxPooling2DImpl(Size2 pool_size, const Pooling2DArgs& args)
      : Pooling2DImpl("MaxPooling2D", pool_size, args) {}
  // Of a function that never falls, the largest value is its value of the largest. So the largest first, then
  // the function of what is left of them: it is computed less often, and training keeps its small result
  // only, not what it is computed of. Where equal values come from different x, the gradient goes to the
  // largest x; at zeros of relu it is zero for all.
  Value call(Call& context, Value x) override {
    if (const Value before = relu_operand(x)) return activations::relu(maxima(before));
    if (x.node->op == graph::Op::sigmoid || x.node->op == graph::Op::tanh)
      return context.graph().emit(x.node->op, {maxima(x.node->operand(0))}).value();
    return maxima(x);
  }

 private:
  Value maxima(Value x) const { return graph::window_max(x, window(x)); }
};

class AveragePooling2DImpl final : public Pooling2DImpl {
 public:
  AveragePooling2DImpl(Size2 pool_size, const Pooling2DArgs& args)
      : Pooling2DImpl("AveragePooling2D", pool_size, args) {}

  Value call(Call& context, Value x) override {
    const Value sum = graph::window_sum(x, window(x));
    if (!same_) return sum / static_cast<double>(pool_size_.height * pool_size_.width);
    const std::vector<float> down = coverage(x.shape()[1], pool_size_.height, strides_.height, rows(x));
    const std::vector<float> across = coverage(x.shape()[2], pool_size_.width, strides_.width, columns(x));
    std::vector<float> counts;
    for (float a : down)
      for (float b : across) counts.push_back(a * b);
    const Tensor table(
        counts, {1, static_cast<std::int64_t>(down.size()), static_cast<std::int64_t>(across.size()), 1});
    return sum / graph::constant(context.graph(), table.astype(x.dtype()));
  }
};

class GlobalAveragePooling2DImpl final : public LayerImpl {
 public:
  explicit GlobalAveragePooling2DImpl(const GlobalPooling2DArgs& args)
      : LayerImpl({.dtype = args.dtype, .name = args.name}), keepdims_(args.keepdims) {}
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs)
      internal::check_window({.layer = name(), .class_name = class_name(), .window_name = "pool_size"}, x);
  }
  Value call(Call&, Value x) override { return graph::reduce_mean(x, {1, 2}, keepdims_); }

 private:
  bool keepdims_;
};

}  // namespace

Layer MaxPooling2D(Size2 pool_size, Pooling2DArgs args) {
  return make_layer<MaxPooling2DImpl>(pool_size, args);
}
Layer AveragePooling2D(Size2 pool_size, Pooling2DArgs args) {
  return make_layer<AveragePooling2DImpl>(pool_size, args);
}
Layer GlobalAveragePooling2D(GlobalPooling2DArgs args) {
  return make_layer<GlobalAveragePooling2DImpl>(args);
}

Layer MaxPool2D(Size2 pool_size, Pooling2DArgs args) {
  return MaxPooling2D(pool_size, std::move(args));
}
Layer AvgPool2D(Size2 pool_size, Pooling2DArgs args) {
  return AveragePooling2D(pool_size, std::move(args));
}
Layer GlobalAvgPool2D(GlobalPooling2DArgs args) {
  return GlobalAveragePooling2D(std::move(args));
}

}  // namespace kiln::layers
