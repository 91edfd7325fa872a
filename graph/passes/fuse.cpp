#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "graph/elemental.h"
#include "graph/passes/drafts.h"
#include "graph/passes/fusion_costs.h"
#include "graph/passes/fusion_log.h"
#include "graph/passes/groups.h"
#include "graph/passes/join_pool_grads.h"
#include "graph/passes/join_pools.h"
#include "graph/passes/join_rows.h"
#include "graph/passes/rematerialize.h"

// Greedy fusion, from the results back to the inputs. Every node is placed after all its users:
//
//   heavy nodes    become the root of the map that uses them elementwise (their epilogue), a sibling of a
//                  reduction over the same elements, or the root of a group of their own;
//   other nodes    go into their only user's group; cheap ones into every user's; the rest are written to
//                  memory, if possible by a group that computes them anyway (a further output).
//
// At the end, maps over the same elements that read common arrays are joined, and groups over the same rows
// (join_rows.cpp), convolutions with the pooling behind them (join_pools.cpp), and the gradients of a pooling
// with that of a kernel (join_pool_grads.cpp).
namespace kiln::graph {
namespace {

// Of one node in a kernel's code: halves of halves of an array (a product's gradient) would double with each
// step.
constexpr std::size_t most_places = 32;
// Maps that depend on a map, which are looked at before giving up: in a deep network all earlier ones do, and
// to see that takes a walk through the groups between.
constexpr int most_failures = 16;
constexpr std::int64_t tiny = 64;      // elements: such maps are joined whatever they read
constexpr std::int64_t small = 16384;  // elements: kernels that take less time than it takes to start them

bool takes_epilogue(const Node& node) {
  switch (node.op) {
    case Op::dot:
    case Op::dot_panels:
    case Op::conv:
    case Op::conv_input_grad:
    case Op::conv_kernel_grad:
    case Op::conv_batch_last:
    case Op::conv_kernel_sums:
    case Op::winograd_conv:
    case Op::window_sum:
    case Op::window_sum_grad:
    case Op::window_max:
    case Op::window_argmax:
    case Op::window_max_grad:
    case Op::window_max_pick:
    case Op::argmax:
      return true;
    default:
      return is_reduction(node.op);
  }
}

bool finds_maxima(Op op) {
  return op == Op::window_max || op == Op::window_argmax;
}

// Can one kernel compute both in the same loops? Reductions over the same elements; the maxima of the same
// windows, and where these lie.
bool share_loops(const Node& a, const Node& b) {
  if (finds_maxima(a.op) && finds_maxima(b.op))
    return a.operand(0) == b.operand(0) && a.attributes == b.attributes;
  return is_reduction(a.op) && is_reduction(b.op) && a.operand(0).shape() == b.operand(0).shape() &&
         a.attributes.ints("axes") == b.attributes.ints("axes");
}

// Nodes that are arrays whatever fusion does, or not nodes of a kernel at all.
bool is_leaf(const Node& n) {
  return n.op == Op::input || n.op == Op::state || (n.op == Op::constant && !is_immediate(n));
}

class Fuser {
 public:
  /// `log` null: nobody asks for reasons.
  Fuser(const Graph& graph, FusionLog* log)
      : graph_(graph), log_(log), costs_(graph), drafts_(graph), kept_(graph.nodes().size(), false) {
    for (const Output& o : graph.outputs()) keep(o.value);
    for (const StateSlot& s : graph.states())
      if (s.next) keep(s.next);
  }

  std::vector<Group> run() {
    for (std::size_t id = graph_.nodes().size(); id-- > 0;) {
      const Node& n = graph_.nodes()[id];
      if (is_leaf(n)) continue;
      if (n.op == Op::reshape && place_view(n)) continue;
      if (n.op == Op::concatenate && place_parts(n)) continue;
      if (n.op == Op::slice && place_slice(n)) continue;
      if (is_elemental(n))
        place_elemental(n);
      else
        place_heavy(n);
    }
    join_maps();
    return drafts_.finish();
  }

