#include "kiln/layers/pooling.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/layers/configured.h"
#include "api/layers/spatial.h"
#include "kiln/activations.h"

namespace kiln::layers {
namespace {

using graph::Value;
using internal::Fields;
using internal::Ints;
using internal::Padding;

// ---- pooling over windows ---------------------------------------------------------------------------------

struct PoolingSpec {
  std::string class_name;
  int axes = 2;
  Ints pool_size = {}, strides = {};
  std::string padding = "valid";
  std::string data_format = "channels_last";
  DType dtype = DType::f32;
  std::string name = "";

  void fields(Fields& f) {
    const auto count = static_cast<std::size_t>(axes);
    if (f.reads()) pool_size = Ints(count, 2);
    f("pool_size", pool_size);
    std::optional<Ints> given = f.reads() ? Ints(count, 1) : strides;
    if (f.reads() && !f.has("strides")) given.reset();
    f("strides", given)("padding", padding)("data_format", data_format);
    strides = given.value_or(pool_size);
    internal::check_axes(class_name, "pool_size", pool_size, axes);
    internal::check_axes(class_name, "strides", strides, axes);
  }
};

class PoolingImpl : public internal::ConfiguredLayer<PoolingSpec> {
 public:
  explicit PoolingImpl(PoolingSpec given) : ConfiguredLayer(std::move(given)) {
    internal::check_window_arguments(window());
  }
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs) internal::check_window(window(), name(), x);
  }
  Value call(Call& context, Value x) final {
    x = internal::channels_last(spec_.data_format, x);
    return internal::from_channels_last(spec_.data_format, pool(context, x));
  }

 protected:
  /// Of x with its channels last.
  virtual Value pool(Call& context, Value x) = 0;

  std::size_t axes() const { return spec_.pool_size.size(); }
  Padding padding(Value x, std::size_t axis) const {
    return internal::padding_of(spec_.padding, x.shape()[axis + 1], spec_.pool_size[axis],
                                spec_.strides[axis], 1);
  }
  graph::WindowAttrs attributes(Value x) const {
    graph::WindowAttrs attrs{{1}, {1}, {0}, {0}};
    for (std::size_t i = 0; i < axes(); i++) {
      attrs.window.push_back(spec_.pool_size[i]);
      attrs.strides.push_back(spec_.strides[i]);
      attrs.low.push_back(padding(x, i).low);
      attrs.high.push_back(padding(x, i).high);
    }
    attrs.window.push_back(1);
    attrs.strides.push_back(1);
    attrs.low.push_back(0);
    attrs.high.push_back(0);
    return attrs;
  }

 private:
  internal::WindowSpec window() const {
    return {.class_name = spec_.class_name,
            .window_name = "pool_size",
            .window = spec_.pool_size,
            .strides = spec_.strides,
            .padding = spec_.padding,
            .data_format = spec_.data_format};
  }
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

class MaxPoolingImpl final : public PoolingImpl {
 public:
  using PoolingImpl::PoolingImpl;

 private:
  // Of a function that never falls, the largest value is its value of the largest. So the largest first, then
  // the function of what is left of them: it is computed less often, and training keeps its small result
  // only, not what it is computed of. Where equal values come from different x, the gradient goes to the
  // largest x; at zeros of relu it is zero for all.
  Value pool(Call& context, Value x) override {
    if (const Value before = relu_operand(x)) return activations::relu(maxima(before));
    if (x.node->op == graph::Op::sigmoid || x.node->op == graph::Op::tanh)
      return context.graph().emit(x.node->op, {maxima(x.node->operand(0))}).value();
    return maxima(x);
  }
  Value maxima(Value x) const { return graph::window_max(x, attributes(x)); }
};

class AveragePoolingImpl final : public PoolingImpl {
 public:
  using PoolingImpl::PoolingImpl;

 private:
  Value pool(Call&, Value x) override {
    const Value sum = graph::window_sum(x, attributes(x));
    if (spec_.padding == "valid") {
      std::int64_t elements = 1;
      for (std::int64_t n : spec_.pool_size) elements *= n;
      return sum / static_cast<double>(elements);
    }
    return sum / counts(x);
  }

