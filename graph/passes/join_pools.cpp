#include "graph/passes/join_pools.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "graph/elemental.h"
#include "graph/ops/batch_last.h"
#include "graph/ops/winograd.h"
#include "graph/passes/groups.h"
#include "graph/passes/rematerialize.h"

namespace kiln::graph {
namespace {

// A convolution that isn't in Winograd's form goes through its kernel once for each row of windows, and keeps
// the results under these in scratch memory: both should stay in a near cache.
constexpr std::int64_t largest_kernel = std::int64_t{128} << 10, largest_scratch = std::int64_t{256} << 10;
constexpr std::int64_t largest_window = 15;  // elements, which are written out, in one chain of a sum

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
  if (!windows_tile(pool, pool.operand(0).shape())) return "its windows stick out";
  std::int64_t elements = 1, of_pixels = 1;
  for (std::int64_t size : window) elements *= size;
  const Ints pixels = spatial(conv, window);
  for (std::int64_t size : pixels) of_pixels *= size;
  if (elements != of_pixels) return "its windows hold more than pixels of one channel";
  if (elements > largest_window) return "its windows are large";
  if (conv.op != Op::winograd_conv) return nullptr;
  const std::int64_t edge = winograd::results(conv.attributes.integer("window"));
  const bool divide = std::all_of(pixels.begin(), pixels.end(), [&](auto size) { return edge % size == 0; });
  return divide ? nullptr : "its windows cross the convolution's tiles";
}

// Null if a convolution that isn't in Winograd's form can keep the results under a row of windows.
const char* why_no_row(const Node& conv, const Node& pool) {
  if (conv.op == Op::winograd_conv) return nullptr;
  if (conv.attributes.integer("groups") != 1) return "the convolution has groups";
  const Value kernel = conv.operand(1);
  if (bytes_of(kernel) > largest_kernel) return "the convolution's kernel is large";
  const Ints window = spatial(conv, pool.attributes.ints("window"));
  if (is_batch_last(conv)) return nullptr;
  std::int64_t bytes =
      conv.type().shape.sizes().back() * static_cast<std::int64_t>(size_of(conv.type().dtype));
  for (std::int64_t size : window) bytes *= size;
  bytes *= pool.type().shape[static_cast<std::size_t>(pool.type().shape.rank()) - 2];
  return bytes <= largest_scratch ? nullptr : "a row of windows is large";
}

class PoolJoiner {
 public:
  PoolJoiner(const Graph& graph, std::vector<Group> groups, FusionLog* log)
      : graph_(graph), groups_(std::move(groups)), log_(log) {}

  std::vector<Group> run() {
    find_readers();
    std::set<std::size_t> joined;
    for (Group& conv : groups_) {
      if (!conv.root || !is_conv(conv.root->op) || conv.outputs.size() != 1) continue;
      const int reader = only_reader(conv.outputs[0]);
      if (reader < 0) continue;
      const Group& pool = groups_[static_cast<std::size_t>(reader)];
      if (!is_pooling(pool)) continue;
      const char* reason = why_apart(conv, pool);
      if (log_) log_->pool(conv, pool, reason);
      if (reason) continue;
      conv = join(conv, pool);
      joined.insert(static_cast<std::size_t>(reader));
    }
    for (auto g = joined.rbegin(); g != joined.rend(); ++g)
      groups_.erase(groups_.begin() + static_cast<std::ptrdiff_t>(*g));
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

  void find_readers() {
    const Arrays arrays(graph_, groups_);
    const auto add = [&](Value v, int reader) {
      for (Value written : arrays.written(v)) readers_[written].insert(reader);
    };
    for (std::size_t g = 0; g < groups_.size(); g++)
      for (Value v : groups_[g].inputs) add(v, static_cast<int>(g));
    for (const Output& o : graph_.outputs()) add(o.value, outside);
    for (const StateSlot& s : graph_.states())
      if (s.next) add(s.next, outside);
  }
  // The only group that needs an array, or `outside`.
  int only_reader(Value array) const {
    const auto at = readers_.find(array);
    return at != readers_.end() && at->second.size() == 1 ? *at->second.begin() : outside;
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
    return why_no_row(*conv.root, *pool.root);
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
  static constexpr int outside = -1;
  std::unordered_map<Value, std::set<int>, ValueHash> readers_;  // groups
};

}  // namespace

std::vector<Group> join_pools(const Graph& graph, std::vector<Group> groups, FusionLog* log) {
  return PoolJoiner(graph, std::move(groups), log).run();
}

}  // namespace kiln::graph