 private:
  void keep(Value v) { kept_[static_cast<std::size_t>(v.node->id)] = true; }
  // Must the node be an array, by an output, a state, or something that reads it as one?
  bool needs_array(const Node& n) const {
    return kept_[static_cast<std::size_t>(n.id)] || !drafts_.readers(n).empty();
  }

  // ---- reshapes -------------------------------------------------------------------------------------------

  // A reshape of something that is or must be an array costs nothing: its readers read that array.
  bool place_view(const Node& n) {
    const Node& operand = *n.operand(0).node;
    const bool array = is_leaf(operand) || (!is_elemental(operand) && !is_immediate(operand));
    const bool shared = drafts_.evaluators(n).size() > 1 && !costs_.may_repeat(operand);
    if (!array && !shared && !needs_array(n)) return false;
    drafts_.make_view(n);
    if (kept_[static_cast<std::size_t>(n.id)]) keep(n.operand(0));
    return true;
  }

  // ---- parts of arrays ------------------------------------------------------------------------------------

  // A slice that others want as an array is a part of its operand's, if that is one anyway.
  bool place_slice(const Node& n) {
    if (kept_[static_cast<std::size_t>(n.id)] || drafts_.readers(n).empty()) return false;
    const char* reason = why_no_slice(n);
    if (log_) log_->part(n, *n.operand(0).node, reason);
    if (!reason) drafts_.make_view(n);
    return !reason;
  }
  const char* why_no_slice(const Node& n) const {
    const Node& operand = *n.operand(0).node;
    const Ints& stride = n.attributes.ints("stride");
    if (n.type().shape.elements() == 0) return "it has no elements";
    if (std::any_of(stride.begin(), stride.end(), [](std::int64_t s) { return s != 1; }))
      return "its elements aren't neighbours";
    const Node* base = &operand;  // a reshape of an array is one
    while (base->op == Op::reshape) base = base->operand(0).node;
    if (!is_leaf(*base) && is_elemental(*base) && !is_cut_up(operand))
      return "its operand is rather computed for it alone";
    return why_not_apart(n);
  }
  // Is as much read in slices as the node has elements?
  bool is_cut_up(const Node& n) const {
    std::int64_t elements = 0;
    for (const Drafts::Use& use : drafts_.uses(n))
      if (use.user->op == Op::slice) elements += use.user->type().shape.elements();
    return definition(n.op).op_class == OpClass::elementwise && elements >= n.type().shape.elements();
  }
  // Where a kernel that sums over several axes can go through them as one, it does, and that decides the
  // order of the sum. It mustn't hang on what is a part, which may be so for one image and not for many.
  // (Sums over the batch are no predictions.) n and what is computed of it element by element are looked at.
  bool is_summed_over_axes(const Node& n) const {
    std::vector<const Node*> chain = {&n};
    for (std::size_t i = 0; i < chain.size(); i++)
      for (const Drafts::Use& use : drafts_.uses(*chain[i])) {
        const Node& user = *use.user;
        if (user.op == Op::reduce_sum || user.op == Op::reduce_prod) {
          const Ints& axes = user.attributes.ints("axes");
          const bool over_batch = !axes.empty() && axes[0] == 0 && user.operand(0).shape() == n.type().shape;
          if (axes.size() > 1 && !over_batch) return true;
        }
        if (user.op == Op::window_sum || user.op == Op::window_sum_grad) return true;
        const bool goes_on = user.op != Op::window_max && is_elemental(user);
        if (goes_on && std::find(chain.begin(), chain.end(), &user) == chain.end()) chain.push_back(&user);
      }
    return false;
  }
  // Null if all users of n can read its rows where they lie apart.
  const char* why_not_apart(const Node& n) const {
    if (is_summed_over_axes(n)) return "a sum over several axes of it must have one order in any batch";
    for (const Drafts::Use& use : drafts_.uses(n)) {
      const Op op = use.user->op;
      if (op == Op::reshape) return "as a part its rows lie apart, and a reshape needs them together";
      if (op != Op::conv && op != Op::conv_kernel_grad && op != Op::conv_kernel_sums) continue;
      Shape kernel = (op == Op::conv ? use.user->operand(1) : use.user->value()).shape();
      if (op == Op::conv_kernel_sums) kernel = kernel.slice(1, kernel.rank());
      if (kernel.elements() > kernel.back() * n.type().shape.back())
        return "a convolution goes through the channels of neighbouring pixels at once";
    }
    return nullptr;
  }