  /// How many elements of x each window has: their products along the axes, (1, out..., 1).
  Value counts(Value x) const {
    Value result;
    for (std::size_t i = 0; i < axes(); i++) {
      const std::int64_t n = x.shape()[i + 1], window = spec_.pool_size[i];
      std::vector<float> along;
      for (std::int64_t start = -padding(x, i).low; start + window <= n + padding(x, i).high;
           start += spec_.strides[i])
        along.push_back(static_cast<float>(std::min(start + window, n) - std::max<std::int64_t>(start, 0)));
      std::vector<std::int64_t> shape(axes() + 2, 1);
      shape[i + 1] = static_cast<std::int64_t>(along.size());
      const Value axis = graph::constant(x.graph(), Tensor(along, Shape(shape)).astype(x.dtype()));
      result = result ? result * axis : axis;
    }
    return result;
  }
};

template <class Impl, class Size>
Layer pooling(const char* class_name, Size pool_size, const PoolingArgs<Size>& args) {
  const Ints sizes = internal::ints(pool_size);
  return make_layer<Impl>(PoolingSpec{.class_name = class_name,
                                      .axes = static_cast<int>(sizes.size()),
                                      .pool_size = sizes,
                                      .strides = internal::ints(args.strides.value_or(pool_size)),
                                      .padding = args.padding,
                                      .data_format = args.data_format,
                                      .dtype = args.dtype,
                                      .name = args.name});
}

// ---- global pooling ---------------------------------------------------------------------------------------

struct GlobalPoolingSpec : GlobalPoolingArgs {
  std::string class_name;
  int axes = 2;
  bool maximum = false;

  void fields(Fields& f) { f("data_format", data_format)("keepdims", keepdims); }
};

class GlobalPoolingImpl final : public internal::ConfiguredLayer<GlobalPoolingSpec> {
 public:
  explicit GlobalPoolingImpl(GlobalPoolingSpec given) : ConfiguredLayer(std::move(given)) {
    internal::check_data_format(spec_.class_name, spec_.data_format);
  }
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs) internal::check_spatial_axes(name(), spec_.axes, spec_.data_format, x);
  }
  Value call(Call&, Value x) override {
    Ints spatial;
    for (int i = 0; i < spec_.axes; i++)
      spatial.push_back(i + (spec_.data_format == "channels_last" ? 1 : 2));
    return spec_.maximum ? graph::reduce_max(x, spatial, spec_.keepdims)
                         : graph::reduce_mean(x, spatial, spec_.keepdims);
  }
};

Layer global_pooling(const char* class_name, int axes, bool maximum, GlobalPoolingArgs args) {
  return make_layer<GlobalPoolingImpl>(GlobalPoolingSpec{std::move(args), class_name, axes, maximum});
}

// ---- adaptive pooling -------------------------------------------------------------------------------------

struct AdaptivePoolingSpec : AdaptivePoolingArgs {
  std::string class_name;
  int axes = 2;
  bool maximum = false;
  Ints output_size = {};

  void fields(Fields& f) {
    if (f.reads()) output_size = Ints(static_cast<std::size_t>(axes), 1);
    f.required("output_size", output_size)("data_format", data_format);
    internal::check_axes(class_name, "output_size", output_size, axes);
  }
};

