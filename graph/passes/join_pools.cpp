#include "graph/passes/join_pools.h"

#include <algorithm>
#include <set>

#include "graph/elemental.h"
#include "graph/ops/batch_last.h"
#include "graph/ops/winograd.h"
#include "graph/passes/groups.h"
#include "graph/passes/rematerialize.h"

namespace kiln::graph {
namespace {

// A convolution that isn't in Winograd's form goes through its kernel once for each row of windows, and, with
// the batch last, keeps the results under one window of many images in scratch memory: both should stay in a
// near cache.
constexpr std::int64_t largest_kernel = std::int64_t{128} << 10, largest_scratch = std::int64_t{256} << 10;
constexpr std::int64_t fewest_rows = 4;  // that threads share

bool is_conv(Op op) {
  return op == Op::conv || op == Op::conv_batch_last || op == Op::winograd_conv;
}

bool is_batch_last(const Node& conv) {
  return conv.op == Op::conv_batch_last ||
         (conv.op == Op::winograd_conv && conv.attributes.flag("batch_last"));
}

// A window op's sizes along the spatial axes.
Ints spatial(const Node& conv, const Ints& of_all_axes) {
  const std::ptrdiff_t first = is_batch_last(conv) ? 0 : 1;
  return {of_all_axes.begin() + first,
          of_all_axes.begin() + first + static_cast<std::ptrdiff_t>(of_all_axes.size()) - 2};
}

// Null if the windows lie side by side, whole, over pixels.
const char* why_no_pool(const Node& conv, const Node& pool) {
  const Ints& window = pool.attributes.ints("window");
  if (window != pool.attributes.ints("strides")) return "its windows don't lie side by side";
  if (!windows_tile(pool, pool.operand(0).shape(), pool.type().shape))
    return "its windows don't begin at the edge, or stick out";
  std::int64_t elements = 1, of_pixels = 1;
  for (std::int64_t size : window) elements *= size;
  const Ints pixels = spatial(conv, window);
  for (std::int64_t size : pixels) of_pixels *= size;
  if (elements != of_pixels) return "its windows hold more than pixels of one channel";
  if (elements > longest_single_chain) return "its windows are large";
  if (conv.op != Op::winograd_conv) return nullptr;
  const std::int64_t edge = winograd::results(conv.attributes.integer("window"));
  const bool divide = std::all_of(pixels.begin(), pixels.end(), [&](auto size) { return edge % size == 0; });
  return divide ? nullptr : "its windows cross the convolution's tiles";
}

// Null if a convolution that isn't in Winograd's form can pool its results.
const char* why_not_directly(const Node& conv, const Node& pool) {
  if (conv.op == Op::winograd_conv) return nullptr;
  if (conv.attributes.integer("groups") != 1) return "the convolution has groups";
  const Value kernel = conv.operand(1);
  if (bytes_of(kernel) > largest_kernel) return "the convolution's kernel is large";
  const std::vector<std::int64_t>& y = pool.type().shape.sizes();
  if (is_batch_last(conv)) {
    auto bytes = static_cast<std::int64_t>(size_of(conv.type().dtype)) * y.end()[-2] * most_pooled_images;
    for (std::int64_t size : spatial(conv, pool.attributes.ints("window"))) bytes *= size;
    return bytes <= largest_scratch ? nullptr : "a window of many images is large";
  }
  std::int64_t rows = 1;
  for (std::size_t i = 0; i + 2 < y.size(); i++) rows *= y[i];
  return rows < fewest_rows ? "there are too few rows of windows to share" : nullptr;
}

class PoolJoiner {
 public:
  PoolJoiner(const Graph& graph, std::vector<Group> groups, FusionLog* log)
      : graph_(graph), groups_(std::move(groups)), log_(log) {}

  std::vector<Group> run() {
    const auto readers = only_readers(graph_, groups_);
    std::set<std::size_t> joined;
    for (Group& conv : groups_) {
      if (!conv.root || !is_conv(conv.root->op) || conv.outputs.size() != 1) continue;
      const auto reader = readers.find(conv.outputs[0]);
      if (reader == readers.end()) continue;
      const auto number = static_cast<std::size_t>(reader->second);
      const Group& pool = groups_[number];
      if (!is_pooling(pool)) continue;
      const char* reason = why_apart(conv, pool);
      if (log_) log_->pool(conv, pool, reason);
      if (reason) continue;
      conv = join(conv, pool);
      joined.insert(number);
    }
    remove_groups(groups_, joined);
    return std::move(groups_);
  }

 private:
  static bool is_pooling(const Group& g) {
    return g.root &&
           (g.root->op == Op::window_max || g.root->op == Op::window_argmax || g.root->op == Op::window_sum);
  }
  static std::vector<const Node*> roots(const Group& g) {
    std::vector<const Node*> all{g.root};
    all.insert(all.end(), g.siblings.begin(), g.siblings.end());
    return all;
  }

  static const char* why_apart(const Group& conv, const Group& pool) {
    const std::vector<const Node*> pools = roots(pool);
    const Value pooled = conv.outputs[0];
    for (const Node* n : pool.nodes)
      for (Value v : n->operands)
        if (v == pooled && std::find(pools.begin(), pools.end(), n) == pools.end())
          return "its results are needed one by one, too";
    if (pool.root->operand(0) != pooled) return "it pools something made of its results";
    if (is_recomputed(*conv.root) != is_recomputed(*pool.root))
      return "one of them is computed a second time";
    if (conv.nodes.size() + pool.nodes.size() > most_nodes_of_a_group) return "the kernel would be too large";
    if (const char* reason = why_no_pool(*conv.root, *pool.root)) return reason;
    return why_not_directly(*conv.root, *pool.root);
  }

  static Group join(const Group& conv, const Group& pool) {
    Group g;
    g.root = conv.root;
    g.pool = roots(pool);
    g.nodes = conv.nodes;
    for (const Node* n : pool.nodes)
      if (std::find(g.nodes.begin(), g.nodes.end(), n) == g.nodes.end()) g.nodes.push_back(n);
    g.outputs = pool.outputs;
    complete_group(g);
    return g;
  }

  const Graph& graph_;
  std::vector<Group> groups_;
  FusionLog* log_;
};

}  // namespace

std::vector<Group> join_pools(const Graph& graph, std::vector<Group> groups, FusionLog* log) {
  return PoolJoiner(graph, std::move(groups), log).run();
}

}  // namespace kiln::graph
