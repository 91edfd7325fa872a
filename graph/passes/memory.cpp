#include <algorithm>
#include <optional>

#include "graph/elemental.h"
#include "graph/passes/arena.h"
#include "graph/passes/groups.h"

namespace kiln::graph {
namespace {

using Space = Location::Space;

constexpr std::int64_t small_array = 64 << 10;

bool is_check(const Group& g) {
  return g.root && g.root->op == Op::check;
}

// The life of an array: the first group that writes it (-1: there before) and the last that reads it.
struct Array {
  Value value;
  int first = -1, last = -1;
  std::optional<Location> location;  // outside the arena
  bool kept = false;                 // a prepared group's, read by one that isn't: from run to run
};

class MemoryPlanner {
 public:
  MemoryPlanner(Graph graph, std::vector<Group> groups, const PlanOptions& options)
      : options_(options), groups_(std::move(groups)) {
    plan_.graph = std::make_unique<Graph>(std::move(graph));
  }

  Plan run() {
    trace();
    place_states();
    place_outputs();
    append_copies();
    trace();
    place_leaves();
    find_intervals();
    place_in_arena();
    write_schedule();
    return std::move(plan_);
  }

 private:
  int count() const { return static_cast<int>(groups_.size()); }
  const Group& group(int g) const { return groups_[static_cast<std::size_t>(g)]; }

  // ---- lives ----------------------------------------------------------------------------------------------

  // Finds all arrays and when they live; keeps the locations already decided.
  void trace() {
    arrays_of_groups_.emplace(*plan_.graph, groups_);
    for (Array& a : arrays_) a.first = a.last = -1;
    for (int g = 0; g < count(); g++) {
      for (Value v : group(g).inputs) {
        Array& a = array(v);
        a.last = g;
        a.kept = a.kept || (a.first >= 0 && group(a.first).prepared && !group(g).prepared);
      }
      for (Value v : group(g).outputs) {
        Array& a = array(v);
        if (a.first < 0) a.first = g;
        a.last = std::max(a.last, g);
      }
    }
  }
  Array& array(Value v) {
    const Value value = arrays_of_groups_->array_of(v);
    const auto [at, is_new] = index_.emplace(value, arrays_.size());
    if (is_new) arrays_.push_back({value, -1, -1, std::nullopt});
    return arrays_[at->second];
  }
  std::optional<Part> part(Value v) const { return arrays_of_groups_->place_of(v).part; }
  // Is v all of an array that one group writes?
  bool is_of_one_group(Value v) const { return !part(v) && arrays_of_groups_->written(v).size() == 1; }

  // ---- states and outputs ---------------------------------------------------------------------------------

  // True if the group that computes the new value may write it over the old one: nobody reads the old value
  // later, the group itself reads it only at the index being written, and every check has been made.
  bool can_update_in_place(const StateSlot& slot, Array& next) {
    if (next.first < 0 || next.location || !is_of_one_group(slot.next)) return false;
    if (array(slot.current).last > next.first) return false;
    for (int g = next.first + 1; g < count(); g++)
      if (is_check(group(g))) return false;
    return reads_only_at_own_index(group(next.first), slot.current);
  }
  bool reads_only_at_own_index(const Group& g, Value array) const {
    const std::vector<bool> own = reads_at_own_index(g);
    for (std::size_t i = 0; i < g.inputs.size(); i++)
      if (arrays_of_groups_->array_of(g.inputs[i]) == array &&
          (!own[i] || part(g.inputs[i]) || !same_size(g.inputs[i], g.outputs[0])))
        return false;
    return true;
  }
  static bool same_size(Value a, Value b) { return a.shape().elements() == b.shape().elements(); }

  void place_states() {
    const auto& states = plan_.graph->states();
    for (int s = 0; s < static_cast<int>(states.size()); s++) {
      const StateSlot& slot = states[static_cast<std::size_t>(s)];
      if (!slot.next) continue;
      array(slot.current);  // may add to arrays_: before the reference below
      Array& next = array(slot.next);
      const Location location{Space::state, s, 0};
      if (next.value == slot.current) continue;
      if (can_update_in_place(slot, next))
        next.location = location;
      else
        copies_.push_back({slot.next, location});
    }
  }

  void place_outputs() {
    const auto& outputs = plan_.graph->outputs();
    for (int o = 0; o < static_cast<int>(outputs.size()); o++) {
      const Value value = outputs[static_cast<std::size_t>(o)].value;
      Array& a = array(value);
      const Location location{Space::output, o, 0};
      if (a.first >= 0 && !a.location && !part(value))
        a.location = location;
      else
        copies_.push_back({value, location});
    }
  }

