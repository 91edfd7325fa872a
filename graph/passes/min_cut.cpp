#include "graph/passes/min_cut.h"

#include <algorithm>

// Dinic's algorithm: the cheapest cut is what stops the largest flow. Flow is pushed along shortest paths
// until there are none.
namespace kiln::graph {
namespace {

std::size_t at(int i) {
  return static_cast<std::size_t>(i);
}

}  // namespace

int MinCut::add_node() {
  edges_of_.emplace_back();
  return static_cast<int>(edges_of_.size()) - 1;
}

void MinCut::add_edge(int from, int to, std::int64_t capacity) {
  edges_of_[at(from)].push_back(static_cast<int>(edges_.size()));
  edges_.push_back({to, capacity});
  edges_of_[at(to)].push_back(static_cast<int>(edges_.size()));
  edges_.push_back({from, 0});
}

// From the source, along edges that have capacity left. Is the sink reached?
bool MinCut::measure_distances() {
  distance_.assign(edges_of_.size(), -1);
  distance_[source] = 0;
  std::vector<int> reached{source};
  for (std::size_t i = 0; i < reached.size(); i++)
    for (int e : edges_of_[at(reached[i])]) {
      const Edge& edge = edges_[at(e)];
      if (edge.capacity == 0 || distance_[at(edge.to)] >= 0) continue;
      distance_[at(edge.to)] = distance_[at(reached[i])] + 1;
      reached.push_back(edge.to);
    }
  return distance_[sink] >= 0;
}

std::int64_t MinCut::push(int node, std::int64_t most) {
  if (node == sink) return most;
  for (std::size_t& i = next_[at(node)]; i < edges_of_[at(node)].size(); i++) {
    const int e = edges_of_[at(node)][i];
    const Edge edge = edges_[at(e)];
    if (edge.capacity == 0 || distance_[at(edge.to)] != distance_[at(node)] + 1) continue;
    const std::int64_t pushed = push(edge.to, std::min(most, edge.capacity));
    if (pushed == 0) continue;
    edges_[at(e)].capacity -= pushed;
    edges_[at(e ^ 1)].capacity += pushed;
    return pushed;
  }
  return 0;
}

std::vector<bool> MinCut::sink_side() {
  while (measure_distances()) {
    next_.assign(edges_of_.size(), 0);
    while (push(source, infinite) > 0) continue;
  }
  // What can still reach the sink.
  std::vector<bool> result(edges_of_.size(), false);
  result[sink] = true;
  std::vector<int> reached{sink};
  for (std::size_t i = 0; i < reached.size(); i++)
    for (int e : edges_of_[at(reached[i])]) {
      const int from = edges_[at(e)].to;  // edge e ^ 1 comes from there
      if (edges_[at(e ^ 1)].capacity == 0 || result[at(from)]) continue;
      result[at(from)] = true;
      reached.push_back(from);
    }
  return result;
}

}  // namespace kiln::graph
