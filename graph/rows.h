#pragma once
#include <span>
#include <unordered_map>

#include "graph/op_def.h"

/// Groups that work row by row (Group::rows): what fusion proves about them and lowering relies on.
namespace kiln::graph {

/// A reduction over the last axis, of rows that a kernel may keep near while it goes through them several
/// times: not so short that vectors would better run over rows, nor so long that they leave the cache.
bool is_row_reduction(const Node& node);

/// The number of rows of a space: the product of all but its last axis.
std::int64_t row_count(const Shape& space);

/// One element a row, in the order of the rows: a mean, a maximum, with or without the last axis as 1.
bool holds_one_a_row(const Shape& shape, const Shape& space);

/// How many reductions lie one upon the other below each node of a row group, itself included: 0 where none
/// does; the reductions of level 1 need nothing but what is read, those of level 2 the results of level 1.
/// `nodes` are in topological order.
using RowLevels = std::unordered_map<const Node*, int>;
RowLevels row_levels(std::span<const Node* const> nodes);

/// Null if what the nodes compute of a row of `space` depends on their own results in that row only, so that
/// row after row can be computed; else why not. `outputs` are the group's.
const char* why_not_by_rows(std::span<const Node* const> nodes, std::span<const Value> outputs,
                            const Shape& space);

}  // namespace kiln::graph
