// map with functions of graph values and with layers: compiled, a program for each form of the items.
#include <fmt/format.h>

#include <mutex>
#include <shared_mutex>

#include "api/data/dataset_node.h"
#include "api/model/model_impl.h"
#include "api/model/step.h"
#include "api/support/handles.h"
#include "api/support/random.h"
#include "kiln/layer_impl.h"
#include "kiln/layers/input.h"

namespace kiln {
namespace internal {
namespace {

using Types = std::vector<graph::Type>;

/// A step with what it gives and the locks of the weights that it reads.
struct MapProgram {
  Step step;
  Types outputs;
  WeightGuards guards;
};

std::unique_ptr<MapProgram> finished(graph::Graph graph, const std::vector<graph::Value>& results,
                                     std::vector<Tensor> storage = {},
                                     std::span<const Variable> weights = {}) {
  Types outputs;
  for (const graph::Value& v : results) {
    outputs.push_back(v.type());
    graph.output(fmt::format("y{}", outputs.size() - 1), v);
  }
  return std::unique_ptr<MapProgram>(new MapProgram{Step(std::move(graph), std::move(storage), weights),
                                                    std::move(outputs), WeightGuards(weights)});
}

/// What is done to an item's tensors.
class Mapping {
 public:
  Mapping(bool with_y, bool changes_states) : with_y_(with_y), changes_states_(changes_states) {}
  virtual ~Mapping() = default;

  void apply(data::Item& item) const {
    check_one("x", item.x);
    if (with_y_) check_one("y", item.y);
    std::vector<Tensor> inputs{item.x[0].contiguous()};
    if (with_y_) inputs.push_back(item.y[0].contiguous());
    std::vector<Tensor> outputs = run(inputs);
    item.x = std::move(outputs[0]);
    if (with_y_) item.y = std::move(outputs[1]);
  }

 protected:
  virtual std::unique_ptr<MapProgram> make(const Types& types) const = 0;

 private:
  void check_one(const char* name, const Tensors& tensors) const {
    if (tensors.size() == 1) return;
    throw ShapeError(
        fmt::format("map: the function is for one {}, but the items have {}; write one for a data::Item",
                    name, tensors.empty() ? "none" : std::to_string(tensors.size())));
  }

  std::vector<Tensor> run(std::vector<Tensor>& inputs) const {
    Types types;
    std::vector<void*> from, to;
    for (Tensor& t : inputs) {
      types.push_back({t.dtype(), t.shape()});
      from.push_back(t.raw());
    }
    const std::shared_ptr<MapProgram> program = program_for(types);
    std::vector<Tensor> outputs;
    for (const graph::Type& type : program->outputs) outputs.emplace_back(type.shape, type.dtype);
    for (Tensor& t : outputs) to.push_back(t.raw());
    if (changes_states_) {
      const std::lock_guard one_at_a_time(states_mutex_);
      const std::unique_lock lock(program->guards);
      program->step.run(from.data(), to.data(), program->guards.version());
    } else {
      const std::shared_lock lock(program->guards);
      program->step.run(from.data(), to.data(), program->guards.version());
    }
    return outputs;
  }

  std::shared_ptr<MapProgram> program_for(const Types& types) const {
    constexpr std::size_t capacity = 64;
    const std::lock_guard lock(programs_mutex_);
    for (const auto& [known, program] : programs_)
      if (known == types) return program;
    if (programs_.size() == capacity) programs_.erase(programs_.begin());
    const auto where = [&] {
      std::string x = types[0].shape.to_string();
      return types.size() == 1
                 ? fmt::format("map, on x of shape {}: ", x)
                 : fmt::format("map, on x of shape {} and y of shape {}: ", x, types[1].shape.to_string());
    };
    try {
      programs_.emplace_back(types, make(types));
    } catch (const ShapeError& error) {
      throw ShapeError(where() + error.what());
    } catch (const TypeError& error) {
      throw TypeError(where() + error.what());
    }
    return programs_.back().second;
  }

  bool with_y_, changes_states_;
  mutable std::mutex programs_mutex_, states_mutex_;
  mutable std::vector<std::pair<Types, std::shared_ptr<MapProgram>>> programs_;
};

class FunctionMapping final : public Mapping {
 public:
  using Function = std::function<std::vector<graph::Value>(std::span<const graph::Value>)>;
  FunctionMapping(bool with_y, Function function) : Mapping(with_y, false), function_(std::move(function)) {}

