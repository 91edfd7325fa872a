#pragma once
#include <concepts>
#include <initializer_list>
#include <string>
#include <vector>

#include "kiln/runtime/tensor.h"

namespace kiln {

/// One tensor or several: what a model with one or several inputs (or outputs) takes. Made implicitly from a
/// Tensor, from anything a Tensor is made of (`std::vector<float>`), or from a braced list of tensors.
class Tensors {
 public:
  Tensors() = default;
  Tensors(Tensor t) : items_{std::move(t)} {}
  Tensors(std::initializer_list<Tensor> items) : items_(items) {}
  Tensors(std::vector<Tensor> items) : items_(std::move(items)) {}
  template <Element T>
  Tensors(const std::vector<T>& v) : items_{Tensor(v)} {}
  template <OtherInteger T>
  Tensors(const std::vector<T>& v) : items_{Tensor(v)} {}

  std::size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }
  /// Throws ShapeError if there are no more than i.
  const Tensor& operator[](std::size_t i) const {
    if (i >= items_.size())
      throw ShapeError("there is no tensor " + std::to_string(i) + ": there are " +
                       std::to_string(items_.size()));
    return items_[i];
  }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }

 private:
  std::vector<Tensor> items_;
};

}  // namespace kiln
