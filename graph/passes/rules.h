#pragma once
#include <optional>
#include <span>
#include <string_view>

#include "kiln/graph/graph.h"

namespace kiln::graph {

/// A rewriting rule: if it fits a node, `apply` gives a value equal to the node's (to the bit, but for the
/// rounding of what `text` says), emitted into the node's graph; else a null value.
struct Rule {
  Op op;
  std::string_view text;
  Value (*apply)(const Node& n);
};

/// Arithmetic, comparisons, selects, conversions.
std::span<const Rule> arithmetic_rules();
/// Broadcasts, reshapes, transposes, slices, padding, concatenation, reductions of nothing.
std::span<const Rule> movement_rules();

/// Fits a node of any elementwise op: the same op on smaller operands, broadcast or reshaped afterwards, so
/// that work on scalars and rows isn't done once an element.
Value shrink_elementwise(const Node& n);

/// The number that every element of `v` is known to be.
std::optional<double> uniform(Value v);

}  // namespace kiln::graph