  // Where kernels compute all operands (the branches of a block), each may as well write its own to where it
  // belongs in the concatenation. Their readers find them there, too.
  bool place_parts(const Node& n) {
    if (drafts_.consumers(n).empty() && !kept_[static_cast<std::size_t>(n.id)]) return false;
    for (std::size_t i = 0; i < n.operands.size(); i++) {
      const char* reason = why_no_part(n, n.operands[i]);
      if (log_) log_->part(*n.operands[i].node, n, reason);
      if (reason) return false;
    }
    drafts_.make_view(n);
    for (Value v : n.operands) keep(v);
    return true;
  }
  // Null if what computes v can write it into the concatenation n.
  const char* why_no_part(const Node& n, Value v) const {
    if (v.shape().elements() == 0) return "it has no elements";
    if (!is_result_of_product(v)) return "no product or pooling gives it";
    if (kept_[static_cast<std::size_t>(v.node->id)]) return "it has to lie elsewhere, too";
    if (std::count(n.operands.begin(), n.operands.end(), v) > 1) return "it is concatenated with itself";
    return why_not_apart(*v.node);
  }
  // Does v come, element by element, from one of the ops whose kernels write each result just once?
  static bool is_result_of_product(Value v) {
    constexpr std::size_t most = 64;
    std::vector<const Node*> chain = {v.node};
    for (std::size_t i = 0; i < chain.size() && chain.size() < most; i++) {
      const Node& node = *chain[i];
      if (node.type().shape != v.shape()) continue;
      if (node.op == Op::dot || node.op == Op::dot_panels || node.op == Op::conv ||
          node.op == Op::winograd_conv || node.op == Op::window_max || node.op == Op::window_sum)
        return true;
      if (definition(node.op).op_class != OpClass::elementwise) continue;
      for (Value operand : node.operands)
        if (std::find(chain.begin(), chain.end(), operand.node) == chain.end()) chain.push_back(operand.node);
    }
    return false;
  }

  // ---- elementwise and movement ---------------------------------------------------------------------------

  void place_elemental(const Node& n) {
    const bool array = needs_array(n);
    // Arithmetic that is an array anyway is rather read; movement isn't: what it moves can be read as well.
    const bool read = array && definition(n.op).op_class == OpClass::elementwise;
    if (costs_.may_repeat(n) && !read && (is_immediate(n) || has_few_places(n))) {
      for (int g : drafts_.evaluators(n)) {
        drafts_.add(n, g, drafts_.evaluation(n, g));
        if (log_) log_->fused(n, drafts_[g], "cheap enough to be computed wherever it is used");
      }
      if (array && !is_immediate(n)) create_map(n);
      return;
    }
    join_readers(n);
    const std::vector<int> users = drafts_.evaluators(n);
    const auto obstacle = [&](int g) -> const char* {
      if (array) return "its array is needed as well";
      if (users.size() > 1) return "several kernels use it, so it is computed once and read";
      if (const char* misfit = why_unfit(n, g)) return misfit;
      return is_rather_epilogue(n, g) ? "it joins the kernel that computes its operand" : nullptr;
    };
    if (users.size() == 1 && !obstacle(users[0])) {
      drafts_.add(n, users[0], drafts_.evaluation(n, users[0]));
      if (log_) log_->fused(n, drafts_[users[0]], "nothing else uses it");
      return;
    }
    if (users.empty() && !array) return;
    for (int g : users)
      if (is_computed_by(n, g)) {
        drafts_.add(n, g, drafts_.evaluation(n, g));
        drafts_[g].outputs.push_back(n.value());
        if (log_) log_->fused(n, drafts_[g], "computed there anyway, and written for others");
        return;
      }
    if (log_)
      for (int g : users) log_->apart(n, drafts_[g], obstacle(g));
    create_map(n);
  }

