#pragma once
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "api/layers/configured.h"
#include "api/layers/spatial.h"
#include "kiln/layers/images.h"

/// What layers over images have in common.
namespace kiln::layers {

/// A layer over images: four axes, of which it sees the channels last.
template <class Spec>
class ImageLayer : public internal::ConfiguredLayer<Spec> {
 public:
  ImageLayer(const char* class_name, Spec spec) : internal::ConfiguredLayer<Spec>(std::move(spec)) {
    internal::check_data_format(class_name, this->spec_.data_format);
  }
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs) internal::check_spatial_axes(this->name(), 2, this->spec_.data_format, x);
  }
  graph::Value call(Call& context, graph::Value x) final {
    x = internal::channels_last(this->spec_.data_format, x);
    return internal::from_channels_last(this->spec_.data_format, changed(context, x));
  }

 protected:
  virtual graph::Value changed(Call& context, graph::Value x) = 0;
};

/// One for each image, of shape (N, 1, ...) with `axes` axes, in [low, high).
inline graph::Value draw(Call& context, graph::Value x, double low, double high,
                         std::optional<std::int64_t> seed, int axes = 4) {
  Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(axes), 1));
  shape[0] = x.shape()[0];
  return low + (high - low) * context.random_uniform(shape, x.dtype(), seed);
}

inline std::array<double, 2> two_numbers(const Config& list) {
  if (list.as_list().size() != 2) throw ValueError(fmt::format("{} should have two numbers", list.to_json()));
  return {list.as_list()[0].as_number(), list.as_list()[1].as_number()};
}

// A factor is one number, or a list of two.
inline Config to_config(const Factor& factor) {
  return factor.two ? Config(Config::List{factor.lower, factor.upper}) : Config(factor.upper);
}
inline void from_config(const Config& config, Factor& factor) {
  if (config.is_number()) {
    factor = config.as_number();
  } else {
    const auto [lower, upper] = two_numbers(config);
    factor = {lower, upper};
  }
}

}  // namespace kiln::layers
