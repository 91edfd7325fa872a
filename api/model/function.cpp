// Functions over symbolic tensors, and gradients in them.
#include "kiln/function.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <shared_mutex>

#include "api/model/gradients.h"
#include "api/model/step.h"
#include "api/support/random.h"
#include "api/support/weight_guards.h"
#include "kiln/graph/gradient.h"

namespace kiln {

using graph::Value;

namespace internal {

// One set of types: its step, the locks of the weights that it reads, and what it gives.
struct CompiledFunction::Data {
  struct Compiled {
    std::unique_ptr<Step> step;
    WeightGuards guards;
    bool changes_weights = false;
    bool changes_states = false;  ///< weights or others: an optimizer's slots, a metric, the random counter
    std::vector<graph::Type> results;
  };
  struct Entry {
    std::vector<graph::Type> types;
    std::shared_ptr<Compiled> compiled;
  };

  Body body;
  int arity;
  FunctionArgs args;
  Tensor random_counter = Tensor::zeros({2}, DType::i64);
  std::mutex making;
  std::vector<Entry> entries;  // the newest last
  std::mutex running;          // held by runs that change states

  std::shared_ptr<Compiled> get(std::span<const Tensor> arguments);
  std::shared_ptr<Compiled> make(const std::vector<graph::Type>& types);
};

CompiledFunction::CompiledFunction(Body body, int arity, FunctionArgs args)
    : data_(std::make_shared<Data>()) {
  data_->body = std::move(body);
  data_->arity = arity;
  data_->args = std::move(args);
  data_->random_counter.data<std::int64_t>()[0] = data_->args.seed ? *data_->args.seed : next_seed();
}

std::shared_ptr<CompiledFunction::Data::Compiled> CompiledFunction::Data::get(
    std::span<const Tensor> arguments) {
  std::vector<graph::Type> types;
  for (const Tensor& t : arguments) types.push_back({t.dtype(), t.shape()});
  const std::lock_guard lock(making);
  const auto found =
      std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.types == types; });
  if (found != entries.end()) {
    std::rotate(found, found + 1, entries.end());
    return entries.back().compiled;
  }
  std::shared_ptr<Compiled> made = make(types);
  if (entries.size() >= StepCache::capacity) entries.erase(entries.begin());
  entries.push_back({std::move(types), made});
  return made;
}

std::shared_ptr<CompiledFunction::Data::Compiled> CompiledFunction::Data::make(
    const std::vector<graph::Type>& types) {
  graph::Graph graph(args.name);
  graph.label = args.name;
  Call call(graph, args.training, random_counter);
  std::vector<Value> xs;
  for (std::size_t i = 0; i < types.size(); i++) xs.push_back(graph.input(fmt::format("x{}", i), types[i]));

  auto compiled = std::make_shared<Compiled>();
  for (Value y : body(call, xs)) {
    if (!y || &y.graph() != &graph)
      throw StateError(
          fmt::format("function \"{}\": the body returned {}; return what its last op gives", args.name,
                      y ? "a value of another function" : "an empty Value, one that no op made"));
    compiled->results.push_back(y.type());
    graph.output(fmt::format("y{}", compiled->results.size() - 1), y);
  }
  if (const Value key = call.key())
    call.update(key, key + graph::constant(graph, Tensor({std::int64_t{0}, std::int64_t{1}})));

  compiled->guards = WeightGuards::made_for(call.variables());
  const std::vector<Tensor> storage = call.storage();
  for (std::size_t i = 0; i < storage.size(); i++) {
    if (!graph.states()[i].next) continue;
    compiled->changes_states = true;
    compiled->changes_weights =
        compiled->changes_weights ||
        std::any_of(call.variables().begin(), call.variables().end(),
                    [&](const Variable& w) { return w.storage().raw() == storage[i].raw(); });
  }
  compiled->step = std::make_unique<Step>(std::move(graph), storage, call.variables());
  return compiled;
}

