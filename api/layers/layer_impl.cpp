#include "kiln/layer_impl.h"

#include <fmt/format.h>

#include <algorithm>
#include <numbers>
#include <typeinfo>

#include "api/layers/symbolic.h"
#include "api/support/fields.h"
#include "api/support/names.h"

namespace kiln {

using graph::Value;

// ---- Call -------------------------------------------------------------------------------------------------

Call::Call(graph::Graph& graph, bool training, Tensor key)
    : graph_(graph), training_(training), key_storage_(std::move(key)) {
  if (!key_storage_.defined()) key_storage_ = Tensor::zeros({2}, DType::i64);
}

Call::State& Call::find_state(const std::string& name, const Tensor& storage) {
  for (State& s : states_)
    if (s.storage.raw() == storage.raw() && s.storage.shape() == storage.shape() &&
        s.storage.dtype() == storage.dtype())
      return s;
  states_.push_back({storage, {graph_.state(name, {storage.dtype(), storage.shape()})}});
  return states_.back();
}

void Call::update(Value now, Value next) {
  const auto found =
      std::find_if(states_.begin(), states_.end(), [&](const State& s) { return s.values.back() == now; });
  if (found == states_.end())
    throw StateError(
        "Call::update: the first value is no state as it is now; take what `state` gives after the last "
        "update");
  graph_.update(found->values.front(), next);
  // Who reads it later has a weight of its own before it, not what the update was made of; and two states
  // that got the same value stay apart.
  found->values.push_back(graph::stop_gradient(next));
}

std::vector<Tensor> Call::storage() const {
  std::vector<Tensor> storage;
  for (const State& s : states_) storage.push_back(s.storage);
  return storage;
}

Value Call::state(const std::string& name, const Tensor& storage) {
  return find_state(name, storage).values.back();
}

std::vector<Value> Call::values(const Variable& weight) {
  if (!weight.defined())
    throw StateError(
        fmt::format("layer \"{}\": `call` uses a weight that `build` didn't make", graph_.label));
  if (std::find(variables_.begin(), variables_.end(), weight) == variables_.end())
    variables_.push_back(weight);
  return find_state(graph_.label + "/" + weight.name(), weight.storage()).values;
}

Value Call::operator()(const Variable& weight) {
  return values(weight).back();
}

void Call::add_loss(Value loss) {
  if (!loss || loss.rank() != 0)
    throw ShapeError(fmt::format("layer \"{}\": add_loss takes a value of rank 0, but got {}", graph_.label,
                                 loss ? "shape " + loss.shape().to_string() : "an empty Value"));
  losses_.push_back(loss);
  loss_layers_.push_back(layer_);
}

void Call::assign(const Variable& weight, Value value) {
  const Value old = (*this)(weight);
  if (value.shape() != old.shape())
    throw ShapeError(fmt::format("layer \"{}\": weight \"{}\" has shape {}, but is assigned shape {}",
                                 graph_.label, weight.name(), old.shape().to_string(),
                                 value.shape().to_string()));
  if (value.dtype() != old.dtype())
    throw TypeError(fmt::format("layer \"{}\": weight \"{}\" is {}, but is assigned {}; convert the value",
                                graph_.label, weight.name(), kiln::name(old.dtype()),
                                kiln::name(value.dtype())));
  update(old, value);
}

Value Call::random_uniform(const Shape& shape, DType dtype, std::optional<std::int64_t> seed) {
  if (!key_) key_ = state("random_counter", key_storage_);
  Value key = key_;
  if (seed) {
    const Value parts[] = {graph::constant(graph_, Tensor({*seed})), graph::slice(key_, {1}, {2})};
    key = graph::concatenate(parts, 0);
  }
  return graph::random_uniform(key, shape, next_stream_++, dtype);
}

Value Call::random_normal(const Shape& shape, DType dtype, std::optional<std::int64_t> seed) {
  // 1 - u is never 0.
  const Value radius = graph::sqrt(-2.0 * graph::log(1.0 - random_uniform(shape, dtype, seed)));
  return radius * graph::cos(2 * std::numbers::pi * random_uniform(shape, dtype, seed));
}

// ---- LayerImpl --------------------------------------------------------------------------------------------

LayerImpl::LayerImpl(LayerOptions options) : options_(std::move(options)) {}
LayerImpl::~LayerImpl() = default;

void LayerImpl::assign_name() {
  named_by_user_ = !options_.name.empty();
  if (options_.name.find('/') != std::string::npos)
    throw ValueError(fmt::format(
        "layer name \"{}\": a name cannot contain the character \"/\", which separates a layer from "
        "its weights in files",
        options_.name));
  name_ = named_by_user_ ? options_.name : internal::unique_name(internal::snake_case(class_name()));
}

Config LayerImpl::base_config() const {
  return Config::Dict{
      {"name", name_}, {"trainable", options_.trainable}, {"dtype", internal::to_config(options_.dtype)}};
}
Config LayerImpl::get_config() const {
  internal::not_serializable("layer", class_name());
}

std::string LayerImpl::class_name() const {
  return internal::plain_class_name(typeid(*this).name());
}

void LayerImpl::build(const Shape&) {}
void LayerImpl::build_all(std::span<const Shape> inputs) {
  if (inputs.size() != 1)
    throw ShapeError(
        fmt::format("layer \"{}\" ({}) takes one input, but got {}", name_, class_name(), inputs.size()));
  build(inputs[0]);
}
void LayerImpl::check(std::span<const Shape>) const {}

Value LayerImpl::call(Call&, Value) {
  throw StateError(
      fmt::format("layer \"{}\": class {} overrides neither `call` nor `call_all`", name_, class_name()));
}
std::vector<Value> LayerImpl::call_all(Call& context, std::span<const Value> xs) {
  if (xs.size() != 1)
    throw ShapeError(
        fmt::format("layer \"{}\" ({}) takes one input, but got {}", name_, class_name(), xs.size()));
  return {call(context, xs[0])};
}

Variable LayerImpl::add_weight(const WeightArgs& args) {
  if (built_)
    throw StateError(
        fmt::format("layer \"{}\" ({}): add_weight made \"{}\" when the layer was built already, as in "
                    "`call`, which is repeated "
                    "for every batch size; make weights in `build`",
                    name_, class_name(), args.name));
  if (!args.shape.is_static())
    throw ShapeError(
        fmt::format("layer \"{}\" ({}): the weight \"{}\" can't have the shape {}, as the batch's size "
                    "isn't the weight's; take the sizes that are known, such as {{input.back()}}",
                    name_, class_name(), args.name, args.shape.to_string()));
  for (const Variable& w : weights_)
    if (w.name() == args.name)
      throw ValueError(
          fmt::format("layer \"{}\" ({}): two weights are called \"{}\"; give them names of their own, "
                      "add_weight({{.name = ...}})",
                      name_, class_name(), args.name));
  const Variable weight(args, options_.dtype, name_);
  if (weight.shape() != args.shape || weight.dtype() != options_.dtype)
    throw ShapeError(fmt::format(
        "layer \"{}\": the initializer of weight \"{}\" returned shape {} and type {}, but it was asked for "
        "shape {} and type {}",
        name_, args.name, weight.shape().to_string(), kiln::name(weight.dtype()), args.shape.to_string(),
        kiln::name(options_.dtype)));
  weights_.push_back(weight);
  return weight;
}

void LayerImpl::ensure_built(std::span<const Shape> inputs) {
  check(inputs);
  if (built_) return;
  try {
    build_all(inputs);
  } catch (...) {
    weights_.clear();
    throw;
  }
  built_ = true;
}

std::vector<Value> LayerImpl::emit(Call& context, std::span<const Value> xs) {
  const graph::LabelScope scope(context.graph(), name_);
  const auto current = context.in_layer(this);
  std::vector<Value> converted(xs.begin(), xs.end());
  if (converts_input())
    for (Value& x : converted)
      if (x.dtype() != options_.dtype) x = graph::convert(x, options_.dtype);
  std::vector<Value> ys = call_all(context, converted);
  if (ys.empty() || std::find(ys.begin(), ys.end(), Value()) != ys.end())
    throw StateError(fmt::format("layer \"{}\" ({}): `call` returned {}; return what its last op gives",
                                 name_, class_name(),
                                 ys.empty() ? "no value" : "an empty Value, one that no op made"));
  if (options_.activity_regularizer)
    for (Value y : ys) context.add_loss(options_.activity_regularizer(y));
  return ys;
}

// ---- symbolic application ---------------------------------------------------------------------------------

namespace internal {

Shape with_sizes(const Shape& shape, std::int64_t batch, std::int64_t other) {
  Shape out = shape;
  for (int i = 0; i < out.rank(); i++)
    if (out[static_cast<std::size_t>(i)] == None) out[static_cast<std::size_t>(i)] = i == 0 ? batch : other;
  return out;
}

}  // namespace internal

namespace {

// Emits the layer into a graph of its own with None replaced by sizes; gives the results' types.
std::vector<graph::Type> probe(LayerImpl& layer, const std::vector<SymbolicTensor>& xs, std::int64_t batch,
                               std::int64_t other) {
  graph::Graph scratch("probe");
  Call call(scratch, false);
  std::vector<Value> values;
  for (const SymbolicTensor& x : xs)
    values.push_back(scratch.input("x", {x.dtype(), internal::with_sizes(x.shape(), batch, other)}));
  std::vector<graph::Type> types;
  for (Value y : layer.emit(call, values)) types.push_back(y.type());
  return types;
}

}  // namespace

void LayerImpl::remember(const std::shared_ptr<const internal::Application>& application) {
  std::erase_if(applied_, [](const auto& a) { return a.expired(); });
  applied_.push_back(application);
}
std::shared_ptr<const internal::Application> LayerImpl::first_application() const {
  for (const auto& applied : applied_)
    if (auto application = applied.lock()) return application;
  return nullptr;
}

std::vector<SymbolicTensor> LayerImpl::apply(const std::vector<SymbolicTensor>& xs) {
  if (xs.empty()) throw ShapeError(fmt::format("layer \"{}\" was called without any input", name_));
  std::vector<Shape> shapes;
  for (const SymbolicTensor& x : xs) {
    if (!x.defined())
      throw StateError(
          fmt::format("layer \"{}\" was called with an empty SymbolicTensor; start from Input(...)", name_));
    shapes.push_back(x.shape());
  }
  ensure_built(shapes);

  // Sizes that follow an unknown size differ between two probes; the others are fixed. Large ones for
  // unknown image sizes, so that windows and strides fit, with many divisors, so that a Reshape finds its
  // own.
  const std::vector<graph::Type> first = probe(*this, xs, 2, 480);
  const std::vector<graph::Type> second = probe(*this, xs, 3, 960);
  const auto same_rank = [](const graph::Type& a, const graph::Type& b) {
    return a.shape.rank() == b.shape.rank();
  };
  if (!std::equal(first.begin(), first.end(), second.begin(), second.end(), same_rank))
    throw StateError(fmt::format(
        "layer \"{}\" ({}): `call` gave results of other number or rank for another batch size; it "
        "must emit the same ops each time",
        name_, class_name()));
  auto application = std::make_shared<internal::Application>();
  application->layer = Layer(shared_from_this());
  application->inputs = xs;
  application->index = applications_++;
  for (std::size_t i = 0; i < first.size(); i++) {
    Shape shape = first[i].shape;
    for (int axis = 0; axis < shape.rank(); axis++) {
      const auto a = static_cast<std::size_t>(axis);
      if (shape[a] != second[i].shape.dim(axis)) shape[a] = None;
    }
    application->output_shapes.push_back(shape);
    application->output_dtypes.push_back(first[i].dtype);
  }
  remember(application);
  input_shapes_ = shapes;
  output_shapes_ = application->output_shapes;
  std::vector<SymbolicTensor> ys;
  for (std::size_t i = 0; i < first.size(); i++)
    ys.emplace_back(
        std::make_shared<internal::SymbolicData>(internal::SymbolicData{application, static_cast<int>(i)}));
  return ys;
}

}  // namespace kiln
