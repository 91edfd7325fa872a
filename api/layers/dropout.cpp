#include "kiln/layers/dropout.h"

#include <fmt/format.h>

#include <cmath>

#include "api/layers/configured.h"
#include "api/layers/dropping.h"
#include "api/layers/spatial.h"

namespace kiln::layers {
namespace {

using graph::Value;
using internal::ConfiguredLayer;
using internal::dropped;
using internal::Fields;
using internal::kept;

void check_rate(const std::string& class_name, double rate) {
  if (!(rate >= 0 && rate <= 1))
    throw ValueError(fmt::format("{}: rate must be in [0, 1], the share of elements to drop, but it is {}",
                                 class_name, rate));
}

// ---- Dropout, AlphaDropout --------------------------------------------------------------------------------

struct DropoutSpec : DropoutArgs {
  double rate = 0;

  void fields(Fields& f) {
    std::optional<Shape> given = noise_shape.empty() ? std::nullopt : std::optional(noise_shape);
    f.required("rate", rate)("seed", seed)("noise_shape", given);
    noise_shape = given.value_or(Shape());
  }
};

class DropoutImpl : public ConfiguredLayer<DropoutSpec> {
 public:
  explicit DropoutImpl(DropoutSpec spec, const char* class_name = "Dropout")
      : ConfiguredLayer(std::move(spec)) {
    check_rate(class_name, spec_.rate);
  }

  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs) {
      bool fits = spec_.noise_shape.empty() || spec_.noise_shape.rank() == x.rank();
      for (int i = 0; fits && i < spec_.noise_shape.rank(); i++) {
        const std::int64_t n = spec_.noise_shape.dim(i);
        fits = n == None || n == 1 || n == x.dim(i);
      }
      if (!fits)
        throw ShapeError(
            fmt::format("layer \"{}\" ({}): noise_shape {} must have the input's axes, each of its "
                        "size, 1 or None, but the input has shape {}",
                        name(), class_name(), spec_.noise_shape.to_string(), x.to_string()));
    }
  }

  Value call(Call& context, Value x) override {
    return dropped(context, x, drawn(x), spec_.rate, spec_.seed);
  }

 protected:
  Shape drawn(Value x) const {
    Shape drawn = x.shape();
    for (int i = 0; i < spec_.noise_shape.rank(); i++)
      if (spec_.noise_shape.dim(i) != None) drawn[static_cast<std::size_t>(i)] = spec_.noise_shape.dim(i);
    return drawn;
  }
};

class AlphaDropoutImpl final : public DropoutImpl {
 public:
  explicit AlphaDropoutImpl(DropoutSpec spec) : DropoutImpl(std::move(spec), "AlphaDropout") {
    if (spec_.rate == 1)
      throw ValueError("AlphaDropout: rate must be below 1: of nothing, no mean and variance can be kept");
  }
  Value call(Call& context, Value x) override {
    if (!context.training() || spec_.rate == 0) return x;
    constexpr double lowest = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717;
    const double rate = spec_.rate, scale = 1 / std::sqrt((1 - rate) * (1 + rate * lowest * lowest));
    const Value y = graph::select(kept(context, x, drawn(x), rate, spec_.seed), x, graph::scalar(x, lowest));
    return y * scale - scale * lowest * rate;
  }
};

// ---- SpatialDropout ---------------------------------------------------------------------------------------

struct SpatialDropoutSpec : SpatialDropoutArgs {
  std::string class_name;
  int axes = 1;
  double rate = 0;

  void fields(Fields& f) {
    f.required("rate", rate)("seed", seed);
    if (axes > 1) f("data_format", data_format);
  }
};

class SpatialDropoutImpl final : public ConfiguredLayer<SpatialDropoutSpec> {
 public:
  explicit SpatialDropoutImpl(SpatialDropoutSpec spec) : ConfiguredLayer(std::move(spec)) {
    check_rate(spec_.class_name, spec_.rate);
    internal::check_data_format(spec_.class_name, spec_.data_format);
  }
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs) internal::check_spatial_axes(name(), spec_.axes, spec_.data_format, x);
  }
  Value call(Call& context, Value x) override {
    Shape drawn = x.shape();
    const std::size_t first = spec_.data_format == "channels_last" ? 1 : 2;
    for (std::size_t i = 0; i < static_cast<std::size_t>(spec_.axes); i++) drawn[first + i] = 1;
    return dropped(context, x, drawn, spec_.rate, spec_.seed);
  }
};

// ---- GaussianDropout, GaussianNoise -----------------------------------------------------------------------

