#pragma once
#include "kiln/layer.h"

namespace kiln {

struct InputArgs {
  DType dtype = DType::f32;
  std::string name = "";
};

/// What `Input` gives: a symbolic tensor to start a functional model from, and a layer to put first into a
/// Sequential. Another tensor may be assigned to it, as Keras's programs do:
///
///     auto inputs = Input({784}), x = inputs;
///     x = Dense(128, {.activation = "relu"})(x);
///     Model model({.inputs = {inputs}, .outputs = {Dense(10)(x)}});
class KILN_API InputTensor : public SymbolicTensor {
 public:
  explicit InputTensor(SymbolicTensor tensor) : SymbolicTensor(std::move(tensor)) {}
  InputTensor& operator=(const SymbolicTensor& tensor) {
    SymbolicTensor::operator=(tensor);
    return *this;
  }
  /// Throws ValueError if the tensor of another layer was assigned.
  operator Layer() const;
};

namespace layers {

/// The entry of a model. `shape` is one sample's, without the batch; sizes may be None. Data of another type
/// is converted to `dtype`. Throws ShapeError for a size of zero or below.
KILN_API InputTensor Input(Shape shape, InputArgs args = {});

}  // namespace layers
using layers::Input;

}  // namespace kiln
