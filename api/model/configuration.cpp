// Models as configurations, in the form of Keras's to_json: which layers there are, and who is applied to
// what.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "api/layers/configured.h"
#include "api/layers/input.h"
#include "api/model/model_impl.h"
#include "kiln/layers/configuration.h"
#include "kiln/sequential.h"

namespace kiln {
namespace {

using internal::Application;

/// Where a tensor comes from: the layer's name, which of its applications in the model, which of its results.
using History = std::tuple<std::string, std::int64_t, std::int64_t>;

// ---- writing ----------------------------------------------------------------------------------------------

class Writer {
 public:
  explicit Writer(const ModelImpl& model) : model_(model) {
    std::map<std::string, std::int64_t> count;
    for (const auto& application : model.applications())
      number_[application.get()] = count[application->layer.name()]++;
  }

  Config functional() const {
    Config::List layers;
    for (const Layer& layer : model_.layers()) {
      Config entry = layers::serialize(layer);
      entry["name"] = layer.name();
      Config::List nodes;
      for (const auto& application : model_.applications())
        if (application->layer == layer && !application->inputs.empty()) nodes.push_back(node(*application));
      entry["inbound_nodes"] = nodes;
      layers.push_back(std::move(entry));
    }
    return Config::Dict{{"name", model_.name()},
                        {"trainable", model_.trainable()},
                        {"layers", layers},
                        {"input_layers", histories(model_.inputs())},
                        {"output_layers", histories(model_.outputs())}};
  }

 private:
  Config history(const SymbolicTensor& x) const {
    const internal::SymbolicData& data = x.data();
    return Config::List{data.from->layer.name(), number_.at(data.from.get()), data.output};
  }
  Config histories(const std::vector<SymbolicTensor>& tensors) const {
    Config::List list;
    for (const SymbolicTensor& x : tensors) list.push_back(history(x));
    return list;
  }
  Config node(const Application& application) const {
    Config::List tensors;
    for (const SymbolicTensor& x : application.inputs) {
      const Config config = Config::Dict{{"shape", internal::to_config(x.shape())},
                                         {"dtype", std::string(name(x.dtype()))},
                                         {"keras_history", history(x)}};
      tensors.push_back(Config::Dict{{"class_name", "__keras_tensor__"}, {"config", config}});
    }
    // Keras's layers for several inputs take them as one list, but for these, which take them one by one.
    const std::string kind = application.layer.class_name();
    const bool one_by_one =
        tensors.size() == 1 || kind == "MultiHeadAttention" || kind == "GroupedQueryAttention";
    const Config args = one_by_one ? Config(tensors) : Config(Config::List{tensors});
    return Config::Dict{{"args", args}, {"kwargs", Config::Dict()}};
  }

  const ModelImpl& model_;
  std::map<const Application*, std::int64_t> number_;
};

Config sequential_config(const ModelImpl& model) {
  Config::List layers;
  for (const Layer& layer : model.layers()) layers.push_back(layers::serialize(layer));
  Config config = Config::Dict{{"name", model.name()}, {"trainable", model.trainable()}, {"layers", layers}};
  if (model.connected()) config["build_input_shape"] = internal::to_config(model.inputs()[0].shape());
  return config;
}

// ---- reading ----------------------------------------------------------------------------------------------

History history_of(const Config& config) {
  const Config::List& parts = config.as_list();
  if (parts.size() != 3)
    throw ValueError(fmt::format(
        "a model's configuration has {} where [layer, application, result] is expected", config.to_json()));
  return {parts[0].as_string(), parts[1].as_int(), parts[2].as_int()};
}

/// One or several.
std::vector<History> histories_of(const Config& config) {
  if (!config.as_list().empty() && config.as_list()[0].is_string()) return {history_of(config)};
  std::vector<History> list;
  for (const Config& item : config.as_list()) list.push_back(history_of(item));
  return list;
}

/// The tensors among the arguments of a call, in their order. Other arguments change what a layer does: only
/// those that are null or false may be there.
void find_tensors(const std::string& layer, const Config& argument, std::vector<History>& found) {
  if (argument.is_list()) {
    for (const Config& item : argument.as_list()) find_tensors(layer, item, found);
  } else if (argument.is_dict() && argument.find("class_name") != nullptr &&
             argument.at("class_name") == Config("__keras_tensor__")) {
    found.push_back(history_of(argument.at("config").at("keras_history")));
  } else if (!argument.is_null() && argument != Config(false)) {
    throw ValueError(
        fmt::format("the configuration of layer \"{}\": its call has the argument {}, which isn't supported",
                    layer, argument.to_json()));
  }
}

class Reader {
 public:
  Model functional(const Config& config) {
    for (const Config& entry : config.at("layers").as_list()) add(entry);
    for (bool progress = true; progress && !pending_.empty();) {
      progress = false;
      for (std::size_t i = 0; i < pending_.size();) {
        if (!apply(pending_[i])) {
          i++;
          continue;
        }
        pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(i));
        progress = true;
      }
    }
    if (!pending_.empty())
      throw ValueError(
          fmt::format("a model's configuration applies layer \"{}\" to a tensor that no layer makes",
                      pending_.front().layer));
    const Config* name = config.find("name");
    return Model({.inputs = tensors(config.at("input_layers")),
                  .outputs = tensors(config.at("output_layers")),
                  .name = name == nullptr ? "" : name->as_string()});
  }