  // A group that copies `v`: a reshape to the shape it has.
  Group copy_group(Value v) {
    LabelScope label(*plan_.graph, v.node->label.empty() ? "copy" : v.node->label + "/copy");
    const Value copied = plan_.graph->emit(Op::reshape, {v}, {{"shape", v.shape().sizes()}}).value();
    Group g;
    g.nodes = {copied.node};
    if (is_immediate(*v.node)) g.nodes.push_back(v.node);
    g.outputs = {copied};
    complete_group(g);
    return g;
  }

  // What isn't computed in place is copied at the end, after every check and every reader of an old state.
  // An old state that is itself copied is read at the beginning, before anything is written over it.
  void append_copies() {
    std::vector<Group> before, after;
    std::vector<std::pair<Value, Location>> placed;
    for (Copy copy : copies_) {
      const bool old_state = arrays_of_groups_->array_of(copy.value).node->op == Op::state;
      if (old_state) {
        before.push_back(copy_group(copy.value));
        copy.value = before.back().outputs[0];
        if (copy.to.space == Space::output) {
          placed.emplace_back(copy.value, copy.to);
          continue;
        }
      }
      after.push_back(copy_group(copy.value));
      placed.emplace_back(after.back().outputs[0], copy.to);
    }
    groups_.insert(groups_.begin(), std::make_move_iterator(before.begin()),
                   std::make_move_iterator(before.end()));
    groups_.insert(groups_.end(), std::make_move_iterator(after.begin()),
                   std::make_move_iterator(after.end()));
    arrays_of_groups_.emplace(*plan_.graph, groups_);
    for (const auto& [value, location] : placed) array(value).location = location;
  }

  void place_leaves() {
    const auto& inputs = plan_.graph->inputs();
    const auto& states = plan_.graph->states();
    for (Array& a : arrays_) {
      if (a.value.node->op == Op::input)
        a.location = {Space::input,
                      static_cast<int>(std::find(inputs.begin(), inputs.end(), a.value) - inputs.begin()), 0};
      if (a.value.node->op == Op::state)
        for (std::size_t s = 0; s < states.size(); s++)
          if (states[s].current == a.value) a.location = {Space::state, static_cast<int>(s), 0};
      if (a.value.node->op == Op::constant && a.last >= 0) {
        a.location = {Space::constant, static_cast<int>(plan_.constants.size()), 0};
        plan_.constants.push_back(a.value.node->attributes.tensor("value"));
      }
    }
  }

  // ---- barriers -------------------------------------------------------------------------------------------

  struct Access {
    Location location;
    Value value;
    std::int64_t bytes;  // of the whole
    bool write;
  };
  static bool conflict(const Access& a, const Access& b) {
    return (a.write || b.write) && a.location.space == b.location.space &&
           a.location.index == b.location.index && a.location.offset < b.location.offset + b.bytes &&
           b.location.offset < a.location.offset + a.bytes && !are_other_parts(a, b);
  }
  static bool are_other_parts(const Access& a, const Access& b) {
    const std::optional<Part>&p = a.location.part, &q = b.location.part;
    if (!p || !q || p->whole != q->whole || a.location.offset != b.location.offset) return false;
    for (std::size_t i = 0; i < p->start.size(); i++)
      if (p->start[i] + a.value.shape()[i] <= q->start[i] || q->start[i] + b.value.shape()[i] <= p->start[i])
        return true;
    return false;
  }
  struct Waits {
    bool barrier = false, leave = false;
  };

  // Threads share the tiles of every kernel as they like, so a kernel that touches what one before it wrote,
  // or writes what one before it read, waits for all threads; so does the first that writes a state after
  // checks.
  template <class Locate>
  std::vector<Waits> barriers(Locate&& locate) {
    std::vector<Waits> result;
    std::vector<Access> since;  // the last barrier
    bool unchecked = false;     // a check has been made that no thread has looked at
    for (const Group& g : groups_) {
      std::vector<Access> accesses;
      bool writes_state = false;
      const auto access = [&](Value v, bool write) {
        accesses.push_back({locate(v), v, bytes_of(array(v).value), write});
        accesses.back().location.part = part(v);
      };
      for (Value v : g.inputs) access(v, false);
      for (Value v : g.outputs) {
        access(v, true);
        writes_state |= accesses.back().location.space == Space::state;
      }
      Waits waits;
      waits.leave = writes_state && unchecked;
      waits.barrier = waits.leave;
      for (const Access& a : accesses)
        for (const Access& b : since) waits.barrier |= conflict(a, b);
      if (waits.barrier) since.clear();
      if (waits.leave) unchecked = false;
      unchecked |= is_check(g);
      since.insert(since.end(), accesses.begin(), accesses.end());
      result.push_back(waits);
    }
    return result;
  }