class AdaptivePoolingImpl final : public internal::ConfiguredLayer<AdaptivePoolingSpec> {
 public:
  explicit AdaptivePoolingImpl(AdaptivePoolingSpec given) : ConfiguredLayer(std::move(given)) {
    internal::check_data_format(spec_.class_name, spec_.data_format);
    internal::check_positive(spec_.class_name, "output_size", spec_.output_size);
  }
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs) internal::check_spatial_axes(name(), spec_.axes, spec_.data_format, x);
  }
  Value call(Call&, Value x) override {
    x = internal::channels_last(spec_.data_format, x);
    for (int i = 0; i < spec_.axes; i++) x = along(x, i + 1, spec_.output_size[static_cast<std::size_t>(i)]);
    return internal::from_channels_last(spec_.data_format, x);
  }

 private:
  /// Both the mean and the maximum of a box are that of its axes one after the other.
  Value along(Value x, int axis, std::int64_t windows) const {
    const std::int64_t n = x.shape()[static_cast<std::size_t>(axis)];
    std::vector<std::int64_t> first, size;
    for (std::int64_t i = 0; i < windows; i++) {
      first.push_back(i * n / windows);
      size.push_back(((i + 1) * n + windows - 1) / windows - first.back());
    }
    const std::int64_t longest = *std::max_element(size.begin(), size.end());
    // Short windows read their last element again, which counts for nothing.
    std::vector<std::int32_t> places;
    std::vector<float> shares;
    for (std::size_t i = 0; i < first.size(); i++)
      for (std::int64_t k = 0; k < longest; k++) {
        places.push_back(static_cast<std::int32_t>(first[i] + std::min(k, size[i] - 1)));
        shares.push_back(k < size[i] ? 1 / static_cast<float>(size[i]) : 0);
      }
    const Value read = graph::gather(x, graph::constant(x.graph(), Tensor(places, {windows, longest})), axis);
    if (spec_.maximum) return graph::reduce_max(read, {axis + 1});
    std::vector<std::int64_t> shape(static_cast<std::size_t>(read.rank()), 1);
    shape[static_cast<std::size_t>(axis)] = windows;
    shape[static_cast<std::size_t>(axis) + 1] = longest;
    const Value share = graph::constant(x.graph(), Tensor(shares, Shape(shape)).astype(x.dtype()));
    return graph::reduce_sum(read * share, {axis + 1});
  }
};

template <class Size>
Layer adaptive_pooling(const char* class_name, bool maximum, Size output_size, AdaptivePoolingArgs args) {
  const Ints sizes = internal::ints(output_size);
  return make_layer<AdaptivePoolingImpl>(
      AdaptivePoolingSpec{std::move(args), class_name, static_cast<int>(sizes.size()), maximum, sizes});
}

}  // namespace

Layer MaxPooling1D(std::int64_t pool_size, Pooling1DArgs args) {
  return pooling<MaxPoolingImpl>("MaxPooling1D", pool_size, args);
}
Layer MaxPooling2D(Size2 pool_size, Pooling2DArgs args) {
  return pooling<MaxPoolingImpl>("MaxPooling2D", pool_size, args);
}
Layer MaxPooling3D(Size3 pool_size, Pooling3DArgs args) {
  return pooling<MaxPoolingImpl>("MaxPooling3D", pool_size, args);
}
Layer AveragePooling1D(std::int64_t pool_size, Pooling1DArgs args) {
  return pooling<AveragePoolingImpl>("AveragePooling1D", pool_size, args);
}
Layer AveragePooling2D(Size2 pool_size, Pooling2DArgs args) {
  return pooling<AveragePoolingImpl>("AveragePooling2D", pool_size, args);
}
Layer AveragePooling3D(Size3 pool_size, Pooling3DArgs args) {
  return pooling<AveragePoolingImpl>("AveragePooling3D", pool_size, args);
}

Layer GlobalAveragePooling1D(GlobalPoolingArgs args) {
  return global_pooling("GlobalAveragePooling1D", 1, false, std::move(args));
}
Layer GlobalAveragePooling2D(GlobalPoolingArgs args) {
  return global_pooling("GlobalAveragePooling2D", 2, false, std::move(args));
}
Layer GlobalAveragePooling3D(GlobalPoolingArgs args) {
  return global_pooling("GlobalAveragePooling3D", 3, false, std::move(args));
}
Layer GlobalMaxPooling1D(GlobalPoolingArgs args) {
  return global_pooling("GlobalMaxPooling1D", 1, true, std::move(args));
}
Layer GlobalMaxPooling2D(GlobalPoolingArgs args) {
  return global_pooling("GlobalMaxPooling2D", 2, true, std::move(args));
}
Layer GlobalMaxPooling3D(GlobalPoolingArgs args) {
  return global_pooling("GlobalMaxPooling3D", 3, true, std::move(args));
}