  // A chain between two roots (conv + bias, sigmoid, pooling) could be the first's epilogue or be computed
  // for the second. The same arrays are written and read; the epilogue finds its operands in registers.
  bool is_rather_epilogue(const Node& n, int g) {
    if (drafts_.evaluation(n, g).own) return false;
    const Node* below = &n;
    while (definition(below->op).op_class == OpClass::elementwise) {
      const Node* next = nullptr;
      for (Value v : below->operands) {
        if (v.shape() != n.type().shape || costs_.may_repeat(*v.node) || is_leaf(*v.node)) continue;
        if (next && next != v.node) return false;
        next = v.node;
      }
      if (!next || has_other_users(*next, *below)) return false;
      below = next;
    }
    return takes_epilogue(*below);
  }
  bool has_other_users(const Node& n, const Node& user) const {
    return std::any_of(drafts_.uses(n).begin(), drafts_.uses(n).end(),
                       [&](const Drafts::Use& use) { return use.user != &user; });
  }

  // Small kernels that need n for the same elements become one, rather than n an array between them.
  void join_readers(const Node& n) {
    if (n.type().shape.elements() > small) return;
    int first = -1;
    for (int g : drafts_.evaluators(n)) {
      if (drafts_[g].space != n.type().shape || !drafts_.evaluation(n, g).own) continue;
      if (first < 0)
        first = g;
      else if (!(drafts_[first].root && drafts_[g].root) && fit_together(first, g))
        drafts_.merge(first, g);
    }
  }
  bool have_room(int a, int b) {
    return drafts_[a].nodes.size() + drafts_[b].nodes.size() <= most_nodes_of_a_group &&
           drafts_[a].outputs.size() + drafts_[b].outputs.size() <= most_outputs_of_a_group;
  }
  bool fit_together(int a, int b) { return have_room(a, b) && drafts_.can_merge(a, b); }

  // Null if n can be computed where g uses it.
  const char* why_unfit(const Node& n, int g) {
    const Evaluation e = drafts_.evaluation(n, g);
    if (drafts_[g].nodes.size() >= most_nodes_of_a_group) return "the kernel is as large as kernels may be";
    if (e.places.size() > most_places) return "it would stand at too many places of the kernel's code";
    if (!costs_.may_evaluate(n, e.times)) return "each element would be computed several times";
    return nullptr;
  }
  bool has_few_places(const Node& n) {
    const std::vector<int> groups = drafts_.evaluators(n);
    return std::all_of(groups.begin(), groups.end(),
                       [&](int g) { return drafts_.evaluation(n, g).places.size() <= most_places; });
  }
  // Does g need every element of n just where it writes its own?
  bool is_computed_by(const Node& n, int g) {
    return n.type().shape == drafts_[g].space && drafts_.evaluation(n, g).own && !why_unfit(n, g) &&
           drafts_[g].outputs.size() < most_outputs_of_a_group && drafts_.can_provide(n, g);
  }
  int create_map(const Node& n) {
    Draft d;
    d.nodes[&n] = {true, false, static_cast<double>(n.type().shape.elements())};
    d.outputs = {n.value()};
    d.space = n.type().shape;
    return drafts_.create(std::move(d));
  }

  // ---- reductions, products, windows, ... -----------------------------------------------------------------

  void place_heavy(const Node& n) {
    if (takes_epilogue(n)) join_readers(n);
    int g = takes_epilogue(n) ? epilogue_for(n) : -1;
    if (log_ && !takes_epilogue(n))
      for (int user : drafts_.consumers(n)) log_->apart(n, drafts_[user], "its kernels take no epilogue");
    if (g < 0) {
      Draft d;
      d.root = &n;
      d.space = n.op == Op::check ? n.operand(0).shape() : n.type().shape;
      d.nodes[&n] = {true, false, static_cast<double>(d.space.elements())};
      for (int i = 0; i < static_cast<int>(n.results.size()); i++) d.outputs.push_back(n.value(i));
      g = drafts_.create(std::move(d));
    }
    if (is_reduction(n.op) || finds_maxima(n.op)) join_siblings(n, g);
  }

