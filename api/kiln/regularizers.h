#pragma once
#include <memory>
#include <string>

#include "kiln/config.h"
#include "kiln/graph/graph.h"

namespace kiln {

/// A penalty on a weight that is added to the loss.
class KILN_API RegularizerImpl {
 public:
  virtual ~RegularizerImpl();
  /// Emits the penalty of `weight`: a value of rank 0 and the weight's type.
  virtual graph::Value operator()(graph::Value weight) const = 0;
  /// "L2": the default is the C++ class's name without "Impl".
  virtual std::string class_name() const;
  /// The arguments by Keras's names. The default throws StateError: one of your own can't be written down.
  virtual Config get_config() const;
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
  std::string class_name() const;
  /// The arguments by Keras's names; see RegularizerImpl.
  Config get_config() const;

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

struct OrthogonalRegularizerArgs {
  double factor = 0.01;
  std::string mode = "rows";  ///< or "columns"
};
/// Makes a matrix's rows (or columns) orthogonal to one another: factor times the mean, over all pairs of
/// them, of |cos| of the angle between the two. Throws ShapeError for another rank than 2, ValueError for
/// another mode.
KILN_API Regularizer OrthogonalRegularizer(OrthogonalRegularizerArgs args = {});

/// The whole of a regularizer, class and arguments, as Keras writes it (null for none); and one from that, or
/// from its name. Throws ValueError for a class or an argument that isn't known.
KILN_API Config serialize(const Regularizer& regularizer);
KILN_API Regularizer deserialize(const Config& config);

}  // namespace regularizers
}  // namespace kiln
