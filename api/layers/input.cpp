#include "api/layers/input.h"

#include <fmt/format.h>

#include "api/layers/configured.h"
#include "api/layers/symbolic.h"
#include "kiln/layers/input.h"

namespace kiln {
namespace internal {

Config InputLayer::get_config() const {
  return Config::Dict{{"batch_shape", to_config(shape_)},
                      {"dtype", std::string(kiln::name(dtype()))},
                      {"sparse", false},
                      {"ragged", false},
                      {"name", name()}};
}

void register_input_layers(LayerRegistry& registry) {
  registry.add("InputLayer", [](Fields& f) -> Layer {
    Shape batch_shape;
    InputArgs args;
    f.required("batch_shape", batch_shape)("dtype", args.dtype)("name", args.name);
    f.only("sparse", false).only("ragged", false).only("optional", false);
    if (batch_shape.empty() || batch_shape[0] != None)
      throw ValueError(fmt::format(
          "InputLayer: batch_shape must start with None, as the batch's size isn't fixed, but it is {}",
          batch_shape.to_string()));
    return layers::Input(batch_shape.tail(), args);
  });
}

const InputLayer* as_input(const Layer& layer) {
  return dynamic_cast<const InputLayer*>(&layer.impl());
}

SymbolicTensor input_tensor(const Layer& input) {
  auto application = std::make_shared<Application>();
  application->layer = input;
  application->output_shapes = {as_input(input)->shape()};
  application->output_dtypes = {as_input(input)->dtype()};
  input.impl().remember(application);
  return SymbolicTensor(std::make_shared<SymbolicData>(SymbolicData{application, 0}));
}

}  // namespace internal

InputTensor::operator Layer() const {
  const Layer from = layer();
  if (internal::as_input(from) == nullptr)
    throw ValueError(fmt::format(
        "the variable that held an Input holds the tensor of layer \"{}\" now and can't stand for "
        "the input; keep what Input(...) gave in a variable of its own",
        from.name()));
  return from;
}

namespace layers {

InputTensor Input(Shape shape, InputArgs args) {
  for (std::int64_t n : shape)
    if (n != None && n < 1)
      throw ShapeError(
          fmt::format("Input: every size must be positive or None, but the shape is {}", shape.to_string()));
  const Layer layer = make_layer<internal::InputLayer>(shape.prepend(None),
                                                       LayerOptions{.dtype = args.dtype, .name = args.name});
  return InputTensor(internal::input_tensor(layer));
}

}  // namespace layers
}  // namespace kiln