  // The group that uses n elementwise, in which n becomes the root (or a sibling of the root); or -1.
  int epilogue_for(const Node& n) {
    const std::vector<int> users = drafts_.evaluators(n);
    const bool shared = users.size() > 1 || needs_array(n);
    for (int g : users) {
      Draft& d = drafts_[g];
      if (const char* reason = why_no_root(n, g, shared)) {
        if (log_) log_->apart(n, d, reason);
        continue;
      }
      if (log_) log_->fused(n, d, d.root ? "in the same loops as its root" : "it becomes the kernel's root");
      drafts_.add(n, g, drafts_.evaluation(n, g));
      if (d.root)
        d.siblings.push_back(&n);
      else
        d.root = &n;
      if (shared) d.outputs.push_back(n.value());
      return g;
    }
    return -1;
  }
  // Null if n can become the root of g, which uses it, or a sibling of g's root.
  const char* why_no_root(const Node& n, int g, bool shared) {
    const Draft& d = drafts_[g];
    const Evaluation e = drafts_.evaluation(n, g);
    if (d.root && !share_loops(*d.root, n)) return "that kernel has another root";
    if (d.space != n.type().shape || !e.own || e.moved)
      return "it is used at other elements than the kernel's";
    if (d.nodes.size() >= most_nodes_of_a_group) return "the kernel is as large as kernels may be";
    if (!drafts_.can_provide(n, g)) return "what else the kernel needs depends on it";
    if (shared && d.outputs.size() >= most_outputs_of_a_group)
      return "the kernel writes as many arrays as it may";
    return nullptr;
  }

  // Roots of equal loops are computed in the same ones if they read something in common.
  void join_siblings(const Node& n, int g) {
    for (int other = 0; other < drafts_.size(); other++) {
      const Draft& d = drafts_[other];
      if (d.dead || other == g || !d.root || !share_loops(*d.root, n) || !share_operand(*d.root, n)) continue;
      if (is_recomputed(*d.root) != is_recomputed(n)) continue;
      if (d.nodes.size() + drafts_[g].nodes.size() > most_nodes_of_a_group || !drafts_.can_merge(g, other))
        continue;
      if (log_) log_->fused(n, d, "both reduce over the same elements of what they share");
      drafts_.merge(g, other);
    }
  }

  // Is something that isn't a single number read by both?
  static bool share_operand(const Node& a, const Node& b) {
    std::vector<const Node*> of_a, of_b;
    gather_operands(a, 4, of_a);
    gather_operands(b, 4, of_b);
    return std::any_of(of_a.begin(), of_a.end(), [&](const Node* n) {
      return n->type().shape.elements() > 1 && std::find(of_b.begin(), of_b.end(), n) != of_b.end();
    });
  }
  static void gather_operands(const Node& n, int depth, std::vector<const Node*>& found) {
    for (Value v : n.operands) {
      found.push_back(v.node);
      if (depth > 1 && is_elemental(*v.node)) gather_operands(*v.node, depth - 1, found);
    }
  }

  // ---- joining maps ---------------------------------------------------------------------------------------

  void join_maps() {
    std::map<Shape, std::vector<int>> maps;  // by space, later ones first
    for (int g = drafts_.size() - 1; g >= 0; g--)
      if (!drafts_[g].dead && !drafts_[g].root && !recomputes(drafts_[g]))
        maps[drafts_[g].space].push_back(g);
    for (const auto& [space, groups] : maps) {
      Readers readers;
      for (std::size_t i = 0; i < groups.size(); i++)
        for (Value v : arrays_read(drafts_[groups[i]])) readers[v].push_back(i);
      for (std::size_t i = 0; i < groups.size(); i++) join_earlier(groups, i, readers);
    }
  }
  static bool recomputes(const Draft& d) {
    return std::any_of(d.nodes.begin(), d.nodes.end(), [](const auto& n) { return is_recomputed(*n.first); });
  }
  // By array: places in the list of groups, ascending. Asking every pair what it shares would take too long.
  using Readers = std::unordered_map<Value, std::vector<std::size_t>, ValueHash>;

