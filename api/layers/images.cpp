#include "kiln/layers/images.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "api/layers/image_layer.h"
#include "api/layers/resize.h"
#include "api/support/names.h"

namespace kiln::layers {
namespace {

using graph::Ints;
using graph::Value;
using internal::Fields;

struct SizeFields {
  std::int64_t height = 0, width = 0;
  void check(const char* class_name) const {
    if (height < 1 || width < 1)
      throw ValueError(
          fmt::format("{}: height and width must be positive, not {} and {}", class_name, height, width));
  }
};

Value resized(Value x, const SizeFields& size, const std::string& interpolation, bool antialias = false) {
  return internal::resize_axis(internal::resize_axis(x, 1, size.height, interpolation, antialias), 2,
                               size.width, interpolation, antialias);
}

Value part(Value x, std::int64_t top, std::int64_t left, std::int64_t height, std::int64_t width) {
  const Shape& s = x.shape();
  return graph::slice(x, {0, top, left, 0}, {s[0], top + height, left + width, s[3]});
}

/// The largest part in the middle that has the form of height x width.
Value middle_of_form(Value x, const SizeFields& size) {
  const std::int64_t height = x.shape()[1], width = x.shape()[2];
  const auto cut = [](std::int64_t have, std::int64_t other, std::int64_t wanted, std::int64_t of) {
    return std::clamp<std::int64_t>(other * wanted / of, 1, have);
  };
  const std::int64_t h = cut(height, width, size.height, size.width),
                     w = cut(width, height, size.width, size.height);
  return part(x, (height - h) / 2, (width - w) / 2, h, w);
}

/// The smallest image in whose middle x lies that has the form of height x width; an odd pixel isn't added.
Value padded_to_form(Value x, const SizeFields& size, double fill) {
  const std::int64_t height = x.shape()[1], width = x.shape()[2];
  const std::int64_t rows = std::max<std::int64_t>(width * size.height / size.width - height, 0) / 2,
                     columns = std::max<std::int64_t>(height * size.width / size.height - width, 0) / 2;
  return graph::pad(x, graph::scalar(x, fill), {0, rows, columns, 0}, {0, rows, columns, 0});
}

Value center(Value x, const SizeFields& size) {
  const std::int64_t height = x.shape()[1], width = x.shape()[2];
  if (height >= size.height && width >= size.width)
    return part(x, (height - size.height) / 2, (width - size.width) / 2, size.height, size.width);
  return resized(middle_of_form(x, size), size, "bilinear");
}

// ---- Resizing, CenterCrop ---------------------------------------------------------------------------------

struct ResizingSpec : ResizingArgs, SizeFields {
  void fields(Fields& f) {
    f.required("height", height).required("width", width)("interpolation", interpolation);
    f("crop_to_aspect_ratio", crop_to_aspect_ratio)("pad_to_aspect_ratio", pad_to_aspect_ratio);
    f("fill_mode", fill_mode)("fill_value", fill_value)("antialias", antialias)("data_format", data_format);
  }
};
class ResizingImpl final : public ImageLayer<ResizingSpec> {
 public:
  explicit ResizingImpl(ResizingSpec spec) : ImageLayer("Resizing", std::move(spec)) {
    spec_.SizeFields::check("Resizing");
    internal::check_interpolation("Resizing", spec_.interpolation);
    static constexpr std::array<std::string_view, 1> modes = {"constant"};
    if (spec_.fill_mode != modes[0]) internal::unknown_name("Resizing: fill_mode", spec_.fill_mode, modes);
    if (spec_.crop_to_aspect_ratio && spec_.pad_to_aspect_ratio)
      throw ValueError("Resizing: crop_to_aspect_ratio and pad_to_aspect_ratio can't both be true");
  }

 private:
  Value changed(Call&, Value x) override {
    if (spec_.crop_to_aspect_ratio) x = middle_of_form(x, spec_);
    if (spec_.pad_to_aspect_ratio) x = padded_to_form(x, spec_, spec_.fill_value);
    return resized(x, spec_, spec_.interpolation, spec_.antialias);
  }
};

struct CenterCropSpec : CenterCropArgs, SizeFields {
  void fields(Fields& f) {
    f.required("height", height).required("width", width)("data_format", data_format);
  }
};
class CenterCropImpl final : public ImageLayer<CenterCropSpec> {
 public:
  explicit CenterCropImpl(CenterCropSpec spec) : ImageLayer("CenterCrop", std::move(spec)) {
    spec_.SizeFields::check("CenterCrop");
  }

 private:
  Value changed(Call&, Value x) override { return center(x, spec_); }
};

// ---- augmentation -----------------------------------------------------------------------------------------

struct RandomFlipSpec : AugmentationArgs {
  std::string mode = "horizontal_and_vertical";
  void fields(Fields& f) { f("mode", mode)("seed", seed)("data_format", data_format); }
};
class RandomFlipImpl final : public ImageLayer<RandomFlipSpec> {
 public:
  explicit RandomFlipImpl(RandomFlipSpec spec) : ImageLayer("RandomFlip", std::move(spec)) {
    static constexpr std::array<std::string_view, 3> modes = {"horizontal", "vertical",
                                                              "horizontal_and_vertical"};
    if (std::find(modes.begin(), modes.end(), spec_.mode) == modes.end())
      internal::unknown_name("RandomFlip: mode", spec_.mode, modes);
  }

