#include <algorithm>
#include <tuple>
#include <unordered_set>

#include "graph/passes/groups.h"

namespace kiln::graph {
namespace {

constexpr std::int64_t little_memory = 64 << 10;
constexpr int most_before = 8;  // groups in a chain that are looked at together

// Which group must come before which. Grows only by edges that leave it without a cycle.
class Precedence {
 public:
  explicit Precedence(std::size_t groups) : after_(groups), before_(groups) {}

  void add(int first, int second) {
    if (first == second || has(first, second)) return;
    after_[at(first)].push_back(second);
    before_[at(second)].push_back(first);
  }
  // False, and nothing is changed, if the order would contradict the others.
  bool add_if_possible(int first, int second) {
    if (first == second || reaches(second, first)) return false;
    add(first, second);
    return true;
  }
  const std::vector<int>& after(int g) const { return after_[at(g)]; }
  const std::vector<int>& before(int g) const { return before_[at(g)]; }

 private:
  static std::size_t at(int g) { return static_cast<std::size_t>(g); }
  bool has(int first, int second) const {
    return std::find(after_[at(first)].begin(), after_[at(first)].end(), second) != after_[at(first)].end();
  }
  bool reaches(int from, int to) const {
    std::vector<char> seen(after_.size(), 0);
    std::vector<int> open = {from};
    while (!open.empty()) {
      const int g = open.back();
      open.pop_back();
      if (g == to) return true;
      for (int next : after_[at(g)])
        if (!seen[at(next)]) seen[at(next)] = 1, open.push_back(next);
    }
    return false;
  }

  std::vector<std::vector<int>> after_, before_;
};

class Scheduler {
 public:
  Scheduler(const Graph& graph, std::span<const Group> groups)
      : graph_(graph),
        groups_(groups),
        arrays_(graph, groups),
        order_(groups.size()),
        reads_(groups.size()),
        growth_(groups.size()),
        needs_since_(groups.size(), -1),
        scheduled_(groups.size(), false) {
    for (int g = 0; g < count(); g++)
      for (Value v : group(g).inputs)
        for (Value array : arrays_.written(v)) {
          std::vector<Value>& reads = reads_[static_cast<std::size_t>(g)];
          if (std::find(reads.begin(), reads.end(), array) != reads.end()) continue;
          reads.push_back(array);
          readers_[array].push_back(g);
        }
    for (const Output& o : graph.outputs())
      for (Value array : arrays_.written(o.value)) kept_[array] = true;
    find_prepared();
    data_before_users();
    checks_before_state_writes();
    old_values_read_before_written();
  }

  bool prepared(int g) const { return prepared_[static_cast<std::size_t>(g)]; }

  std::vector<int> run() {
    std::vector<int> result;
    for (const std::vector<int>& interval : moved_late(intervals()))
      result.insert(result.end(), interval.begin(), interval.end());
    return result;
  }

 private:
  int count() const { return static_cast<int>(groups_.size()); }
  const Group& group(int g) const { return groups_[static_cast<std::size_t>(g)]; }

  // Groups between barriers that the data demand, in order.
  using Intervals = std::vector<std::vector<int>>;

  Intervals intervals() {
    std::vector<int> waiting(groups_.size());
    Intervals result(1);
    std::size_t placed = 0;
    std::vector<int> ready;
    for (int g = 0; g < count(); g++) {
      waiting[static_cast<std::size_t>(g)] = static_cast<int>(order_.before(g).size());
      if (waiting[static_cast<std::size_t>(g)] == 0) ready.push_back(g);
    }
    for (auto& [array, readers] : readers_) left_[array] = static_cast<int>(readers.size());
    for (int g = 0; g < count(); g++) growth_[static_cast<std::size_t>(g)] = growth(g);
    while (!ready.empty()) {
      // First what may be left out of a run; then one that needs no barrier, if it doesn't cost much memory;
      // else the one that makes the arena grow least; among equals the first of the graph's order.
      const auto rank = [&](int g) {
        const std::int64_t bytes = growth_[static_cast<std::size_t>(g)];
        return std::tuple(!prepared_[static_cast<std::size_t>(g)], waits(g) || bytes > little_memory, bytes,
                          g);
      };
      const auto best =
          std::min_element(ready.begin(), ready.end(), [&](int a, int b) { return rank(a) < rank(b); });
      const int g = *best;
      ready.erase(best);
      if (waits(g)) {
        barriers_++;
        result.emplace_back();
      }
      result.back().push_back(g);
      scheduled_[static_cast<std::size_t>(g)] = true;
      placed++;
      for (Value array : reads_[static_cast<std::size_t>(g)])
        if (--left_[array] == 1) find_last_reader(array);
      for (int next : order_.after(g)) {
        needs_since_[static_cast<std::size_t>(next)] = barriers_;
        if (--waiting[static_cast<std::size_t>(next)] == 0) ready.push_back(next);
      }
    }
    if (placed != groups_.size()) throw InternalError("the groups depend on each other in a circle");
    return result;
  }

