#include "graph/passes/drafts.h"

#include <algorithm>

#include "graph/elemental.h"
#include "graph/passes/groups.h"

namespace kiln::graph {
namespace {

void insert(std::vector<int>& set, int g) {
  if (std::find(set.begin(), set.end(), g) == set.end()) set.push_back(g);
}

bool is_root(const Draft& d, const Node* n) {
  return n == d.root || std::find(d.siblings.begin(), d.siblings.end(), n) != d.siblings.end();
}

}  // namespace

Drafts::Drafts(const Graph& graph)
    : uses_(graph.nodes().size()), groups_of_(graph.nodes().size()), view_(graph.nodes().size(), false) {
  for (const Node& n : graph.nodes())
    for (int i = 0; i < static_cast<int>(n.operands.size()); i++)
      uses_[static_cast<std::size_t>(n.operand(i).node->id)].push_back({&n, i});
}

void Drafts::start_collecting() const {
  marks_.resize(drafts_.size(), 0);
  mark_++;
}
void Drafts::collect(const Node& n, bool arrays, std::vector<int>& found) const {
  for (const Use& use : uses(n)) {
    if (is_view(*use.user)) {
      if (!arrays) continue;
      collect(*use.user, true, found);
      collect(*use.user, false, found);
    } else if (reads_array(*use.user, use.operand) == arrays) {
      for (int g : groups_of(*use.user)) {
        int& mark = marks_[static_cast<std::size_t>(g)];
        if (mark != mark_) found.push_back(g);
        mark = mark_;
      }
    }
  }
}
std::vector<int> Drafts::evaluators(const Node& n) const {
  std::vector<int> found;
  start_collecting();
  collect(n, false, found);
  return found;
}
std::vector<int> Drafts::readers(const Node& n) const {
  std::vector<int> found;
  start_collecting();
  collect(n, true, found);
  return found;
}
std::vector<int> Drafts::consumers(const Node& n) const {
  std::vector<int> found;
  start_collecting();
  collect(n, false, found);
  collect(n, true, found);
  return found;
}

Evaluation Drafts::evaluation(const Node& n, int g) const {
  const Draft& d = drafts_[static_cast<std::size_t>(g)];
  const auto elements = static_cast<double>(n.type().shape.elements());
  Evaluation e;
  double aligned = 0;  // users that need the same element share its evaluation
  e.places.clear();
  for (const Use& use : uses(n)) {
    const auto at = d.nodes.find(use.user);
    if (at == d.nodes.end() || reads_array(*use.user, use.operand)) continue;
    const Evaluation& user = at->second;
    if (is_root(d, use.user)) {
      e.moved = true;
      aligned = std::max(aligned, elements);
      insert(e.places, 1);
    } else if (definition(use.user->op).op_class == OpClass::elementwise) {
      e.own |= user.own;
      e.moved |= user.moved;
      aligned = std::max(aligned, user.times);
      for (int place : user.places) insert(e.places, place);
    } else {
      e.moved = true;
      for (int place : user.places) insert(e.places, place_behind(use, place));
      const bool part = use.user->op == Op::pad || use.user->op == Op::concatenate;
      e.times += part ? std::min(user.times, elements) : user.times;
    }
  }
  e.times += aligned;
  return e;
}

int Drafts::place_behind(const Use& use, int place) const {
  const int fresh = static_cast<int>(places_.size()) + 2;
  return places_.emplace(std::tuple(use.user, use.operand, place), fresh).first->second;
}

void Drafts::add(const Node& n, int g, Evaluation e) {
  Draft& d = drafts_[static_cast<std::size_t>(g)];
  d.nodes[&n] = e;
  insert(groups_of_[static_cast<std::size_t>(n.id)], g);
}

int Drafts::create(Draft draft) {
  drafts_.push_back(std::move(draft));
  for (const auto& [node, e] : drafts_.back().nodes)
    insert(groups_of_[static_cast<std::size_t>(node->id)], size() - 1);
  return size() - 1;
}

bool Drafts::reaches(std::vector<int> from, int to) const {
  std::vector<bool> seen(drafts_.size(), false);
  for (int g : from) seen[static_cast<std::size_t>(g)] = true;
  std::vector<int> open = std::move(from);
  while (!open.empty()) {
    const int g = open.back();
    open.pop_back();
    if (g == to) return true;
    for (Value v : drafts_[static_cast<std::size_t>(g)].outputs)
      for (int next : consumers(*v.node)) {
        if (!seen[static_cast<std::size_t>(next)]) open.push_back(next);
        seen[static_cast<std::size_t>(next)] = true;
      }
  }
  return false;
}

bool Drafts::can_provide(const Node& n, int g) const {
  const std::vector<int> as_array = readers(n);
  if (std::find(as_array.begin(), as_array.end(), g) != as_array.end()) return false;
  std::vector<int> others = consumers(n);
  std::erase(others, g);
  return !reaches(std::move(others), g);
}

void Drafts::merge(int a, int b) {
  Draft moved = std::move(drafts_[static_cast<std::size_t>(b)]);
  drafts_[static_cast<std::size_t>(b)] = {};
  drafts_[static_cast<std::size_t>(b)].dead = true;
  Draft& d = drafts_[static_cast<std::size_t>(a)];
  if (!d.root)
    d.root = moved.root;
  else if (moved.root)
    d.siblings.push_back(moved.root);
  d.siblings.insert(d.siblings.end(), moved.siblings.begin(), moved.siblings.end());
  d.outputs.insert(d.outputs.end(), moved.outputs.begin(), moved.outputs.end());
  for (const auto& [node, e] : moved.nodes) {
    const auto [at, added] = d.nodes.emplace(node, e);
    if (Evaluation& mine = at->second; !added) {
      mine.own |= e.own;
      mine.moved |= e.moved;
      mine.times = std::max(mine.times, e.times);
      for (int place : e.places) insert(mine.places, place);
    }
    std::vector<int>& groups = groups_of_[static_cast<std::size_t>(node->id)];
    std::erase(groups, b);
    insert(groups, a);
  }
}

std::vector<Group> Drafts::finish() {
  std::vector<Group> groups;
  for (std::size_t k = drafts_.size(); k-- > 0;) {
    const Draft& d = drafts_[k];
    if (d.dead) continue;
    Group g;
    g.root = d.root;
    g.siblings = d.siblings;
    g.outputs = d.outputs;
    for (const auto& [node, e] : d.nodes) g.nodes.push_back(node);
    std::sort(g.nodes.begin(), g.nodes.end(), [](const Node* a, const Node* b) { return a->id < b->id; });
    std::sort(g.outputs.begin(), g.outputs.end(), [](Value a, Value b) {
      return std::pair(a.node->id, a.result) < std::pair(b.node->id, b.result);
    });
    // A reshape whose operand turned out to be an array is a view of it.
    std::unordered_map<const Node*, bool> kept;
    std::erase_if(g.nodes, [&](const Node* n) {
      const bool view = n->op == Op::reshape && !kept.count(n->operand(0).node) &&
                        std::find(g.outputs.begin(), g.outputs.end(), n->value()) == g.outputs.end();
      if (!view) kept[n] = true;
      return view;
    });
    complete_group(g);
    groups.push_back(std::move(g));
  }
  // Built from the end; in the graph's order they are easier to read.
  std::sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) {
    return std::pair(a.nodes.back()->id, a.nodes.front()->id) <
           std::pair(b.nodes.back()->id, b.nodes.front()->id);
  });
  return groups;
}

}  // namespace kiln::graph
