#pragma once
#include <string>
#include <vector>

#include "kiln/layers/input.h"
#include "kiln/model.h"

namespace kiln {

struct SequentialArgs {
  std::string name = "";
};

/// Layers one after the other.
///
///     Sequential model({Input({784}), Dense(128, {.activation = "relu"}), Dense(10)});
///
/// Without an Input in front, the weights are made when the first data come, or by `build`.
class KILN_API Sequential : public Model {
 public:
  /// Throws ValueError if two layers have the same name, ShapeError if a layer doesn't take what comes before
  /// it.
  Sequential(std::vector<Layer> layers = {}, SequentialArgs args = {});

  void add(const Layer& layer);
  /// Takes the last layer off. Throws StateError if there is none.
  void pop();
};

}  // namespace kiln