struct GaussianDropoutSpec : NoiseArgs {
  double rate = 0;
  void fields(Fields& f) { f.required("rate", rate)("seed", seed); }
};
class GaussianDropoutImpl final : public ConfiguredLayer<GaussianDropoutSpec> {
 public:
  explicit GaussianDropoutImpl(GaussianDropoutSpec spec) : ConfiguredLayer(std::move(spec)) {
    if (!(spec_.rate >= 0 && spec_.rate < 1))
      throw ValueError(fmt::format("GaussianDropout: rate must be in [0, 1), but it is {}", spec_.rate));
  }
  Value call(Call& context, Value x) override {
    if (!context.training() || spec_.rate == 0) return x;
    const double stddev = std::sqrt(spec_.rate / (1 - spec_.rate));
    return x * (1.0 + stddev * context.random_normal(x.shape(), x.dtype(), spec_.seed));
  }
};

struct GaussianNoiseSpec : NoiseArgs {
  double stddev = 0;
  void fields(Fields& f) { f.required("stddev", stddev)("seed", seed); }
};
class GaussianNoiseImpl final : public ConfiguredLayer<GaussianNoiseSpec> {
 public:
  explicit GaussianNoiseImpl(GaussianNoiseSpec spec) : ConfiguredLayer(std::move(spec)) {
    if (!(spec_.stddev >= 0 && std::isfinite(spec_.stddev)))
      throw ValueError(
          fmt::format("GaussianNoise: stddev must be finite and not negative, but it is {}", spec_.stddev));
  }
  Value call(Call& context, Value x) override {
    if (!context.training() || spec_.stddev == 0) return x;
    return x + spec_.stddev * context.random_normal(x.shape(), x.dtype(), spec_.seed);
  }
};

// ---- ActivityRegularization -------------------------------------------------------------------------------

struct ActivityRegularizationSpec : ActivityRegularizationArgs {
  Regularizer activity_regularizer = {};
  void fields(Fields& f) {
    f("l1", l1)("l2", l2);
    activity_regularizer = regularizers::L1L2({.l1 = l1, .l2 = l2});
  }
};
class ActivityRegularizationImpl final : public ConfiguredLayer<ActivityRegularizationSpec> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  Value call(Call&, Value x) override { return x; }
};

Layer spatial_dropout(const char* class_name, int axes, double rate, SpatialDropoutArgs args) {
  return make_layer<SpatialDropoutImpl>(SpatialDropoutSpec{std::move(args), class_name, axes, rate});
}

}  // namespace

Layer Dropout(double rate, DropoutArgs args) {
  return make_layer<DropoutImpl>(DropoutSpec{std::move(args), rate});
}
Layer AlphaDropout(double rate, DropoutArgs args) {
  return make_layer<AlphaDropoutImpl>(DropoutSpec{std::move(args), rate});
}
Layer SpatialDropout1D(double rate, NoiseArgs args) {
  return spatial_dropout("SpatialDropout1D", 1, rate,
                         {.seed = args.seed, .dtype = args.dtype, .name = args.name});
}
Layer SpatialDropout2D(double rate, SpatialDropoutArgs args) {
  return spatial_dropout("SpatialDropout2D", 2, rate, std::move(args));
}
Layer SpatialDropout3D(double rate, SpatialDropoutArgs args) {
  return spatial_dropout("SpatialDropout3D", 3, rate, std::move(args));
}
Layer GaussianDropout(double rate, NoiseArgs args) {
  return make_layer<GaussianDropoutImpl>(GaussianDropoutSpec{std::move(args), rate});
}
Layer GaussianNoise(double stddev, NoiseArgs args) {
  return make_layer<GaussianNoiseImpl>(GaussianNoiseSpec{std::move(args), stddev});
}
Layer ActivityRegularization(ActivityRegularizationArgs args) {
  const Regularizer penalty = regularizers::L1L2({.l1 = args.l1, .l2 = args.l2});
  return make_layer<ActivityRegularizationImpl>(ActivityRegularizationSpec{std::move(args), penalty});
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_dropout_layers(LayerRegistry& registry) {
  using namespace layers;
  registry.add<DropoutImpl>("Dropout");
  registry.add<AlphaDropoutImpl>("AlphaDropout");
  registry.add<GaussianDropoutImpl>("GaussianDropout");
  registry.add<GaussianNoiseImpl>("GaussianNoise");
  registry.add<ActivityRegularizationImpl>("ActivityRegularization");
  for (int axes = 1; axes <= 3; axes++) {
    const std::string spatial = fmt::format("SpatialDropout{}D", axes);
    registry.add(spatial, [=](Fields& f) {
      return layer_from<SpatialDropoutImpl>(f, SpatialDropoutSpec{{}, spatial, axes});
    });
  }
}

}  // namespace kiln::internal
