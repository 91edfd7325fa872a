#pragma once
#include <memory>
#include <string>

#include "kiln/graph/graph.h"

namespace kiln {

/// A penalty on a weight that is added to the loss.
class KILN_API RegularizerImpl {
 public:
  virtual ~RegularizerImpl();
  /// Emits the penalty of `weight`: a value of rank 0 and the weight's type.
  virtual graph::Value operator()(graph::Value weight) const = 0;
};

/// A handle to a regularizer, made from an object of namespace `regularizers` or from its name ("l1", "l2",
/// "l1_l2"); none by default. Throws ValueError for an unknown name.
class KILN_API Regularizer {
 public:
  Regularizer() = default;
  Regularizer(const char* name);
  Regularizer(const std::string& name);
  /// Throws StateError for an empty pointer.
  Regularizer(std::shared_ptr<const RegularizerImpl> impl);

  explicit operator bool() const { return impl_ != nullptr; }
  /// Throws StateError if there is none.
  graph::Value operator()(graph::Value weight) const;

 private:
  std::shared_ptr<const RegularizerImpl> impl_;
};

namespace regularizers {

struct L1L2Args {
  double l1 = 0;
  double l2 = 0;
};

/// l1 * sum(|w|); its gradient at 0 is 0.
KILN_API Regularizer L1(double l1 = 0.01);
/// l2 * sum(w^2)
KILN_API Regularizer L2(double l2 = 0.01);
/// l1 * sum(|w|) + l2 * sum(w^2)
KILN_API Regularizer L1L2(L1L2Args args = {});

}  // namespace regularizers
}  // namespace kiln
