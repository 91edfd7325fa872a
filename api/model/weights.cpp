#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "api/model/model_impl.h"
#include "kiln/files/safetensors.h"

namespace kiln {
namespace {

void require_built(const Model& model, const char* caller) {
  if (!model.model_impl().connected())
    throw StateError(
        fmt::format("{}: model \"{}\" has no weights yet; put an Input in front, or call "
                    "build({{None, ...}})",
                    caller, model.name()));
}

}  // namespace

std::vector<Tensor> Model::get_weights() const {
  const std::shared_lock lock(model_impl().weights_mutex());
  return Layer::get_weights();
}

void Model::set_weights(const std::vector<Tensor>& values) {
  const std::unique_lock lock(model_impl().weights_mutex());
  Layer::set_weights(values);
}

void Model::save_weights(const std::string& path) const {
  require_built(*this, "save_weights");
  std::vector<files::NamedTensor> tensors;
  {
    const std::shared_lock lock(model_impl().weights_mutex());
    for (const auto& [name, weight] : named_weights()) tensors.push_back({name, weight.value()});
  }
  files::save_safetensors(path, tensors, {{"format", "kiln"}});
}

void Model::load_weights(const std::string& path) {
  require_built(*this, "load_weights");
  const files::Safetensors file = files::load_safetensors(path);
  const auto weights = named_weights();
  std::string missing, unknown;
  for (const auto& [name, weight] : weights) {
    const Tensor* value = file.find(name);
    if (value == nullptr) {
      missing += fmt::format("{}\"{}\"", missing.empty() ? "" : ", ", name);
    } else if (value->shape() != weight.shape()) {
      throw ShapeError(fmt::format(
          "load_weights: in {} the tensor \"{}\" has shape {}, but the model's weight has shape {}", path,
          name, value->shape().to_string(), weight.shape().to_string()));
    }
  }
  for (const files::NamedTensor& t : file.tensors)
    if (std::none_of(weights.begin(), weights.end(), [&](const auto& w) { return w.first == t.name; }))
      unknown += fmt::format("{}\"{}\"", unknown.empty() ? "" : ", ", t.name);
  if (!missing.empty() || !unknown.empty())
    throw FileError(fmt::format("load_weights: {} doesn't fit model \"{}\": {}{}{}{}{}", path, name(),
                                missing.empty() ? "" : "it lacks ", missing,
                                missing.empty() || unknown.empty() ? "" : "; ",
                                unknown.empty() ? "" : "the model lacks ", unknown));
  const std::unique_lock lock(model_impl().weights_mutex());
  for (const auto& [name, weight] : weights) Variable(weight).assign(*file.find(name));
}

}  // namespace kiln
