#pragma once
#include <memory>
#include <string>

#include "kiln/constraints.h"
#include "kiln/initializers.h"
#include "kiln/regularizers.h"

namespace kiln {

namespace internal {
class FairSharedMutex;
}

/// What `LayerImpl::add_weight` needs to know of a weight.
struct WeightArgs {
  std::string name = "weight";
  Shape shape = {};
  Initializer initializer = "glorot_uniform";
  Regularizer regularizer = {};
  Constraint constraint = {};
  bool trainable = true;
};

/// A weight: an array that lives as long as its layer and that training changes. A handle; copies share it.
/// Empty until `LayerImpl::add_weight` gives one: all but `defined` throws StateError then.
class KILN_API Variable {
 public:
  Variable() = default;
  /// `layer` stands in the path.
  Variable(const WeightArgs& args, DType dtype, const std::string& layer = "");

  bool defined() const { return data_ != nullptr; }
  const std::string& name() const;  ///< "kernel"
  const std::string& path() const;  ///< with its layer's name, "dense_1/kernel"
  const Shape& shape() const;
  DType dtype() const;
  bool trainable() const;
  const Regularizer& regularizer() const;
  const Constraint& constraint() const;
  /// A copy of the present elements.
  Tensor value() const;
  /// Replaces the elements. Throws ShapeError unless the shape is the variable's; the type is converted.
  void assign(const Tensor& value);
  /// The elements themselves, for reading without a copy. Other threads may be training on them: `value`
  /// waits for the end of a step. They are changed by `assign`, so that models know of it.
  const Tensor& storage() const;
  /// The lock of the weight; null until a model contains it. For Kiln's own use.
  std::shared_ptr<internal::FairSharedMutex>& guard() const;

  friend bool operator==(const Variable&, const Variable&) = default;

 private:
  struct Data;
  Data& data() const;
  std::shared_ptr<Data> data_;
};

}  // namespace kiln
