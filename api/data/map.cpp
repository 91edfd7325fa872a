// map with functions of graph values and with layers: compiled, a program for each form of the items.
#include <fmt/format.h>

#include "api/data/dataset_node.h"
#include "api/support/handles.h"
#include "api/support/random.h"
#include "kiln/function.h"

namespace kiln {
namespace internal {
namespace {

/// What is done to an item's tensors: a function of x, or of x and y, that gives as many.
class Mapping {
 public:
  using Function = CompiledFunction::Body;
  Mapping(bool with_y, Function function, FunctionArgs args)
      : with_y_(with_y), function_(std::move(function), with_y ? 2 : 1, std::move(args)) {}

  void apply(data::Item& item) const {
    check_one("x", item.x);
    if (with_y_) check_one("y", item.y);
    std::vector<Tensor> inputs{item.x[0]};
    if (with_y_) inputs.push_back(item.y[0]);
    std::vector<Tensor> outputs = run(inputs);
    item.x = std::move(outputs[0]);
    if (with_y_) item.y = std::move(outputs[1]);
  }

 private:
  void check_one(const char* name, const Tensors& tensors) const {
    if (tensors.size() == 1) return;
    throw ShapeError(
        fmt::format("map: the function is for one {}, but the items have {}; write one for a data::Item",
                    name, tensors.empty() ? "none" : std::to_string(tensors.size())));
  }

  std::vector<Tensor> run(const std::vector<Tensor>& inputs) const {
    const auto where = [&] {
      std::string x = inputs[0].shape().to_string();
      return inputs.size() == 1
                 ? fmt::format("map, on x of shape {}: ", x)
                 : fmt::format("map, on x of shape {} and y of shape {}: ", x, inputs[1].shape().to_string());
    };
    try {
      return function_.run(inputs);
    } catch (const ShapeError& error) {
      throw ShapeError(where() + error.what());
    } catch (const TypeError& error) {
      throw TypeError(where() + error.what());
    }
  }

  bool with_y_;
  CompiledFunction function_;
};

}  // namespace
}  // namespace internal

namespace data {

using namespace internal;

namespace {

/// The function, compiled once for all iterations.
std::function<Item(Item)> compiled(bool with_y, Mapping::Function function, FunctionArgs args) {
  return
      [mapping = std::make_shared<const Mapping>(with_y, std::move(function), std::move(args))](Item item) {
        mapping->apply(item);
        return item;
      };
}

}  // namespace

Dataset Dataset::map_x(OfX function) const {
  const auto all = [f = not_empty_function(std::move(function), "map")](
                       Call&, std::span<const graph::Value> v) { return std::vector{f(v[0])}; };
  return map_items(compiled(false, all, {.name = "map", .seed = 0}));
}

Dataset Dataset::map_both(OfBoth function) const {
  const auto all = [f = not_empty_function(std::move(function), "map")](Call&,
                                                                        std::span<const graph::Value> v) {
    auto [x, y] = f(v[0], v[1]);
    return std::vector{x, y};
  };
  return map_items(compiled(true, all, {.name = "map", .seed = 0}));
}

Dataset Dataset::map(const Layer& layer, LayerMapArgs args) const {
  layer.impl();  // an empty handle throws
  if (node().items() == Items::samples)
    throw ValueError(
        fmt::format("map: layer \"{}\" takes batches, but the dataset's items are single samples; call batch "
                    "before map",
                    layer.name()));
  const auto apply = [layer](Call& call, std::span<const graph::Value> v) {
    if (v[0].rank() == 0) throw ShapeError("a layer takes batches, not single numbers");
    return std::vector{layer(call, v[0])};
  };
  // Drawn now: a thread that reads ahead draws nothing from the global sequence.
  const std::int64_t seed = args.seed ? *args.seed : args.training ? next_seed() : 0;
  return map_items(
      compiled(false, apply, {.name = "map_" + layer.name(), .training = args.training, .seed = seed}));
}

}  // namespace data
}  // namespace kiln