  // The groups between two barriers that the data alone demands. The memory of small arrays isn't reused
  // within such an interval: the few bytes aren't worth a further barrier.
  void find_intervals() {
    const std::vector<Waits> waits = barriers([&](Value v) {
      const Array& a = array(v);
      return a.location ? *a.location : Location{Space::arena, static_cast<int>(&a - arrays_.data()), 0};
    });
    int first = 0;
    for (int g = 0; g <= count(); g++) {
      if (g < count() && (g == 0 || !waits[static_cast<std::size_t>(g)].barrier)) continue;
      for (int k = first; k < g; k++) intervals_.push_back({first, g - 1});
      first = g;
    }
  }
  struct Interval {
    int first, last;
  };
  const Interval& interval(int g) const { return intervals_[static_cast<std::size_t>(g)]; }

  // ---- arena ----------------------------------------------------------------------------------------------

  void place_in_arena() {
    std::vector<ArenaBlock> blocks;
    std::unordered_map<Value, std::size_t, ValueHash> block_of;
    for (int g = 0; g < count(); g++) {
      std::vector<Value> taken;
      for (Value v : group(g).outputs) {
        const Array& out = array(v);
        if (out.location || block_of.count(out.value)) continue;  // placed, perhaps for another part
        const std::int64_t bytes = bytes_of(out.value);
        plan_.intermediate_bytes += bytes;
        const bool small = bytes <= small_array && !options_.serial;
        const int first = out.kept ? 0 : small ? interval(out.first).first : out.first;
        const int last = out.kept || !options_.reuse ? count() : small ? interval(out.last).last : out.last;
        const bool may_share = options_.reuse && !out.kept && is_of_one_group(v);
        const std::optional<Value> dying = may_share ? input_to_write_over(g, v, taken) : std::nullopt;
        if (dying) {
          taken.push_back(*dying);
          const std::size_t block = block_of.at(*dying);
          block_of[v] = block;
          blocks[block].last = last;
        } else {
          block_of[out.value] = blocks.size();
          blocks.push_back({bytes + options_.red_zone, first, last, 0});
        }
      }
    }
    plan_.arena_bytes = place_blocks(blocks);
    for (const auto& [value, block] : block_of)
      array(value).location = {Space::arena, 0, blocks[block].offset};
  }

  // An arena array of the same size that dies in group g, which reads it at the index being written only.
  std::optional<Value> input_to_write_over(int g, Value output, const std::vector<Value>& taken) {
    for (Value input : group(g).inputs) {
      const Array& in = array(input);
      if (in.location || in.kept || in.first < 0 || in.last != g || bytes_of(in.value) != bytes_of(output) ||
          std::find(taken.begin(), taken.end(), in.value) != taken.end())
        continue;
      if (output.shape() == group(g).space && reads_only_at_own_index(group(g), in.value)) return in.value;
    }
    return std::nullopt;
  }

  // ---- the schedule ---------------------------------------------------------------------------------------

  void write_schedule() {
    const std::vector<Waits> waits = barriers([&](Value v) { return *array(v).location; });
    for (std::size_t g = 0; g < groups_.size(); g++) {
      ScheduledGroup scheduled;
      const auto locations = [&](const std::vector<Value>& values) {
        std::vector<Location> result;
        for (Value v : values) {
          result.push_back(*array(v).location);
          result.back().part = part(v);
        }
        return result;
      };
      scheduled.input_locations = locations(groups_[g].inputs);
      scheduled.output_locations = locations(groups_[g].outputs);
      scheduled.barrier_before = waits[g].barrier;
      scheduled.leave_on_error = waits[g].leave;
      scheduled.group = std::move(groups_[g]);
      plan_.schedule.push_back(std::move(scheduled));
    }
  }

  struct Copy {
    Value value;
    Location to;
  };

  PlanOptions options_;
  std::vector<Group> groups_;
  std::optional<Arrays> arrays_of_groups_;
  std::vector<Array> arrays_;
  std::unordered_map<Value, std::size_t, ValueHash> index_;
  std::vector<Copy> copies_;
  std::vector<Interval> intervals_;
  Plan plan_;
};

}  // namespace

Plan plan_memory(Graph graph, std::vector<Group> groups, const PlanOptions& options) {
  return MemoryPlanner(std::move(graph), std::move(groups), options).run();
}

}  // namespace kiln::graph
