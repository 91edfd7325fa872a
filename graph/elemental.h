#pragma once
#include "graph/op_def.h"

/// How an op takes part in fusion. Fusion decides with these functions what a group holds, and lowering what
/// a fused node reads, so the two can't disagree.
namespace kiln::graph {

/// True if one element of the result can be computed by itself, at any index, from elements of the operands:
/// elementwise ops and movement, one-element constants, gathers and slices at computed places, random words.
bool is_elemental(const Node& node);

/// True if operand `i` is read from memory even when its producer is in the same group: the table of a
/// gather, a slice's starting place, what dot and conv multiply (but see join_pool_grads.h). All other
/// operands of fused nodes are evaluated where they are used.
bool reads_array(const Node& node, int i);

/// A constant of one element: part of the code, not an array.
bool is_immediate(const Node& node);

/// Costs so much that it should be computed once an element: transcendental functions, divisions, random
/// words, gathers.
bool is_expensive(const Node& node);

/// Windows (of a window op) that share elements.
bool windows_overlap(const Node& node);

/// Windows that lie side by side from the edge on and don't stick out: those of shape `y` on an array of
/// shape `x`.
bool windows_tile(const Node& node, const Shape& x, const Shape& y);

/// The gradient of a maximum over such windows, which leave no rest: each element is found from one window.
bool is_apart_gradient(const Node& node);

/// A sum of at most so many elements has one chain of additions, the same wherever it is computed.
inline constexpr std::int64_t longest_single_chain = 15;

/// Reduction by a sum, maximum, minimum or product: what may have siblings.
bool is_reduction(Op op);

}  // namespace kiln::graph