 private:
  Value changed(Call& context, Value x) override {
    if (!context.training()) return x;
    if (spec_.mode != "vertical") x = flipped(context, x, 2);
    return spec_.mode == "horizontal" ? x : flipped(context, x, 1);
  }
  Value flipped(Call& context, Value x, int axis) const {
    const Value uniform = draw(context, x, 0, 1, spec_.seed);
    const Value flips =
        graph::broadcast_to(graph::compare(uniform, graph::scalar(uniform, 0.5), "le"), x.shape());
    return graph::select(flips, graph::reverse(x, {axis}), x);
  }
};

struct ColorSpec : ColorArgs {
  Factor factor = 0;
  void fields(Fields& f) {
    std::vector<double> range = {lowest, highest};
    f.required("factor", factor);
    Config limits = internal::to_config(range);
    f("value_range", limits)("seed", seed)("data_format", data_format);
    const auto [low, high] = two_numbers(limits);
    lowest = low;
    highest = high;
  }
};
/// Of a factor that may be one number.
class ColorLayer : public ImageLayer<ColorSpec> {
 public:
  using ImageLayer::ImageLayer;

 protected:
  Value cut(Value x) const {
    return graph::minimum(graph::maximum(x, graph::scalar(x, spec_.lowest)), graph::scalar(x, spec_.highest));
  }
};

class RandomBrightnessImpl final : public ColorLayer {
 public:
  explicit RandomBrightnessImpl(ColorSpec spec) : ColorLayer("RandomBrightness", std::move(spec)) {
    Factor& f = spec_.factor;
    if (!f.two) f = {-std::abs(f.upper), std::abs(f.upper)};
    if (!(f.lower >= -1 && f.lower <= f.upper && f.upper <= 1))
      throw ValueError(
          fmt::format("RandomBrightness: factor must be in [-1, 1], the lower one first, but it is ({}, {})",
                      f.lower, f.upper));
  }

 private:
  Value changed(Call& context, Value x) override {
    if (!context.training()) return x;
    const double range = spec_.highest - spec_.lowest;
    return cut(x + draw(context, x, spec_.factor.lower, spec_.factor.upper, spec_.seed) * range);
  }
};

class RandomContrastImpl final : public ColorLayer {
 public:
  explicit RandomContrastImpl(ColorSpec spec) : ColorLayer("RandomContrast", std::move(spec)) {
    const Factor& f = spec_.factor;
    if (!(f.lower >= 0 && f.upper >= 0 && f.lower <= 1))
      throw ValueError(fmt::format(
          "RandomContrast: factors must not be negative, and the lower one at most 1, but they are {} and {}",
          f.lower, f.upper));
    spec_.factor.two = true;  // as Keras writes it
  }

 private:
  Value changed(Call& context, Value x) override {
    if (!context.training()) return x;
    const Value factor = draw(context, x, 1 - spec_.factor.lower, 1 + spec_.factor.upper, spec_.seed);
    const Value mean = graph::reduce_mean(x, {1, 2}, /*keepdims=*/true);
    return cut((x - mean) * factor + mean);
  }
};

struct RandomCropSpec : AugmentationArgs, SizeFields {
  void fields(Fields& f) {
    f.required("height", height).required("width", width)("seed", seed)("data_format", data_format);
  }
};
class RandomCropImpl final : public ImageLayer<RandomCropSpec> {
 public:
  explicit RandomCropImpl(RandomCropSpec spec) : ImageLayer("RandomCrop", std::move(spec)) {
    spec_.SizeFields::check("RandomCrop");
  }

 private:
  Value changed(Call& context, Value x) override {
    const std::int64_t height = x.shape()[1], width = x.shape()[2];
    if (!context.training() || height <= spec_.height || width <= spec_.width) return center(x, spec_);
    const Value top = place(context, height - spec_.height), left = place(context, width - spec_.width);
    const Value zero = graph::full(x.graph(), {DType::i32, {1}}, 0);
    const Value starts[] = {zero, top, left, zero};
    return graph::dynamic_slice(x, graph::concatenate(starts, 0),
                                {x.shape()[0], spec_.height, spec_.width, x.shape()[3]});
  }
  /// A whole number from 0 to `most`.
  Value place(Call& context, std::int64_t most) const {
    const Value uniform = context.random_uniform({1}, DType::f32, spec_.seed);
    const Value number = graph::convert(uniform * static_cast<double>(most + 1), DType::i32);
    return graph::minimum(number, graph::scalar(number, static_cast<double>(most)));
  }
};

}  // namespace

Layer Resizing(std::int64_t height, std::int64_t width, ResizingArgs args) {
  return make_layer<ResizingImpl>(ResizingSpec{std::move(args), {height, width}});
}
Layer CenterCrop(std::int64_t height, std::int64_t width, CenterCropArgs args) {
  return make_layer<CenterCropImpl>(CenterCropSpec{std::move(args), {height, width}});
}
Layer RandomFlip(std::string mode, AugmentationArgs args) {
  return make_layer<RandomFlipImpl>(RandomFlipSpec{std::move(args), std::move(mode)});
}
Layer RandomBrightness(Factor factor, ColorArgs args) {
  return make_layer<RandomBrightnessImpl>(ColorSpec{std::move(args), factor});
}
Layer RandomContrast(Factor factor, ColorArgs args) {
  return make_layer<RandomContrastImpl>(ColorSpec{std::move(args), factor});
}
Layer RandomCrop(std::int64_t height, std::int64_t width, AugmentationArgs args) {
  return make_layer<RandomCropImpl>(RandomCropSpec{std::move(args), {height, width}});
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_image_layers(LayerRegistry& registry) {
  using namespace layers;
  registry.add<ResizingImpl>("Resizing");
  registry.add<CenterCropImpl>("CenterCrop");
  registry.add<RandomFlipImpl>("RandomFlip");
  registry.add<RandomBrightnessImpl>("RandomBrightness");
  registry.add<RandomContrastImpl>("RandomContrast");
  registry.add<RandomCropImpl>("RandomCrop");
}

}  // namespace kiln::internal
