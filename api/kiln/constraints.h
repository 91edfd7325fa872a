#pragma once
#include <memory>
#include <string>

#include "kiln/axes.h"
#include "kiln/config.h"
#include "kiln/graph/graph.h"

namespace kiln {

/// What a weight is brought to after every update. Derive from this for a constraint of your own and wrap it:
/// `Constraint(std::make_shared<Mine>())`.
class KILN_API ConstraintImpl {
 public:
  virtual ~ConstraintImpl();
  /// Emits the constrained weight, of the same shape and type.
  virtual graph::Value operator()(graph::Value weight) const = 0;
  /// "MaxNorm": the default is the C++ class's name without "Impl".
  virtual std::string class_name() const;
  /// The arguments by Keras's names. The default throws StateError: one of your own can't be written down.
  virtual Config get_config() const;
};

/// A handle to a constraint, made from an object of namespace `constraints` or from its name ("max_norm",
/// "non_neg", ...); none by default. Throws ValueError for an unknown name.
class KILN_API Constraint {
 public:
  Constraint() = default;
  Constraint(const char* name);
  Constraint(const std::string& name);
  /// Throws StateError for an empty pointer.
  Constraint(std::shared_ptr<const ConstraintImpl> impl);

  explicit operator bool() const { return impl_ != nullptr; }
  // What follows throws StateError if there is none.
  graph::Value operator()(graph::Value weight) const;
  std::string class_name() const;
  /// The arguments by Keras's names; see ConstraintImpl.
  Config get_config() const;

 private:
  std::shared_ptr<const ConstraintImpl> impl_;
};

/// Keras's constraints (https://keras.io/api/layers/constraints). Norms are sqrt(sum(w^2)) along `axis`: 0
/// for the weights that lead to each unit of a Dense, {0, 1, 2} for each filter of a Conv2D.
namespace constraints {

struct MaxNormArgs {
  Axes axis = 0;
};
/// Scales vectors down that are longer than `max_value`.
KILN_API Constraint MaxNorm(double max_value = 2, MaxNormArgs args = {});

struct MinMaxNormArgs {
  double min_value = 0;
  double max_value = 1;
  double rate = 1;  ///< how much of the way is gone in each step
  Axes axis = 0;
};
/// Brings vectors' lengths into [min_value, max_value].
KILN_API Constraint MinMaxNorm(MinMaxNormArgs args = {});

/// Makes negative elements 0.
KILN_API Constraint NonNeg();

struct UnitNormArgs {
  Axes axis = 0;
};
/// Makes each vector's length 1.
KILN_API Constraint UnitNorm(UnitNormArgs args = {});

/// The whole of a constraint, class and arguments, as Keras writes it (null for none); and one from that, or
/// from its name. Throws ValueError for a class or an argument that isn't known.
KILN_API Config serialize(const Constraint& constraint);
KILN_API Constraint deserialize(const Config& config);

}  // namespace constraints
}  // namespace kiln
