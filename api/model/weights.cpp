#include <fmt/format.h>

#include <algorithm>

#include "api/model/model_impl.h"
#include "api/support/weight_guards.h"
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

std::vector<Variable> variables_of(const std::vector<std::pair<std::string, Variable>>& weights) {
  std::vector<Variable> variables;
  for (const auto& [name, weight] : weights) variables.push_back(weight);
  return variables;
}

}  // namespace

void Model::save_weights(const std::string& path) const {
  for (const char* ending : {".h5", ".hdf5", ".keras"})
    if (path.ends_with(ending))
      throw ValueError(fmt::format(
          "save_weights: \"{}\" ends in \"{}\", but the file is written in the safetensors format, which "
          "Keras doesn't read; name it NAME.safetensors",
          path, ending));
  require_built(*this, "save_weights");
  const auto weights = named_weights();
  const std::vector<Tensor> values = internal::read_weights(variables_of(weights));
  std::vector<files::NamedTensor> tensors;
  for (std::size_t i = 0; i < values.size(); i++) tensors.push_back({weights[i].first, values[i]});
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
          "load_weights: in {} the tensor \"{}\" has shape {}, but the model's weight has shape {}; the file "
          "was saved by a model of another architecture",
          path, name, value->shape().to_string(), weight.shape().to_string()));
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
  std::vector<Tensor> values;
  for (const auto& [name, weight] : weights) values.push_back(*file.find(name));
  internal::write_weights(variables_of(weights), values);
}

}  // namespace kiln