  // What could be computed early isn't always needed early: a weight's transpose for the gradient, a value
  // that is computed anew. Goes through the intervals from the end and moves such groups to the last interval
  // before all that need them, where that makes lives shorter. Data need no more barriers then.
  Intervals moved_late(Intervals intervals) {
    std::vector<int> left(groups_.size());  // groups after it that have no place yet
    std::vector<int> ready;                 // no such groups are left
    std::vector<std::size_t> place(groups_.size());
    for (std::size_t i = 0; i < intervals.size(); i++)
      for (int g : intervals[i]) place[static_cast<std::size_t>(g)] = i;
    for (int g = 0; g < count(); g++)
      left[static_cast<std::size_t>(g)] = static_cast<int>(order_.after(g).size());
    live_late_.clear();
    for (std::size_t i = intervals.size(); i-- > 0;) {
      std::vector<int>& interval = intervals[i];
      const auto is_here = [&](int g) { return place[static_cast<std::size_t>(g)] == i; };
      std::erase_if(interval, [&](int g) { return !is_here(g); });
      std::erase_if(ready, is_here);
      for (int g : interval) read_late(g);
      std::erase_if(ready, [&](int g) {
        if (prepared(g) || gain_when_late(g, most_before) <= little_memory) return false;
        interval.push_back(g);
        place[static_cast<std::size_t>(g)] = i;
        read_late(g);
        return true;
      });
      for (int g : interval)
        for (int before : order_.before(g))
          if (--left[static_cast<std::size_t>(before)] == 0) ready.push_back(before);
    }
    return intervals;
  }
  void read_late(int g) {
    for (Value array : reads_[static_cast<std::size_t>(g)]) live_late_.insert(array);
  }
  // Bytes that needn't live between the group's early and its late place: its outputs, less its inputs, if
  // only the group keeps them alive. Of those, the ones that are computed from other arrays for this group
  // alone can move with it.
  std::int64_t gain_when_late(int g, int depth) const {
    std::int64_t bytes = 0;
    for (Value v : group(g).outputs)
      if (!kept_.count(v)) bytes += bytes_of(v);
    for (Value array : reads_[static_cast<std::size_t>(g)]) {
      const int producer = arrays_.producer(array);
      if (producer < 0 || prepared(producer) || kept_.count(array) || live_late_.count(array)) continue;
      const bool moves_too = depth > 0 && order_.after(producer).size() == 1;
      const std::int64_t gain = moves_too ? gain_when_late(producer, depth - 1) - bytes_of(array) : 0;
      bytes -= moves_too ? std::min(bytes_of(array), std::max<std::int64_t>(0, -gain)) : bytes_of(array);
    }
    return bytes;
  }

