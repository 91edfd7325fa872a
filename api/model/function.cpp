// Functions over symbolic tensors, and gradients in them.
#include "kiln/function.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <thread>

#include "api/model/gradients.h"
#include "api/model/step.h"
#include "api/support/random.h"
#include "api/support/weight_guards.h"
#include "kiln/graph/gradient.h"

namespace kiln {

using graph::Value;

namespace internal {

// States that no weight is, such as a metric's accumulators, have locks of their own, which functions that
// share them find by the states' addresses.
class StateLocks {
 public:
  explicit StateLocks(std::span<const void* const> states = {}) {
    static std::mutex registry_mutex;
    static std::map<const void*, std::weak_ptr<std::mutex>> registry;
    const std::lock_guard lock(registry_mutex);
    std::erase_if(registry, [](const auto& entry) { return entry.second.expired(); });
    const auto common = std::make_shared<std::mutex>();  // of those that have none yet
    for (const void* state : states) {
      std::weak_ptr<std::mutex>& known = registry[state];
      std::shared_ptr<std::mutex> mutex = known.lock();
      if (!mutex) known = mutex = common;
      if (std::find(mutexes_.begin(), mutexes_.end(), mutex) == mutexes_.end()) mutexes_.push_back(mutex);
    }
    std::sort(mutexes_.begin(), mutexes_.end());  // one order for all, so that none wait for each other
  }
  void lock() {
    for (const auto& mutex : mutexes_) mutex->lock();
  }
  void unlock() {
    for (const auto& mutex : mutexes_) mutex->unlock();
  }

 private:
  std::vector<std::shared_ptr<std::mutex>> mutexes_;
};

// One set of types: its step, the locks of the weights that it reads, and what it gives.
struct CompiledFunction::Data {
  struct Compiled {
    std::unique_ptr<Step> step;
    WeightGuards guards;
    StateLocks locks;  ///< of other states that it changes: slots, accumulators, the random counter
    bool changes_weights = false;
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
  std::vector<Entry> entries;            // the newest last
  std::atomic<std::thread::id> maker{};  // the thread that writes the body down

  // Held while the list of what was compiled is read or written, the body included, which therefore can't
  // call its own function.
  class Making {
   public:
    explicit Making(Data& data) : data_(data) {
      if (data.maker == std::this_thread::get_id())
        throw StateError(
            fmt::format("function \"{}\": its body uses the function itself; call what both need as a plain "
                        "C++ function of values",
                        data.args.name));
      data.making.lock();
      data.maker = std::this_thread::get_id();
    }
    ~Making() {
      data_.maker = std::thread::id();
      data_.making.unlock();
    }
    Making(const Making&) = delete;
    Making& operator=(const Making&) = delete;

   private:
    Data& data_;
  };

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
  const Making lock(*this);
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
  std::vector<const void*> changed;
  for (std::size_t i = 0; i < storage.size(); i++) {
    if (!graph.states()[i].next) continue;
    const auto is_it = [&](const Variable& w) { return w.storage().raw() == storage[i].raw(); };
    if (std::any_of(call.variables().begin(), call.variables().end(), is_it))
      compiled->changes_weights = true;
    else
      changed.push_back(storage[i].raw());
  }
  compiled->locks = StateLocks(changed);
  compiled->step = std::make_unique<Step>(std::move(graph), storage, call.variables(), 0, true);
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
  const std::lock_guard one_at_a_time(compiled->locks);
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
  const Data::Making lock(*data_);
  std::vector<std::shared_ptr<const runtime::Program>> programs;
  for (const Data::Entry& e : data_->entries)
    if (auto program = e.compiled->step->program()) programs.push_back(std::move(program));
  return programs;
}

void CompiledFunction::forget() const {
  const Data::Making lock(*data_);
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
        "gradient: there are no variables: the model isn't built yet, or all of it is frozen; call it "
        "before");
  if (!loss) throw StateError("gradient: the loss is an empty Value; give what its last op gave");
  std::vector<std::string> names;
  for (const Variable& w : variables) names.push_back(w.path());
  return internal::weight_gradients(call, loss, variables, fmt::format("function \"{}\"", call.graph().name),
                                    names);
}

std::vector<Value> gradient(Value y, const std::vector<Value>& xs) {
  if (!y || std::find(xs.begin(), xs.end(), Value()) != xs.end())
    throw StateError(
        fmt::format("gradient: {} is an empty Value; give values that ops gave", y ? "one of the xs" : "y"));
  return graph::gradient(y, xs);
}

}  // namespace kiln