  void join_earlier(const std::vector<int>& groups, std::size_t i, const Readers& readers) {
    const int a = groups[i];
    std::set<std::size_t> open;
    const auto add_readers = [&](const Draft& d, std::size_t behind) {
      for (Value v : arrays_read(d))
        for (std::size_t k : readers.at(v))
          if (k > behind) open.insert(k);
    };
    if (drafts_[a].dead) return;
    const bool is_tiny = drafts_[a].space.elements() <= tiny;
    if (is_tiny)
      for (std::size_t k = i + 1; k < groups.size(); k++) open.insert(open.end(), k);
    else
      add_readers(drafts_[a], i);
    for (int failures = 0; !open.empty() && failures < most_failures;) {
      const std::size_t k = *open.begin();
      open.erase(open.begin());
      const int b = groups[k];
      if (drafts_[a].outputs.size() >= most_outputs_of_a_group) return;
      if (drafts_[b].dead || !have_room(a, b)) continue;
      if (!is_tiny && !read_common_array(drafts_[a], drafts_[b])) continue;
      if (!drafts_.can_merge(a, b)) {
        if (log_) log_->apart(namesake(drafts_[b]), drafts_[a], "one map depends on the other");
        failures++;
        continue;
      }
      if (log_) log_->fused(namesake(drafts_[b]), drafts_[a], "maps over the same elements");
      if (!is_tiny) add_readers(drafts_[b], k);
      drafts_.merge(a, b);
    }
  }
  // What a map reads of its space's size and doesn't compute.
  static std::vector<Value> arrays_read(const Draft& d) {
    std::vector<Value> arrays;
    for (const auto& [node, e] : d.nodes)
      for (Value v : node->operands)
        if (v.shape() == d.space && !d.nodes.count(v.node)) arrays.push_back(v);
    return arrays;
  }
  // Something of the space's size that both read and neither computes.
  static bool read_common_array(const Draft& x, const Draft& y) {
    for (const auto& [node, e] : x.nodes)
      for (Value v : node->operands) {
        if (v.shape() != x.space || x.nodes.count(v.node) || y.nodes.count(v.node)) continue;
        for (const auto& [other, f] : y.nodes)
          if (std::find(other->operands.begin(), other->operands.end(), v) != other->operands.end())
            return true;
      }
    return false;
  }

  const Graph& graph_;
  FusionLog* log_;
  FusionCosts costs_;
  Drafts drafts_;
  std::vector<bool> kept_;
};

// One group a node.
std::vector<Group> separate(const Graph& graph) {
  std::vector<Group> groups;
  for (const Node& n : graph.nodes()) {
    if (is_leaf(n) || is_immediate(n) || n.op == Op::reshape) continue;
    Group group;
    group.nodes = {&n};
    for (int i = 0; i < static_cast<int>(n.operands.size()); i++) {
      const Node* operand = n.operand(i).node;
      const bool known = std::find(group.nodes.begin(), group.nodes.end(), operand) != group.nodes.end();
      if (is_immediate(*operand) && !reads_array(n, i) && !known) group.nodes.push_back(operand);
    }
    if (!is_elemental(n)) group.root = &n;
    for (int i = 0; i < static_cast<int>(n.results.size()); i++) group.outputs.push_back(n.value(i));
    complete_group(group);
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace

std::vector<Group> fuse(const Graph& graph, const PlanOptions& options, FusionLog* log) {
  if (!options.fuse) return separate(graph);
  std::vector<Group> groups = join_rows(graph, Fuser(graph, log).run(), log);
  return join_pool_grads(graph, join_pools(graph, std::move(groups), log), log);
}

}  // namespace kiln::graph
