#include "graph/passes/join_pool_grads.h"

#include <set>

#include "graph/elemental.h"
#include "graph/passes/groups.h"
#include "graph/passes/rematerialize.h"

namespace kiln::graph {
namespace {

// Elements of the convolution's kernel for one filter: a tile of sums holds about a dozen of them, and each
// tile computes the gradient's elements anew.
constexpr std::int64_t most_rows = 32;

// Null if `sums` (a group) can compute the elements of `grad` (another) where it multiplies them.
const char* why_apart(const Group& grad, const Group& sums) {
  const Node& root = *sums.root;
  if (!is_apart_gradient(*grad.root)) return "its windows don't lie side by side, or leave a rest";
  if (grad.nodes.size() > 1) return "something is made of it element by element";
  for (const Node* n : sums.nodes)
    for (std::size_t i = 0; i < n->operands.size(); i++)
      if (n->operands[i] == grad.root->value() && (n != &root || i != 1))
        return "it is read in another way, too";
  const Shape kernel = root.type().shape.tail();
  if (kernel.elements() / kernel.back() > most_rows) return "the kernel is large: it would be computed often";
  if (is_recomputed(root) != is_recomputed(*grad.root)) return "one of them is computed a second time";
  if (sums.nodes.size() + 1 > most_nodes_of_a_group) return "the kernel would be too large";
  return nullptr;
}

}  // namespace

std::vector<Group> join_pool_grads(const Graph& graph, std::vector<Group> groups, FusionLog* log) {
  const auto readers = only_readers(graph, groups);
  std::set<std::size_t> joined;
  for (std::size_t g = 0; g < groups.size(); g++) {
    const Group& grad = groups[g];
    if (!grad.root || grad.root->op != Op::window_max_grad) continue;
    const auto reader = readers.find(grad.root->value());
    if (reader == readers.end()) continue;
    Group& sums = groups[static_cast<std::size_t>(reader->second)];
    if (!sums.root || sums.root->op != Op::conv_kernel_sums) continue;
    const char* reason = why_apart(grad, sums);
    if (log) log->pool_grad(grad, sums, reason);
    if (reason) continue;
    sums.nodes.push_back(grad.root);
    complete_group(sums);
    joined.insert(g);
  }
  remove_groups(groups, joined);
  return groups;
}

}  // namespace kiln::graph