Layer AdaptiveAveragePooling1D(std::int64_t output_size, AdaptivePoolingArgs args) {
  return adaptive_pooling("AdaptiveAveragePooling1D", false, output_size, std::move(args));
}
Layer AdaptiveAveragePooling2D(Size2 output_size, AdaptivePoolingArgs args) {
  return adaptive_pooling("AdaptiveAveragePooling2D", false, output_size, std::move(args));
}
Layer AdaptiveAveragePooling3D(Size3 output_size, AdaptivePoolingArgs args) {
  return adaptive_pooling("AdaptiveAveragePooling3D", false, output_size, std::move(args));
}
Layer AdaptiveMaxPooling1D(std::int64_t output_size, AdaptivePoolingArgs args) {
  return adaptive_pooling("AdaptiveMaxPooling1D", true, output_size, std::move(args));
}
Layer AdaptiveMaxPooling2D(Size2 output_size, AdaptivePoolingArgs args) {
  return adaptive_pooling("AdaptiveMaxPooling2D", true, output_size, std::move(args));
}
Layer AdaptiveMaxPooling3D(Size3 output_size, AdaptivePoolingArgs args) {
  return adaptive_pooling("AdaptiveMaxPooling3D", true, output_size, std::move(args));
}

Layer MaxPool1D(std::int64_t pool_size, Pooling1DArgs args) {
  return MaxPooling1D(pool_size, std::move(args));
}
Layer MaxPool2D(Size2 pool_size, Pooling2DArgs args) {
  return MaxPooling2D(pool_size, std::move(args));
}
Layer MaxPool3D(Size3 pool_size, Pooling3DArgs args) {
  return MaxPooling3D(pool_size, std::move(args));
}
Layer AvgPool1D(std::int64_t pool_size, Pooling1DArgs args) {
  return AveragePooling1D(pool_size, std::move(args));
}
Layer AvgPool2D(Size2 pool_size, Pooling2DArgs args) {
  return AveragePooling2D(pool_size, std::move(args));
}
Layer AvgPool3D(Size3 pool_size, Pooling3DArgs args) {
  return AveragePooling3D(pool_size, std::move(args));
}
Layer GlobalAvgPool1D(GlobalPoolingArgs args) {
  return GlobalAveragePooling1D(std::move(args));
}
Layer GlobalAvgPool2D(GlobalPoolingArgs args) {
  return GlobalAveragePooling2D(std::move(args));
}
Layer GlobalAvgPool3D(GlobalPoolingArgs args) {
  return GlobalAveragePooling3D(std::move(args));
}
Layer GlobalMaxPool1D(GlobalPoolingArgs args) {
  return GlobalMaxPooling1D(std::move(args));
}
Layer GlobalMaxPool2D(GlobalPoolingArgs args) {
  return GlobalMaxPooling2D(std::move(args));
}
Layer GlobalMaxPool3D(GlobalPoolingArgs args) {
  return GlobalMaxPooling3D(std::move(args));
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_pooling_layers(LayerRegistry& registry) {
  using namespace layers;
  for (int axes = 1; axes <= 3; axes++) {
    const auto name = [&](const char* kind) { return fmt::format("{}Pooling{}D", kind, axes); };
    const auto add_windows = [&]<class Impl>(std::type_identity<Impl>, const std::string& class_name) {
      registry.add(class_name, [=](Fields& f) {
        return layer_from<Impl>(f, PoolingSpec{.class_name = class_name, .axes = axes});
      });
    };
    add_windows(std::type_identity<MaxPoolingImpl>(), name("Max"));
    add_windows(std::type_identity<AveragePoolingImpl>(), name("Average"));
    for (bool maximum : {false, true}) {
      const std::string global = name(maximum ? "GlobalMax" : "GlobalAverage"),
                        adaptive = name(maximum ? "AdaptiveMax" : "AdaptiveAverage");
      registry.add(global, [=](Fields& f) {
        return layer_from<GlobalPoolingImpl>(f, GlobalPoolingSpec{{}, global, axes, maximum});
      });
      registry.add(adaptive, [=](Fields& f) {
        return layer_from<AdaptivePoolingImpl>(f, AdaptivePoolingSpec{{}, adaptive, axes, maximum, {}});
      });
    }
  }
}

}  // namespace kiln::internal
