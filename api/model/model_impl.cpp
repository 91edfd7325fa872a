#include "api/model/model_impl.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "api/layers/input.h"
#include "api/model/predictor.h"
#include "api/model/trainer.h"

namespace kiln {

using graph::Value;
using internal::Application;

namespace {

// Walks from the outputs back to the inputs.
class Walk {
 public:
  explicit Walk(const std::vector<SymbolicTensor>& inputs) {
    for (const SymbolicTensor& x : inputs) inputs_.insert({x.data().from.get(), x.data().output});
  }

  void visit(const SymbolicTensor& tensor) {
    const auto& application = tensor.data().from;
    if (!seen_.insert(application.get()).second) return;
    order_of_visit_.push_back(application.get());
    if (!inputs_.contains({application.get(), tensor.data().output})) {
      if (application->inputs.empty())
        throw StateError(
            fmt::format("Model: an output needs the tensor of layer \"{}\", which is not among the inputs; "
                        "name it in .inputs = {{...}}",
                        application->layer.name()));
      for (const SymbolicTensor& x : application->inputs) visit(x);
    }
    applications.push_back(application);
  }

  // Each needed application after those it needs.
  std::vector<std::shared_ptr<const Application>> applications;

  std::size_t visited_at(const Application* a) const {
    return static_cast<std::size_t>(std::find(order_of_visit_.begin(), order_of_visit_.end(), a) -
                                    order_of_visit_.begin());
  }

 private:
  std::set<std::pair<const Application*, int>> inputs_;
  std::set<const Application*> seen_;
  std::vector<const Application*> order_of_visit_;
};

}  // namespace

ModelImpl::ModelImpl(LayerOptions options)
    : LayerImpl(std::move(options)), predictor_(std::make_unique<internal::Predictor>(*this)) {}
ModelImpl::~ModelImpl() = default;

void internal::require_own_name(const std::string& model, std::span<const Layer> layers, const Layer& added) {
  const auto same = std::find_if(layers.begin(), layers.end(),
                                 [&](const Layer& other) { return other.name() == added.name(); });
  if (same == layers.end()) return;
  std::string hint;
  if (*same == added)
    hint = " (the same layer was added twice; a shared layer needs the functional Model)";
  else if (!same->impl().named_by_user() || !added.impl().named_by_user())
    hint = fmt::format(
        "; one of them got this name by itself, from its class and the number of such layers so far: name "
        "the "
        "other differently, e.g. {{.name = \"my_{}\"}}",
        added.name());
  throw ValueError(fmt::format("{}: two layers are named \"{}\"; names must be unique in a model{}", model,
                               added.name(), hint));
}

void ModelImpl::connect(std::vector<SymbolicTensor> inputs, std::vector<SymbolicTensor> outputs) {
  if (inputs.empty() || outputs.empty()) throw ValueError("Model: give at least one input and one output");
  for (const auto* list : {&inputs, &outputs})
    for (const SymbolicTensor& x : *list)
      if (!x.defined())
        throw StateError("Model: an input or output is an empty SymbolicTensor; start from Input(...)");
  for (const SymbolicTensor& x : inputs)
    if (internal::as_input(x.layer()) == nullptr)
      throw ValueError(
          fmt::format("Model: the tensor of layer \"{}\" can't be an input; inputs come from Input(...)",
                      x.layer().name()));
  for (const SymbolicTensor& x : inputs)
    if (std::count(inputs.begin(), inputs.end(), x) > 1)
      throw ValueError(fmt::format(
          "Model: the tensor of layer \"{}\" is among the inputs twice; name it once", x.layer().name()));
  Walk walk(inputs);
  for (const SymbolicTensor& y : outputs) walk.visit(y);
  for (const SymbolicTensor& x : inputs) walk.visit(x);

  // Depth: the longest way to an output. Keras lists layers by falling depth, and within one by the walk's
  // order.
  std::map<const Application*, int> depth;
  for (auto it = walk.applications.rbegin(); it != walk.applications.rend(); ++it)
    for (const SymbolicTensor& x : (*it)->inputs) {
      int& d = depth[x.data().from.get()];
      d = std::max(d, depth[it->get()] + 1);
    }
  inputs_ = std::move(inputs);
  outputs_ = std::move(outputs);
  applications_ = walk.applications;
  depths_.clear();
  for (const auto& a : applications_) depths_.push_back(depth[a.get()]);

  std::vector<std::size_t> order(applications_.size());
  for (std::size_t i = 0; i < order.size(); i++) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (depths_[a] != depths_[b]) return depths_[a] > depths_[b];
    return walk.visited_at(applications_[a].get()) < walk.visited_at(applications_[b].get());
  });
  layers_.clear();
  for (std::size_t i : order) {
    const Layer& layer = applications_[i]->layer;
    if (std::find(layers_.begin(), layers_.end(), layer) != layers_.end()) continue;
    internal::require_own_name("Model", layers_, layer);
    layers_.push_back(layer);
  }
  guarded_weights_ = Layer(shared_from_this()).weights();
  weight_guards_ = internal::WeightGuards::made_for(guarded_weights_);
  mark_built();
  connected_ = true;
}

void ModelImpl::disconnect() {
  connected_ = false;
  inputs_.clear();
  outputs_.clear();
  applications_.clear();
  depths_.clear();
  predictor_ = std::make_unique<internal::Predictor>(*this);
  if (trainer_) trainer_->forget_steps();
}

void ModelImpl::require_not_fitting(const char* caller) const {
  if (fits_ > 0)
    throw StateError(fmt::format(
        "{}: model \"{}\" is being fitted; do this before or after fit, not in a callback", caller, name()));
}