std::vector<Tensor> CompiledFunction::run(std::vector<Tensor> arguments) const {
  Data& data = *data_;
  if (data.arity >= 0 && arguments.size() != static_cast<std::size_t>(data.arity))
    throw ShapeError(fmt::format("function \"{}\" takes {} tensor{}, but got {}", data.args.name, data.arity,
                                 data.arity == 1 ? "" : "s", arguments.size()));
  std::vector<void*> inputs, outputs;
  for (std::size_t i = 0; i < arguments.size(); i++) {
    if (!arguments[i].defined())
      throw StateError(fmt::format("function \"{}\": tensor {} is empty", data.args.name, i));
    arguments[i] = arguments[i].contiguous();
    inputs.push_back(arguments[i].raw());
  }
  const std::shared_ptr<Data::Compiled> compiled = data.get(arguments);
  std::vector<Tensor> results;
  for (const graph::Type& type : compiled->results) {
    results.emplace_back(type.shape, type.dtype);
    outputs.push_back(results.back().raw());
  }
  std::optional<std::lock_guard<std::mutex>> one_at_a_time;
  if (compiled->changes_states) one_at_a_time.emplace(data.running);
  if (compiled->changes_weights) {
    const std::unique_lock lock(compiled->guards);
    compiled->step->run(inputs.data(), outputs.data());
  } else {
    const std::shared_lock lock(compiled->guards);
    compiled->step->run(inputs.data(), outputs.data(), compiled->guards.version());
  }
  return results;
}

std::vector<std::shared_ptr<const runtime::Program>> CompiledFunction::programs() const {
  const std::lock_guard lock(data_->making);
  std::vector<std::shared_ptr<const runtime::Program>> programs;
  for (const Data::Entry& e : data_->entries)
    if (auto program = e.compiled->step->program()) programs.push_back(std::move(program));
  return programs;
}

void CompiledFunction::forget() const {
  const std::lock_guard lock(data_->making);
  data_->entries.clear();
}

std::vector<Value> weight_gradients(Call& call, Value loss, std::span<const Variable> weights,
                                    const std::string& whose, std::span<const std::string> names) {
  std::vector<Value> values;  // a weight that was assigned meanwhile has several
  std::vector<std::size_t> owners;
  for (std::size_t i = 0; i < weights.size(); i++)
    for (const Value value : call.values(weights[i])) {
      values.push_back(value);
      owners.push_back(i);
    }
  const std::vector<Value> parts = graph::gradient_or_none(loss, values);
  std::vector<Value> gradients(weights.size());
  for (std::size_t i = 0; i < parts.size(); i++) {
    Value& sum = gradients[owners[i]];
    if (parts[i]) sum = sum ? sum + parts[i] : parts[i];
  }
  if (!weights.empty() && std::none_of(gradients.begin(), gradients.end(), [](auto g) { return bool(g); })) {
    std::string list;
    for (const std::string& name : names) list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", name);
    throw ValueError(
        fmt::format("No gradients provided for any variable: [{}]. The loss of {} doesn't depend on its "
                    "weights: a loss or layer ignores its input, or uses ops without a gradient (argmax, "
                    "comparisons, stop_gradient, whole numbers)",
                    list, whose));
  }
  for (std::size_t i = 0; i < weights.size(); i++)
    if (!gradients[i]) gradients[i] = graph::zeros_like(call(weights[i]));
  return gradients;
}

}  // namespace internal

std::vector<Value> gradient(Call& call, Value loss, const std::vector<Variable>& variables) {
  if (variables.empty())
    throw ValueError(
        "gradient: there are no variables; give a model's trainable_weights(), once it is built");
  std::vector<std::string> names;
  for (const Variable& w : variables) names.push_back(w.name());
  return internal::weight_gradients(call, loss, variables, fmt::format("function \"{}\"", call.graph().name),
                                    names);
}

std::vector<Value> gradient(Value y, const std::vector<Value>& xs) {
  return graph::gradient(y, xs);
}

}  // namespace kiln
