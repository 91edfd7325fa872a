#pragma once
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kiln/config.h"
#include "kiln/variable.h"

namespace kiln {

class Call;
class Layer;
class LayerImpl;
namespace internal {
struct SymbolicData;
}

/// A tensor that a layer will make: a shape with unknown batch size (None) and the layers before it. What
/// functional models are written with. A handle.
class KILN_API SymbolicTensor {
 public:
  SymbolicTensor() = default;
  explicit SymbolicTensor(std::shared_ptr<const internal::SymbolicData> data) : data_(std::move(data)) {}

  bool defined() const { return data_ != nullptr; }
  // What follows throws StateError for an empty handle.
  /// With the batch: `(None, 28, 28, 1)`.
  const Shape& shape() const;
  DType dtype() const;
  /// The layer that makes it.
  Layer layer() const;

  const internal::SymbolicData& data() const;
  /// The same result of the same application of a layer?
  KILN_API friend bool operator==(const SymbolicTensor& a, const SymbolicTensor& b);

 private:
  std::shared_ptr<const internal::SymbolicData> data_;
};

struct CallArgs {
  std::optional<bool> training = {};  ///< default: as the Call says
};

/// A layer: a cheap handle; copies are the same layer and share its weights, so calling one twice uses its
/// weights twice. Made by the functions of namespace `layers`. For a layer of your own see LayerImpl.
class KILN_API Layer {
 public:
  Layer() = default;
  explicit Layer(std::shared_ptr<LayerImpl> impl) : impl_(std::move(impl)) {}

  /// Applies the layer to a symbolic tensor, building its weights at the first call. Throws ShapeError if the
  /// input doesn't fit, StateError if the layer gives several outputs (use `apply`).
  SymbolicTensor operator()(const SymbolicTensor& x) const;
  /// For layers that take several inputs: `Add()({a, b})`.
  SymbolicTensor operator()(std::initializer_list<SymbolicTensor> xs) const;
  SymbolicTensor operator()(const std::vector<SymbolicTensor>& xs) const;
  /// Any number of inputs and outputs.
  std::vector<SymbolicTensor> apply(const std::vector<SymbolicTensor>& xs) const;

  /// Applies the layer to a value of a graph that is being written, building its weights at the first call:
  /// in a `function`, and in a layer of one's own that calls others. Throws as above.
  graph::Value operator()(Call& call, graph::Value x, CallArgs args = {}) const;
  /// Any number of inputs and outputs.
  std::vector<graph::Value> apply(Call& call, const std::vector<graph::Value>& xs, CallArgs args = {}) const;
  /// Penalties (rank 0) of the regularizers of its trainable weights, and what it and the layers inside it
  /// added in this call by `add_loss` or as activity regularizers: what a custom training loop adds to its
  /// loss, as Keras's `model.losses`. Called behind the layer itself.
  std::vector<graph::Value> losses(Call& call) const;

  bool defined() const { return impl_ != nullptr; }
  const std::string& name() const;
  /// "Dense"
  std::string class_name() const;
  /// True once the weights exist.
  bool built() const;
  bool trainable() const;
  /// Freezes or unfreezes the layer and those inside it. Takes effect at the next call of fit, evaluate or
  /// train_on_batch.
  void set_trainable(bool trainable);

  /// All weights, layer by layer, frozen or not: what is trainable doesn't change the order.
  std::vector<Variable> weights() const;
  std::vector<Variable> trainable_weights() const;
  std::vector<Variable> non_trainable_weights() const;
  /// Copies of the weights' values, in the order of `weights`.
  std::vector<Tensor> get_weights() const;
  /// Sets the weights. Throws ShapeError if number or shapes differ; nothing is changed then.
  void set_weights(const std::vector<Tensor>& values);
  std::int64_t count_params() const;

  /// The layer's arguments by Keras's names; `layers::from_config` makes an equal layer of them. Throws
  /// StateError for a layer of your own whose class doesn't override `LayerImpl::get_config`.
  Config get_config() const;

  /// The tensor that the layer got, or gave, when it was first called, as long as something still uses that:
  /// `Model({.inputs = model.inputs(), .outputs = {model.get_layer("features").output()}})` is the first part
  /// of a model. Throws StateError if it was never called, or has several inputs, or outputs.
  SymbolicTensor input() const;
  SymbolicTensor output() const;

  /// Shapes at the last call. Throws StateError if it was never called.
  Shape input_shape() const;
  Shape output_shape() const;

  /// Throws StateError for an empty handle.
  LayerImpl& impl() const;
  const std::shared_ptr<LayerImpl>& shared() const { return impl_; }
  friend bool operator==(const Layer&, const Layer&) = default;

 protected:
  std::shared_ptr<LayerImpl> impl_;
};

}  // namespace kiln
