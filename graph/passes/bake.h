#pragma once
#include <span>
#include <vector>

#include "graph/plan.h"

namespace kiln::graph {

/// What a program that is exported needs of its weights, as arrays that are computed once and stored: the
/// states that it doesn't update and what a plan prepares of them, where other groups read it. No constants
/// of the graph, and nothing that hangs on states for which `changing` is true (by number; empty: none).
std::vector<Value> baked_values(const Plan& plan, const std::vector<bool>& changing = {});
/// The graph that computes these of the graph's states. (Its inputs stay; it reads none.)
Graph compute_values(const Graph& graph, std::span<const Value> values);
/// The graph with these values as constants. States that it doesn't update are left without a use.
Graph bake(const Graph& graph, std::span<const Value> values, std::span<const Tensor> tensors);

}  // namespace kiln::graph
