#pragma once
#include <optional>
#include <string>
#include <utility>

#include "api/support/registry.h"
#include "kiln/layer_impl.h"

namespace kiln::internal {

/// The options that a layer's arguments hold, as far as it has them.
template <class Spec>
LayerOptions options_of(const Spec& spec) {
  LayerOptions options{.dtype = spec.dtype, .name = spec.name};
  if constexpr (requires { spec.trainable; }) options.trainable = spec.trainable;
  if constexpr (requires { spec.activity_regularizer; })
    options.activity_regularizer = spec.activity_regularizer;
  return options;
}

/// A layer that is made of a struct of arguments, which names them in a function `fields`:
///
///     struct RescalingSpec : RescalingArgs {
///       double scale = 1;
///       void fields(Fields& f) { f.required("scale", scale)("offset", offset); }
///     };
///     class RescalingImpl final : public ConfiguredLayer<RescalingSpec> { ... };
///
/// One class that stands for several of Keras's has a `class_name` in its struct.
template <class SpecType>
class ConfiguredLayer : public LayerImpl {
 public:
  using Spec = SpecType;
  explicit ConfiguredLayer(Spec spec) : LayerImpl(options_of(spec)), spec_(std::move(spec)) {}

  std::string class_name() const override {
    if constexpr (requires { spec_.class_name; })
      return spec_.class_name;
    else
      return LayerImpl::class_name();
  }
  Config get_config() const override {
    Config config = base_config();
    const Config own = config_of(spec_);
    for (const auto& [key, value] : own.as_dict()) config[key] = value;
    return config;
  }

 protected:
  Spec spec_;
};

/// The layer behind a handle, for functions that only one class has. Throws StateError for another one.
template <class Impl>
Impl& impl_as(const Layer& layer, const char* class_name) {
  auto* impl = dynamic_cast<Impl*>(&layer.impl());
  if (impl == nullptr)
    throw StateError("layer \"" + layer.name() + "\" (" + layer.class_name() + ") is no " + class_name);
  return *impl;
}

/// A configuration as those of Keras's layers write it that take no `trainable`, and name their type only.
inline Config without_trainable(const Config& config) {
  Config::Dict kept;
  for (const auto& [key, value] : config.as_dict())
    if (key == "dtype")
      kept.emplace_back(key, value.at("config").at("name"));
    else if (key != "trainable")
      kept.emplace_back(key, value);
  return kept;
}

/// Floats in a layer's type; other types as they are, as Keras has it.
inline graph::Value floats_in_type(graph::Value x, DType dtype) {
  return is_float(x.dtype()) ? graph::convert(x, dtype) : x;
}

/// The layer of a configuration. `spec`: what the class itself decides.
template <class Impl>
Layer layer_from(Fields& fields, typename Impl::Spec spec = typename Impl::Spec()) {
  std::optional<std::string> name;
  bool trainable = true;
  fields("name", name)("dtype", spec.dtype)("trainable", trainable);
  spec.name = name.value_or("");
  spec.fields(fields);
  Layer layer = make_layer<Impl>(std::move(spec));
  if (!trainable) layer.set_trainable(false);
  return layer;
}

/// The layers that `layers::deserialize` knows, by class name. Each file of layers adds its own.
class LayerRegistry : public Registry<Layer> {
 public:
  LayerRegistry() : Registry("layer class") {}
  void add(std::string class_name, Make make) { Registry::add({std::move(class_name)}, std::move(make)); }
  template <class Impl>
  void add(std::string class_name) {
    add(std::move(class_name), [](Fields& f) { return layer_from<Impl>(f); });
  }
};

void register_activation_layers(LayerRegistry& registry);
void register_attention_layers(LayerRegistry& registry);
void register_conv_layers(LayerRegistry& registry);
void register_conv_transpose_layers(LayerRegistry& registry);
void register_dense_layers(LayerRegistry& registry);
void register_depthwise_conv_layers(LayerRegistry& registry);
void register_dropout_layers(LayerRegistry& registry);
void register_embedding_layers(LayerRegistry& registry);
void register_hashing_layers(LayerRegistry& registry);
void register_image_layers(LayerRegistry& registry);
void register_input_layers(LayerRegistry& registry);
void register_lookup_layers(LayerRegistry& registry);
void register_merge_layers(LayerRegistry& registry);
void register_models(LayerRegistry& registry);
void register_normalization_layers(LayerRegistry& registry);
void register_pooling_layers(LayerRegistry& registry);
void register_preprocessing_layers(LayerRegistry& registry);
void register_resampling_layers(LayerRegistry& registry);
void register_rescaling_layers(LayerRegistry& registry);
void register_reshape_layers(LayerRegistry& registry);
void register_spectral_normalization(LayerRegistry& registry);
void register_transform_layers(LayerRegistry& registry);

}  // namespace kiln::internal