 protected:
  std::unique_ptr<MapProgram> make(const Types& types) const override {
    graph::Graph graph("map");
    std::vector<graph::Value> inputs;
    for (std::size_t i = 0; i < types.size(); i++)
      inputs.push_back(graph.input(i == 0 ? "x" : "y", types[i]));
    const std::vector<graph::Value> results = function_(inputs);
    for (const graph::Value& v : results)
      if (!v || &v.graph() != &graph)
        throw StateError(
            "map: the function returned a value that it didn't make from its arguments; return what ops "
            "gave");
    return finished(std::move(graph), results);
  }

 private:
  Function function_;
};

class LayerMapping final : public Mapping {
 public:
  LayerMapping(Layer layer, bool training, std::int64_t seed)
      : Mapping(false, training),
        layer_(std::move(layer)),
        training_(training),
        random_counter_({seed, std::int64_t{0}}) {}

 protected:
  std::unique_ptr<MapProgram> make(const Types& types) const override {
    if (types[0].shape.rank() == 0) throw ShapeError("a layer takes batches, not single numbers");
    const SymbolicTensor input = layers::Input(types[0].shape.tail());
    const Model model({.inputs = {input}, .outputs = {layer_(input)}});
    ModelImpl& impl = model.model_impl();
    graph::Graph graph("map_" + layer_.name());
    Call call(graph, training_, random_counter_);
    const std::vector<graph::Value> x{graph.input("x", types[0])};
    const std::vector<graph::Value> results = impl.call_all(call, x);
    if (const graph::Value key = call.key(); key && training_) {
      const graph::Value one_step = graph::constant(graph, Tensor({std::int64_t{0}, std::int64_t{1}}));
      graph.update(key, key + one_step);
    }
    return finished(std::move(graph), results, call.storage(), impl.guarded_weights());
  }

 private:
  Layer layer_;
  bool training_;
  Tensor random_counter_;  // {seed, step}
};

class MapNode final : public StepNode {
 public:
  MapNode(data::Dataset before, std::shared_ptr<const Mapping> mapping)
      : StepNode(std::move(before)), mapping_(std::move(mapping)) {}
  std::unique_ptr<Stream> open() const override {
    return std::make_unique<Mapped>(before().open(), mapping_);
  }
  Items items() const override { return mapped(before().items()); }

 private:
  class Mapped final : public Stream {
   public:
    Mapped(std::unique_ptr<Stream> input, std::shared_ptr<const Mapping> mapping)
        : input_(std::move(input)), mapping_(std::move(mapping)) {}
    bool next(Sample& to) override {
      if (!input_->next(to)) return false;
      to.item = to.take();
      to.arrays = nullptr;
      mapping_->apply(to.item);
      return true;
    }

   private:
    std::unique_ptr<Stream> input_;
    std::shared_ptr<const Mapping> mapping_;
  };

  std::shared_ptr<const Mapping> mapping_;
};

}  // namespace
}  // namespace internal

namespace data {

using namespace internal;

Dataset Dataset::map_x(OfX function) const {
  const auto all = [f = not_empty_function(std::move(function), "map")](std::span<const graph::Value> v) {
    return std::vector<graph::Value>{f(v[0])};
  };
  return make_dataset<MapNode>(*this, std::make_shared<const FunctionMapping>(false, all));
}

Dataset Dataset::map_both(OfBoth function) const {
  const auto all = [f = not_empty_function(std::move(function), "map")](std::span<const graph::Value> v) {
    auto [x, y] = f(v[0], v[1]);
    return std::vector<graph::Value>{x, y};
  };
  return make_dataset<MapNode>(*this, std::make_shared<const FunctionMapping>(true, all));
}

Dataset Dataset::map(const Layer& layer, LayerMapArgs args) const {
  layer.impl();  // an empty handle throws
  if (node().items() == Items::samples)
    throw ValueError(
        fmt::format("map: layer \"{}\" takes batches, but the dataset's items are single samples; call batch "
                    "before map",
                    layer.name()));
  const std::int64_t seed = args.seed ? *args.seed : args.training ? next_seed() : 0;
  return make_dataset<MapNode>(*this, std::make_shared<const LayerMapping>(layer, args.training, seed));
}

}  // namespace data
}  // namespace kiln
