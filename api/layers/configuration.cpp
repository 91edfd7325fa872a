#include "kiln/layers/configuration.h"

#include <fmt/format.h>

#include <mutex>

#include "api/layers/configured.h"

namespace kiln::layers {
namespace {

const internal::LayerRegistry& built_in() {
  static const auto registry = [] {
    internal::LayerRegistry r;
    internal::register_activation_layers(r);
    internal::register_attention_layers(r);
    internal::register_conv_layers(r);
    internal::register_conv_transpose_layers(r);
    internal::register_dense_layers(r);
    internal::register_depthwise_conv_layers(r);
    internal::register_dropout_layers(r);
    internal::register_embedding_layers(r);
    internal::register_hashing_layers(r);
    internal::register_image_layers(r);
    internal::register_input_layers(r);
    internal::register_lookup_layers(r);
    internal::register_merge_layers(r);
    internal::register_models(r);
    internal::register_normalization_layers(r);
    internal::register_pooling_layers(r);
    internal::register_preprocessing_layers(r);
    internal::register_resampling_layers(r);
    internal::register_rescaling_layers(r);
    internal::register_reshape_layers(r);
    internal::register_spectral_normalization(r);
    internal::register_transform_layers(r);
    return r;
  }();
  return registry;
}

/// Classes of the user's own.
struct OwnLayers {
  std::mutex mutex;
  std::vector<std::pair<std::string, std::function<Layer(const Config&)>>> entries;

  std::function<Layer(const Config&)> find(const std::string& class_name) {
    const std::lock_guard lock(mutex);
    for (const auto& [name, make] : entries)
      if (name == class_name) return make;
    return {};
  }
};
OwnLayers& own_layers() {
  static OwnLayers layers;
  return layers;
}

}  // namespace

void register_layer(const std::string& class_name, std::function<Layer(const Config&)> from_config) {
  OwnLayers& own = own_layers();
  if (built_in().knows(class_name) || own.find(class_name))
    throw ValueError(fmt::format("register_layer: there is a layer class \"{}\" already", class_name));
  if (!from_config)
    throw ValueError(fmt::format("register_layer(\"{}\"): the function is empty", class_name));
  const std::lock_guard lock(own.mutex);
  own.entries.emplace_back(class_name, std::move(from_config));
}

Layer from_config(const std::string& class_name, const Config& config) {
  if (const auto own = own_layers().find(class_name)) return own(config);
  return built_in().make(class_name, config);
}

Config serialize(const Layer& layer) {
  return internal::object_config("keras.layers", layer.class_name(), layer.get_config());
}
Layer deserialize(const Config& config) {
  const std::string& class_name = config.at("class_name").as_string();
  return from_config(class_name, config.at("config"));
}

}  // namespace kiln::layers
