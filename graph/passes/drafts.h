#pragma once
#include <map>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "graph/plan.h"

namespace kiln::graph {

/// How a node is evaluated inside a group.
struct Evaluation {
  bool own = false;    ///< at the index that is being written
  bool moved = false;  ///< at other indices, for movement or for the root
  double times = 0;    ///< evaluations in one run of the kernel
  /// Where in the kernel's code: 0 is the index that is written, 1 the root's; each movement that reads it
  /// asks for other elements, at a place of its own. Elementwise users at one place share the evaluation.
  std::vector<int> places = {0};
};

/// A group in the making.
struct Draft {
  const Node* root = nullptr;
  std::vector<const Node*> siblings;
  std::unordered_map<const Node*, Evaluation> nodes;
  std::vector<Value> outputs;
  Shape space;
  bool dead = false;  ///< merged into another
};

/// Groups in the making, built from the graph's end to its beginning: all users of a node are placed before
/// it is. So whatever is not yet placed comes before every group, and a path from one group to another runs
/// through placed nodes only: that makes it cheap to prove that a step closes no circle.
class Drafts {
 public:
  explicit Drafts(const Graph& graph);

  struct Use {
    const Node* user;
    int operand;
  };
  const std::vector<Use>& uses(const Node& n) const { return uses_[static_cast<std::size_t>(n.id)]; }
  const std::vector<int>& groups_of(const Node& n) const {
    return groups_of_[static_cast<std::size_t>(n.id)];
  }
  Draft& operator[](int g) { return drafts_[static_cast<std::size_t>(g)]; }
  int size() const { return static_cast<int>(drafts_.size()); }

  /// Groups that would evaluate n themselves, and groups that read it as an array (through reshapes, too).
  std::vector<int> evaluators(const Node& n) const;
  std::vector<int> readers(const Node& n) const;
  /// Groups that need n in any way.
  std::vector<int> consumers(const Node& n) const;

  /// How group g would evaluate n, from n's users in it.
  Evaluation evaluation(const Node& n, int g) const;
  void add(const Node& n, int g, Evaluation e);
  int create(Draft draft);
  /// A reshape that isn't computed: what reads it reads its operand's array.
  void make_view(const Node& n) { view_[static_cast<std::size_t>(n.id)] = true; }
  bool is_view(const Node& n) const { return view_[static_cast<std::size_t>(n.id)]; }

  /// True if data flows from one of the groups `from` (perhaps through others) to group `to`.
  bool reaches(std::vector<int> from, int to) const;
  /// True if g could compute n for the other groups that need it: none of them leads back to g, and g doesn't
  /// itself read n as an array, which has to be complete before.
  bool can_provide(const Node& n, int g) const;
  /// True if the two could be one.
  bool can_merge(int a, int b) const { return a != b && !reaches({a}, b) && !reaches({b}, a); }
  /// Moves all of `b` into `a`.
  void merge(int a, int b);

  std::vector<Group> finish();

 private:
  // The groups that `collect` finds until the next start are found once.
  void start_collecting() const;
  void collect(const Node& n, bool arrays, std::vector<int>& found) const;
  int place_behind(const Use& use, int place) const;

  std::vector<std::vector<Use>> uses_;
  std::vector<std::vector<int>> groups_of_;
  std::vector<bool> view_;
  std::vector<Draft> drafts_;
  mutable std::vector<int> marks_;  // by group: the last collection that found it
  mutable int mark_ = 0;
  mutable std::map<std::tuple<const Node*, int, int>, int> places_;  // by user, operand and the user's place
};

}  // namespace kiln::graph