  // All groups but those that read an input or a state that changes, or depend on one that does; that give
  // the program a result; and checks.
  void find_prepared() {
    prepared_.assign(groups_.size(), true);
    std::vector<int> open;
    const auto exclude = [&](int g) {
      if (g < 0 || !prepared(g)) return;
      prepared_[static_cast<std::size_t>(g)] = false;
      open.push_back(g);
    };
    for (int g = 0; g < count(); g++)
      if (group(g).root && group(g).root->op == Op::check) exclude(g);
    const auto exclude_readers = [&](Value array) {
      if (const auto readers = readers_.find(array); readers != readers_.end())
        for (int reader : readers->second) exclude(reader);
    };
    for (Value input : graph_.inputs()) exclude_readers(input);
    for (const Output& o : graph_.outputs())
      for (Value array : arrays_.written(o.value)) exclude(arrays_.producer(array));
    for (const StateSlot& slot : graph_.states()) {
      if (!slot.next) continue;
      exclude_readers(slot.current);
      for (Value array : arrays_.written(slot.next)) exclude(arrays_.producer(array));
    }
    while (!open.empty()) {
      const int g = open.back();
      open.pop_back();
      for (Value v : group(g).outputs) exclude_readers(v);
    }
  }

  void data_before_users() {
    for (const auto& [array, readers] : readers_)
      for (int reader : readers)
        if (arrays_.producer(array) >= 0) order_.add(arrays_.producer(array), reader);
  }

  void checks_before_state_writes() {
    for (const StateSlot& slot : graph_.states()) {
      if (!slot.next) continue;
      for (Value next : arrays_.written(slot.next)) {
        const int writer = arrays_.producer(next);
        if (writer < 0) continue;
        kept_[next] = true;
        // A check that needs the new value can't come first; the plan then writes the state at the end.
        for (int g = 0; g < count(); g++)
          if (group(g).root && group(g).root->op == Op::check) order_.add_if_possible(g, writer);
      }
    }
  }

  void old_values_read_before_written() {
    for (const StateSlot& slot : graph_.states()) {
      const auto readers = readers_.find(slot.current);
      if (!slot.next || readers == readers_.end()) continue;
      for (Value next : arrays_.written(slot.next)) {
        const int writer = arrays_.producer(next);
        if (writer < 0) continue;
        for (int reader : readers->second) order_.add_if_possible(reader, writer);
      }
    }
  }

  // Does the group need what another since the last barrier computes, or write over what it reads?
  bool waits(int g) const { return needs_since_[static_cast<std::size_t>(g)] == barriers_; }

  // With the array's last reader it ends, which makes that one cheaper.
  void find_last_reader(Value array) {
    for (int reader : readers_.at(array))
      if (!scheduled_[static_cast<std::size_t>(reader)])
        growth_[static_cast<std::size_t>(reader)] = growth(reader);
  }

  // Bytes of the arrays that begin with this group less those that end with it. States and outputs aren't
  // counted: they have memory of their own.
  std::int64_t growth(int g) const {
    std::int64_t bytes = 0;
    for (Value v : group(g).outputs)
      if (!kept_.count(v)) bytes += bytes_of(v);
    for (Value array : reads_[static_cast<std::size_t>(g)])
      if (arrays_.producer(array) >= 0 && !kept_.count(array) && left_.at(array) == 1)
        bytes -= bytes_of(array);
    return bytes;
  }

  const Graph& graph_;
  std::span<const Group> groups_;
  Arrays arrays_;
  Precedence order_;
  std::vector<std::vector<Value>> reads_;  // arrays, or parts of arrays, that each group reads
  std::unordered_map<Value, std::vector<int>, ValueHash> readers_;
  std::unordered_map<Value, int, ValueHash> left_;   // readers not scheduled yet
  std::unordered_map<Value, bool, ValueHash> kept_;  // arrays outside the arena
  // By group; kept up to date rather than computed anew for each that is ready at each step.
  std::vector<std::int64_t> growth_;
  std::vector<int> needs_since_;  // barriers before the last scheduled group that must precede it; -1: none
  std::vector<bool> scheduled_, prepared_;
  int barriers_ = 0;
  std::unordered_set<Value, ValueHash> live_late_;  // arrays read in the intervals placed from the end
};

}  // namespace

std::vector<Group> schedule(const Graph& graph, std::vector<Group> groups) {
  std::vector<Group> result;
  Scheduler scheduler(graph, groups);
  for (int g : scheduler.run()) {
    groups[static_cast<std::size_t>(g)].prepared = scheduler.prepared(g);
    result.push_back(std::move(groups[static_cast<std::size_t>(g)]));
  }
  return result;
}

}  // namespace kiln::graph
