#pragma once
#include <functional>
#include <string>

#include "kiln/layer.h"

/// Layers as configurations, with Keras's keys.
namespace kiln::layers {

/// The layer of a class with these arguments, as `Layer::get_config` gives them: without its weights' values.
/// Throws ValueError for a class or an argument that isn't known or that lacks, and for values that the class
/// can't take.
KILN_API Layer from_config(const std::string& class_name, const Config& config);

/// The whole of a layer, class and arguments: {"module", "class_name", "config", "registered_name"}.
KILN_API Config serialize(const Layer& layer);
/// A layer from what `serialize` gives, in Kiln or in Keras.
KILN_API Layer deserialize(const Config& config);

/// Makes a layer class of your own known to `from_config` and `deserialize`; the function gets what its
/// `get_config` gave. Throws ValueError for a name that is taken.
KILN_API void register_layer(const std::string& class_name, std::function<Layer(const Config&)> from_config);

}  // namespace kiln::layers
