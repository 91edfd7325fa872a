#include "kiln/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "api/layers/input.h"
#include "api/model/model_impl.h"
#include "api/model/predictor.h"
#include "api/model/trainer.h"
#include "api/support/names.h"

namespace kiln {
namespace {

std::shared_ptr<ModelImpl> make_functional(ModelArgs args) {
  auto impl = std::make_shared<ModelImpl>(LayerOptions{.name = args.name});
  impl->assign_name();
  impl->connect(std::move(args.inputs), std::move(args.outputs));
  return impl;
}

void collect_names(const Layer& layer, const std::string& prefix,
                   std::vector<std::pair<std::string, Variable>>& out) {
  for (const Variable& w : layer.impl().own_weights()) out.emplace_back(prefix + w.name(), w);
  // Names given by Kiln count all layers of the program; in a file they count this model's layers of the
  // class, but pass over names that the user gave.
  std::map<std::string, int> counts;
  std::set<std::string> taken;
  for (const Layer& inner : layer.impl().sublayers())
    if (inner.impl().named_by_user()) taken.insert(inner.name());
  for (const Layer& inner : layer.impl().sublayers()) {
    std::string name = inner.name();
    if (!inner.impl().named_by_user()) {
      const std::string stem = internal::snake_case(inner.class_name());
      do {
        const int n = counts[stem]++;
        name = n == 0 ? stem : fmt::format("{}_{}", stem, n);
      } while (!taken.insert(name).second);
    }
    collect_names(inner, prefix + name + "/", out);
  }
}

}  // namespace

Model::Model(ModelArgs args) : Layer(make_functional(std::move(args))) {}
Model::Model(const Layer& layer) : Layer(layer) {
  if (dynamic_cast<ModelImpl*>(&layer.impl()) == nullptr)
    throw TypeError(
        fmt::format("layer \"{}\" is no model, but of class {}", layer.name(), layer.class_name()));
}
Model::Model(std::shared_ptr<ModelImpl> impl) : Layer(std::move(impl)) {}

ModelImpl& Model::model_impl() const {
  if (!defined()) throw StateError("an empty Model handle was used; make a model first");
  return static_cast<ModelImpl&>(impl());
}

void Model::compile(CompileArgs args) {
  ModelImpl& model = model_impl();
  model.require_not_fitting("compile");
  model.set_trainer(std::make_unique<internal::Trainer>(model, std::move(args)));
}

Optimizer Model::optimizer() const {
  return model_impl().trainer("optimizer").optimizer();
}
std::vector<std::string> Model::metrics_names() const {
  return model_impl().trainer("metrics_names").metrics_names();
}
std::vector<std::shared_ptr<const runtime::Program>> Model::programs() const {
  ModelImpl& model = model_impl();
  std::vector<std::shared_ptr<const runtime::Program>> programs;
  if (model.compiled()) programs = model.trainer("programs").programs();
  for (auto& program : model.predictor().programs()) programs.push_back(std::move(program));
  return programs;
}
void Model::stop_training() {
  model_impl().stop_training = true;
}

void Model::build(const Shape& input_shape) {
  const Shape shapes[] = {input_shape};
  model_impl().build_once(shapes);
  model_impl().check(shapes);
}

std::vector<Layer> Model::layers() const {
  std::vector<Layer> layers = model_impl().layers();
  if (model_impl().sequential() && !layers.empty() && internal::as_input(layers[0]) != nullptr)
    layers.erase(layers.begin());
  return layers;
}

Layer Model::get_layer(const std::string& name) const {
  const std::vector<Layer> all = layers();
  std::vector<std::string_view> known;
  for (const Layer& layer : all) {
    if (layer.name() == name) return layer;
    known.push_back(layer.name());
  }
  internal::unknown_name(fmt::format("model \"{}\": layer", this->name()), name, known);
}

Layer Model::get_layer(std::int64_t index) const {
  const std::vector<Layer> all = layers();
  const auto count = static_cast<std::int64_t>(all.size());
  if (index < -count || index >= count)
    throw ShapeError(
        fmt::format("model \"{}\" has {} layers; there is none at index {}", name(), count, index));
  return all[static_cast<std::size_t>(index < 0 ? index + count : index)];
}

namespace {

SymbolicTensor only(const Model& model, const std::vector<SymbolicTensor>& tensors, const char* what) {
  if (tensors.empty())
    throw StateError(fmt::format(
        "model \"{}\" has no {} yet: it isn't built; give it an Input, or call build", model.name(), what));
  if (tensors.size() > 1)
    throw StateError(
        fmt::format("model \"{0}\" has {1} {2}s; `{2}` is for models with one, `{2}s` has them all",
                    model.name(), tensors.size(), what));
  return tensors[0];
}

}  // namespace

SymbolicTensor Model::input() const {
  return only(*this, inputs(), "input");
}
SymbolicTensor Model::output() const {
  return only(*this, outputs(), "output");
}
const std::vector<SymbolicTensor>& Model::inputs() const {
  return model_impl().inputs();
}
const std::vector<SymbolicTensor>& Model::outputs() const {
  return model_impl().outputs();
}

std::vector<std::pair<std::string, Variable>> Model::named_weights() const {
  std::vector<std::pair<std::string, Variable>> all, unique;
  collect_names(*this, "", all);
  for (auto& entry : all)
    if (std::none_of(unique.begin(), unique.end(), [&](const auto& u) { return u.second == entry.second; }))
      unique.push_back(std::move(entry));
  return unique;
}

}  // namespace kiln
