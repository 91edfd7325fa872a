#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "api/layers/image_layer.h"
#include "api/layers/sampling.h"

namespace kiln::layers {
namespace {

using graph::Value;
using internal::Fields;

/// The range of a factor; one number stands for both directions.
Factor range_of(const char* class_name, const char* argument, const Factor& given, bool with_lowest) {
  Factor range = given.two ? given : Factor(-std::abs(given.upper), std::abs(given.upper));
  const auto allowed = [&](double f) { return (with_lowest ? f >= -1 : f > -1) && f <= 1; };
  if (!allowed(given.lower) || !allowed(given.upper))
    throw ValueError(fmt::format(
        "{}: {} must be a number, or two, in {}-1, 1], but it is {}", class_name, argument,
        with_lowest ? '[' : '(',
        given.two ? fmt::format("({}, {})", given.lower, given.upper) : fmt::format("{}", given.upper)));
  if (range.lower > range.upper) std::swap(range.lower, range.upper);
  return range;
}

/// What the three layers share: all images of a batch are read at other places, each by draws of its own.
template <class Spec>
class TransformLayer : public ImageLayer<Spec> {
 public:
  TransformLayer(const char* class_name, Spec spec) : ImageLayer<Spec>(class_name, std::move(spec)) {
    const TransformArgs& args = this->spec_;
    sampling_ = {args.fill_mode, args.interpolation, args.fill_value};
    internal::check_sampling(class_name, sampling_);
  }

 protected:
  struct Places {
    Value ys, xs;
  };
  /// Where each pixel is read, for rows (1, H, 1) and columns (1, 1, W).
  virtual Places places(Call& context, Value x, Value rows, Value columns) = 0;

  Value drawn(Call& context, Value x, const Factor& range) const {
    return draw(context, x, range.lower, range.upper, this->spec_.seed, 3);
  }
  /// The middle of so many pixels.
  static double middle(const Value& pixels, int axis) {
    return static_cast<double>(pixels.shape().dim(axis) - 1) / 2;
  }

 private:
  Value changed(Call& context, Value x) final {
    if (!context.training()) return x;
    const Value rows = graph::iota(x.graph(), {x.dtype(), {1, x.shape()[1], 1}}, 1),
                columns = graph::iota(x.graph(), {x.dtype(), {1, 1, x.shape()[2]}}, 2);
    const Places at = places(context, x, rows, columns);
    return internal::sample(x, at.ys, at.xs, sampling_);
  }
  internal::Sampling sampling_;
};

void transform_fields(Fields& f, TransformArgs& args) {
  f("fill_mode", args.fill_mode)("interpolation", args.interpolation)("seed", args.seed);
  f("fill_value", args.fill_value)("data_format", args.data_format);
}

struct RandomRotationSpec : TransformArgs {
  Factor factor = 0;
  void fields(Fields& f) {
    f.required("factor", factor);
    transform_fields(f, *this);
  }
};
class RandomRotationImpl final : public TransformLayer<RandomRotationSpec> {
 public:
  explicit RandomRotationImpl(RandomRotationSpec spec) : TransformLayer("RandomRotation", std::move(spec)) {
    spec_.factor = range_of("RandomRotation", "factor", spec_.factor, true);
  }

 private:
  Places places(Call& context, Value x, Value rows, Value columns) override {
    const Value angle = 2 * std::numbers::pi * drawn(context, x, spec_.factor);
    const Value cos = graph::cos(angle), sin = graph::sin(angle);
    const double middle_row = middle(rows, 1), middle_column = middle(columns, 2);
    const Value y = rows - middle_row, across = columns - middle_column;
    return {sin * across + cos * y + middle_row, cos * across - sin * y + middle_column};
  }
};

struct RandomTranslationSpec : TransformArgs {
  Factor height_factor = 0, width_factor = 0;
  void fields(Fields& f) {
    f.required("height_factor", height_factor).required("width_factor", width_factor);
    transform_fields(f, *this);
  }
};
class RandomTranslationImpl final : public TransformLayer<RandomTranslationSpec> {
 public:
  explicit RandomTranslationImpl(RandomTranslationSpec spec)
      : TransformLayer("RandomTranslation", std::move(spec)),
        height_(range_of("RandomTranslation", "height_factor", spec_.height_factor, true)),
        width_(range_of("RandomTranslation", "width_factor", spec_.width_factor, true)) {}

 private:
  Places places(Call& context, Value x, Value rows, Value columns) override {
    const Value down = drawn(context, x, height_), right = drawn(context, x, width_);
    return {rows - down * static_cast<double>(x.shape()[1]),
            columns - right * static_cast<double>(x.shape()[2])};
  }
  Factor height_, width_;
};

struct RandomZoomSpec : TransformArgs {
  Factor height_factor = 0;
  std::optional<Factor> width_factor = {};
  void fields(Fields& f) {
    f.required("height_factor", height_factor)("width_factor", width_factor);
    transform_fields(f, *this);
  }
};
class RandomZoomImpl final : public TransformLayer<RandomZoomSpec> {
 public:
  explicit RandomZoomImpl(RandomZoomSpec spec)
      : TransformLayer("RandomZoom", std::move(spec)),
        height_(range_of("RandomZoom", "height_factor", spec_.height_factor, false)) {
    if (spec_.width_factor) width_ = range_of("RandomZoom", "width_factor", *spec_.width_factor, false);
  }

 private:
  Places places(Call& context, Value x, Value rows, Value columns) override {
    const Value high = 1.0 + drawn(context, x, height_);
    const Value wide = width_ ? 1.0 + drawn(context, x, *width_) : high;
    const double middle_row = middle(rows, 1), middle_column = middle(columns, 2);
    return {(rows - middle_row) * high + middle_row, (columns - middle_column) * wide + middle_column};
  }
  Factor height_;
  std::optional<Factor> width_;
};

}  // namespace

Layer RandomRotation(Factor factor, TransformArgs args) {
  return make_layer<RandomRotationImpl>(RandomRotationSpec{std::move(args), factor});
}
Layer RandomTranslation(Factor height_factor, Factor width_factor, TransformArgs args) {
  return make_layer<RandomTranslationImpl>(
      RandomTranslationSpec{std::move(args), height_factor, width_factor});
}
Layer RandomZoom(Factor height_factor, std::optional<Factor> width_factor, TransformArgs args) {
  return make_layer<RandomZoomImpl>(RandomZoomSpec{std::move(args), height_factor, width_factor});
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_transform_layers(LayerRegistry& registry) {
  using namespace layers;
  registry.add<RandomRotationImpl>("RandomRotation");
  registry.add<RandomTranslationImpl>("RandomTranslation");
  registry.add<RandomZoomImpl>("RandomZoom");
}

}  // namespace kiln::internal