void ModelImpl::build_for(std::span<const Shape>) {}

void ModelImpl::build_all(std::span<const Shape> inputs) {
  build_for(inputs);
}

void ModelImpl::check(std::span<const Shape> inputs) const {
  if (const std::string reason = mismatch(inputs); !reason.empty()) throw ShapeError(reason);
}

namespace {

// Are these one sample's sizes, where a batch has one more in front? A last axis of size 1 may have been
// added.
bool is_one_sample(const Shape& shape, const Shape& sample) {
  const auto is_like = [&](const Shape& s) {
    bool alike = s.rank() == sample.rank();
    for (int i = 0; alike && i < s.rank(); i++) alike = sample.dim(i) == None || s.dim(i) == sample.dim(i);
    return alike;
  };
  return is_like(shape) ||
         (shape.rank() > 0 && shape.back() == 1 && is_like(shape.slice(0, shape.rank() - 1)));
}

std::string sizes_text(const Shape& shape) {
  std::string text;
  for (std::int64_t d : shape.sizes())
    text += fmt::format("{}{}", text.empty() ? "" : ", ", d == None ? "n" : std::to_string(d));
  return text;
}

}  // namespace

std::string ModelImpl::mismatch(std::span<const Shape> inputs) const {
  if (!connected()) return "";
  if (inputs.size() != inputs_.size())
    return fmt::format("model \"{}\" takes {}, but got {}", name(),
                       inputs_.size() == 1 ? "one input" : fmt::format("{} inputs", inputs_.size()),
                       inputs.size());
  for (std::size_t i = 0; i < inputs.size(); i++) {
    const Shape& expected = inputs_[i].shape();
    bool fits = inputs[i].rank() == expected.rank();
    for (int axis = 0; fits && axis < expected.rank(); axis++) {
      const std::int64_t want = expected.dim(axis);
      const std::int64_t have = inputs[i].dim(axis);
      fits = want == None || have == None || want == have;
    }
    if (fits) continue;
    const bool one_sample =
        inputs[i].rank() == 1 && expected.rank() == 2 && inputs[i].dim(0) == expected.dim(1);
    const bool one_image = expected.rank() > 2 && is_one_sample(inputs[i], expected.tail());
    return fmt::format(
        "Input {} of model \"{}\" is incompatible with it: expected shape={}, found shape={}{}", i, name(),
        expected.to_string(), inputs[i].to_string(),
        one_sample
            ? fmt::format(". For one sample of {0} features write Tensor(v, {{1, {0}}})", inputs[i].dim(0))
        : one_image ? fmt::format(". For one sample write x.reshape({{1, {}}})", sizes_text(expected.tail()))
                    : "");
  }
  return "";
}

void ModelImpl::require_known_weights(const Call& call) const {
  for (const Variable& w : call.variables())
    if (w.guard() == nullptr)  // which the weights of every model have
      throw StateError(fmt::format(
          "model \"{}\" uses the weight \"{}\", which no layer of it has, nor of another model, so that it "
          "would neither be trained nor saved. A layer of your own makes its weights and its inner layers in "
          "`build` or before, not in `call`, and gives its inner layers by overriding `sublayers`",
          name(), w.path()));
}

void ModelImpl::emit_prediction(Call& call, std::span<const graph::Type> inputs) {
  std::vector<Value> x;
  for (std::size_t i = 0; i < inputs.size(); i++)
    x.push_back(call.graph().input(fmt::format("x{}", i), inputs[i]));
  const std::vector<Value> y = call_all(call, x);
  require_known_weights(call);
  for (std::size_t i = 0; i < y.size(); i++) call.graph().output(fmt::format("y{}", i), y[i]);
}

std::vector<Value> ModelImpl::call_all(Call& call, std::span<const Value> xs) {
  std::map<std::pair<const Application*, int>, Value> values;
  for (std::size_t i = 0; i < inputs_.size(); i++) {
    Value x = xs[i];
    if (x.dtype() != inputs_[i].dtype()) x = graph::convert(x, inputs_[i].dtype());
    values[{inputs_[i].data().from.get(), inputs_[i].data().output}] = x;
  }
  for (const auto& application : applications_) {
    if (application->inputs.empty()) continue;
    std::vector<Value> operands;
    for (const SymbolicTensor& x : application->inputs)
      operands.push_back(values.at({x.data().from.get(), x.data().output}));
    const std::vector<Value> results = application->layer.impl().emit(call, operands);
    for (std::size_t i = 0; i < results.size(); i++)
      values[{application.get(), static_cast<int>(i)}] = results[i];
  }
  std::vector<Value> outputs;
  for (const SymbolicTensor& y : outputs_)
    outputs.push_back(values.at({y.data().from.get(), y.data().output}));
  return outputs;
}

void ModelImpl::set_trainable(bool trainable) {
  LayerImpl::set_trainable(trainable);
  for (const Layer& layer : layers_) layer.impl().set_trainable(trainable);
}

std::vector<std::string> ModelImpl::output_names() const {
  std::vector<std::string> names;
  for (const SymbolicTensor& y : outputs_) names.push_back(y.layer().name());
  return names;
}

internal::Trainer& ModelImpl::trainer(const char* caller) const {
  if (!trainer_)
    throw StateError(fmt::format("model \"{}\": call compile({{.optimizer = ..., .loss = ...}}) before {}",
                                 name(), caller));
  return *trainer_;
}

void ModelImpl::set_trainer(std::unique_ptr<internal::Trainer> trainer) {
  trainer_ = std::move(trainer);
}

}  // namespace kiln
