#pragma once
#include <cstdint>
#include <vector>

namespace kiln::graph {

/// A network of nodes between a source and a sink: two-way choices whose costs depend on one another. An edge
/// from a to b costs its capacity if a is on the source's side and b on the sink's.
class MinCut {
 public:
  static constexpr int source = 0, sink = 1;
  static constexpr std::int64_t infinite = std::int64_t{1} << 60;

  int add_node();
  void add_edge(int from, int to, std::int64_t capacity);
  /// For each node, whether it is on the sink's side of the cheapest cut: of equally cheap ones, the one with
  /// fewest such nodes. May be called once.
  std::vector<bool> sink_side();

 private:
  struct Edge {
    int to = 0;
    std::int64_t capacity = 0;  ///< what is left of it
  };
  bool measure_distances();
  std::int64_t push(int node, std::int64_t most);

  std::vector<Edge> edges_;  ///< in pairs: edge i ^ 1 goes the other way
  std::vector<std::vector<int>> edges_of_ = {{}, {}};
  std::vector<int> distance_;
  std::vector<std::size_t> next_;  ///< of each node's edges, the first that may still take something
};

}  // namespace kiln::graph