 private:
  struct Node {
    std::string layer;
    std::vector<History> inputs;
  };

  void add(const Config& entry) {
    const Layer layer = layers::deserialize(entry);
    const Config* given = entry.find("name");
    const std::string name = given == nullptr ? layer.name() : given->as_string();
    if (internal::as_input(layer) != nullptr) tensors_[{name, 0, 0}] = internal::input_tensor(layer);
    for (const Config& node : entry.at("inbound_nodes").as_list()) {
      Node call{name, {}};
      find_tensors(name, node.at("args"), call.inputs);
      if (const Config* kwargs = node.find("kwargs"))
        for (const auto& [key, value] : kwargs->as_dict()) find_tensors(name, value, call.inputs);
      if (!call.inputs.empty()) pending_.push_back(std::move(call));
    }
    layers_[name] = layer;
  }

  /// An application once all of its inputs are there. A layer's nodes come in their order.
  bool apply(const Node& node) {
    std::vector<SymbolicTensor> inputs;
    for (const History& from : node.inputs) {
      const auto tensor = tensors_.find(from);
      if (tensor == tensors_.end()) return false;
      inputs.push_back(tensor->second);
    }
    const std::int64_t number = applied_[node.layer]++;
    std::int64_t result = 0;
    for (const SymbolicTensor& y : layers_.at(node.layer).apply(inputs))
      tensors_[{node.layer, number, result++}] = y;
    return true;
  }

  std::vector<SymbolicTensor> tensors(const Config& config) const {
    std::vector<SymbolicTensor> list;
    for (const History& from : histories_of(config)) {
      const auto tensor = tensors_.find(from);
      if (tensor == tensors_.end())
        throw ValueError(
            fmt::format("a model's configuration names the tensor of layer \"{}\" as input or output, but "
                        "it has no such tensor",
                        std::get<0>(from)));
      list.push_back(tensor->second);
    }
    return list;
  }

  std::map<std::string, Layer> layers_;
  std::map<History, SymbolicTensor> tensors_;
  std::map<std::string, std::int64_t> applied_;
  std::vector<Node> pending_;
};

Model sequential_from(const Config& config) {
  const Config* name = config.find("name");
  Sequential model({}, {.name = name == nullptr ? "" : name->as_string()});
  for (const Config& entry : config.at("layers").as_list()) model.add(layers::deserialize(entry));
  const Config* shape = config.find("build_input_shape");
  if (shape == nullptr || shape->is_null() || static_cast<const ModelImpl&>(model.impl()).connected())
    return model;
  Shape input;
  internal::from_config(*shape, input);
  model.build(input);
  return model;
}

}  // namespace

Config ModelImpl::get_config() const {
  if (sequential()) return sequential_config(*this);
  return Writer(*this).functional();
}

Model model_from_config(const std::string& class_name, const Config& config) {
  const Model model = class_name == "Sequential" ? sequential_from(config) : Reader().functional(config);
  const Config* trainable = config.find("trainable");
  if (trainable != nullptr && *trainable == Config(false)) Layer(model).set_trainable(false);
  return model;
}

std::string Model::to_json(int indent) const {
  Config whole = layers::serialize(*this);
  whole["module"] = "keras";
  return whole.to_json(indent);
}
Model model_from_json(std::string_view text) {
  const Config whole = Config::from_json(text);
  const std::string& class_name = whole.at("class_name").as_string();
  return model_from_config(class_name, whole.at("config"));
}
Model clone_model(const Model& model) {
  return model_from_config(model.class_name(), model.get_config());
}

namespace internal {

void register_models(LayerRegistry& registry) {
  for (const char* class_name : {"Sequential", "Functional", "Model"})
    registry.add(class_name, [=](Fields& f) -> Layer { return model_from_config(class_name, f.all()); });
}

}  // namespace internal
}  // namespace kiln
