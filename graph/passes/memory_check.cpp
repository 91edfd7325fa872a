#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_set>

#include "graph/elemental.h"
#include "graph/passes/arena.h"
#include "graph/plan.h"

// Runs the plan on paper: which value lies in which bytes after each group. This knows nothing of lives, of
// reuse, or of what plan_memory meant; it only sees locations and the order.
namespace kiln::graph {
namespace {

using Space = Location::Space;

std::int64_t byte_count(Value v) {
  return v.shape().elements() * static_cast<std::int64_t>(size_of(v.dtype()));
}

// Reshapes keep the bytes, whether they are views or copies.
Value content_of(Value v) {
  while (v.node->op == Op::reshape) v = v.node->operand(0);
  return v;
}

std::string_view space_name(Space s) {
  static constexpr std::string_view names[] = {"input", "state", "output", "arena", "constant"};
  return names[static_cast<std::size_t>(s)];
}

struct Range {
  Space space = Space::arena;
  int index = 0;
  std::int64_t begin = 0, end = 0;

  static Range of(const Location& l, Value v) {
    return {l.space, l.index, l.offset, l.offset + byte_count(v)};
  }
  bool overlaps(const Range& o) const {
    return space == o.space && index == o.index && begin < o.end && o.begin < end;
  }
  bool operator==(const Range&) const = default;
  std::string to_string() const {
    return fmt::format("{} {} bytes [{}, {})", space_name(space), index, begin, end);
  }
};

// The values that lie whole in memory. A write removes every value that it touches.
class Memory {
 public:
  void write(const Range& range, Value v, const std::string& writer) {
    for (Held& h : held_)
      if (h.whole && h.range.overlaps(range)) h.whole = false, h.overwritten_by = writer;
    std::erase_if(held_, [&](const Held& h) { return h.range == range && h.value == content_of(v); });
    held_.push_back({range, content_of(v), true, {}});
  }
  // Empty if `v` lies there; else what went wrong.
  std::string missing(const Range& range, Value v) const {
    if (range.begin == range.end) return {};
    std::string reason = "which was never written there";
    for (const Held& h : held_)
      if (h.range == range && h.value == content_of(v)) {
        if (h.whole) return {};
        reason = fmt::format("which \"{}\" has overwritten", h.overwritten_by);
      }
    return fmt::format("{} at {}, {}", print(*v.node), range.to_string(), reason);
  }

 private:
  struct Held {
    Range range;
    Value value;
    bool whole = true;
    std::string overwritten_by;
  };
  std::vector<Held> held_;
};

class Checker {
 public:
  explicit Checker(const Plan& plan) : plan_(plan) {}

  void run() {
    fill_leaves();
    for (const ScheduledGroup& s : plan_.schedule)
      if (s.group.root && s.group.root->op == Op::check) checks_left_++;
    if (checks_left_ != plan_.graph->checks().size())
      fail("", fmt::format("{} of {} checks are scheduled", checks_left_, plan_.graph->checks().size()));
    for (const ScheduledGroup& s : plan_.schedule) {
      check_group(s);
      check_places(s);
      check_barrier(s);
      check_errors_seen(s);
      for (std::size_t i = 0; i < s.group.inputs.size(); i++)
        if (std::string m = memory_.missing(input_range(s, i), s.group.inputs[i]); !m.empty())
          fail(s.group.name, "it reads " + m);
      check_in_place(s);
      for (std::size_t i = 0; i < s.group.outputs.size(); i++)
        memory_.write(output_range(s, i), s.group.outputs[i], s.group.name);
    }
    check_results();
    check_prepared();
  }

 private:
  [[noreturn]] void fail(const std::string& group, const std::string& what) const {
    throw InternalError(fmt::format("plan of {}{}: {}\n{}", plan_.graph->name,
                                    group.empty() ? "" : fmt::format(", group \"{}\"", group), what,
                                    print(plan_)));
  }
  static Range input_range(const ScheduledGroup& s, std::size_t i) {
    return Range::of(s.input_locations[i], s.group.inputs[i]);
  }
  static Range output_range(const ScheduledGroup& s, std::size_t i) {
    return Range::of(s.output_locations[i], s.group.outputs[i]);
  }

  void fill_leaves() {
    const Graph& g = *plan_.graph;
    for (int i = 0; i < static_cast<int>(g.inputs().size()); i++) {
      const Value v = g.inputs()[static_cast<std::size_t>(i)];
      memory_.write(Range::of({Space::input, i, 0}, v), v, "the caller");
    }
    for (int i = 0; i < static_cast<int>(g.states().size()); i++) {
      const Value v = g.states()[static_cast<std::size_t>(i)].current;
      memory_.write(Range::of({Space::state, i, 0}, v), v, "the caller");
    }
  }

  // Constants are checked by their elements: they never change.
  bool is_constant_at(Value v, const Location& l) const {
    const Value c = content_of(v);
    return l.space == Space::constant && c.node->op == Op::constant && l.index >= 0 &&
           static_cast<std::size_t>(l.index) < plan_.constants.size() &&
           Attributes{{"value", plan_.constants[static_cast<std::size_t>(l.index)]}} ==
               Attributes{{"value", c.node->attributes.tensor("value")}};
  }

  // Every operand of every node is a member or an input; members come in order; results come from members.
  void check_group(const ScheduledGroup& s) {
    const Group& g = s.group;
    if (g.inputs.size() != s.input_locations.size() || g.outputs.size() != s.output_locations.size())
      fail(g.name, "its locations don't match its arrays");
    std::unordered_set<const Node*> seen;
    for (const Node* n : g.nodes) {
      for (int i = 0; i < static_cast<int>(n->operands.size()); i++) {
        const Value v = n->operand(i);
        if (seen.count(v.node) && !reads_array(*n, i)) continue;
        if (std::find(g.inputs.begin(), g.inputs.end(), v) == g.inputs.end())
          fail(g.name, fmt::format("{} needs operand {}, which is neither fused before it nor an input",
                                   print(*n), i));
      }
      if (!is_elemental(*n) && n != g.root &&
          std::find(g.siblings.begin(), g.siblings.end(), n) == g.siblings.end())
        fail(g.name, fmt::format("{} can't be fused", print(*n)));
      seen.insert(n);
    }
    for (Value v : g.outputs) {
      if (!seen.count(v.node)) fail(g.name, fmt::format("it doesn't compute its output {}", print(*v.node)));
      if (v.shape() != g.space && v.node != g.root)
        fail(g.name,
             fmt::format("its output {} isn't of the group's shape {}", print(*v.node), g.space.to_string()));
    }
  }

  void check_places(const ScheduledGroup& s) {
    for (std::size_t i = 0; i < s.group.inputs.size(); i++) {
      if (s.input_locations[i].space != Space::constant) continue;
      if (!is_constant_at(s.group.inputs[i], s.input_locations[i]))
        fail(s.group.name, "it reads a wrong constant");
      memory_.write(input_range(s, i), s.group.inputs[i], "a constant");
    }
    for (std::size_t i = 0; i < s.group.outputs.size(); i++) {
      const Range r = output_range(s, i);
      const Location& l = s.output_locations[i];
      if (l.space == Space::input || l.space == Space::constant)
        fail(s.group.name, fmt::format("it writes {}", r.to_string()));
      if (l.space == Space::arena &&
          (r.begin < 0 || r.end > plan_.arena_bytes || r.begin % arena_alignment != 0))
        fail(s.group.name, fmt::format("{} is outside the arena of {} bytes or not aligned", r.to_string(),
                                       plan_.arena_bytes));
      const auto index = static_cast<std::size_t>(l.index);
      const Graph& g = *plan_.graph;
      if (l.space == Space::state &&
          (index >= g.states().size() || l.offset != 0 ||
           byte_count(g.states()[index].current) != byte_count(s.group.outputs[i])))
        fail(s.group.name, fmt::format("{} is not the whole of a state", r.to_string()));
      if (l.space == Space::output &&
          (index >= g.outputs().size() || l.offset != 0 ||
           byte_count(g.outputs()[index].value) != byte_count(s.group.outputs[i])))
        fail(s.group.name, fmt::format("{} is not the whole of an output", r.to_string()));
      for (std::size_t k = 0; k < i; k++)
        if (r.overlaps(output_range(s, k)))
          fail(s.group.name, fmt::format("two of its outputs share {}", r.to_string()));
    }
  }

  // What threads did since the last barrier must not meet what they do now, unless both only read.
  void check_barrier(const ScheduledGroup& s) {
    if (s.leave_on_error && !s.barrier_before) fail(s.group.name, "it leaves on errors without a barrier");
    if (s.barrier_before) read_.clear(), written_.clear();
    std::vector<Range> reads, writes;
    for (std::size_t i = 0; i < s.group.inputs.size(); i++) reads.push_back(input_range(s, i));
    for (std::size_t i = 0; i < s.group.outputs.size(); i++) writes.push_back(output_range(s, i));
    const auto meet = [&](const std::vector<Range>& now, const std::vector<Range>& before,
                          std::string_view what) {
      for (const Range& a : now)
        for (const Range& b : before)
          if (a.overlaps(b))
            fail(s.group.name, fmt::format("a barrier is missing: {} {}", a.to_string(), what));
    };
    meet(reads, written_, "is read after another thread's write");
    meet(writes, written_, "is written after another thread's write");
    meet(writes, read_, "is written after another thread's read");
    read_.insert(read_.end(), reads.begin(), reads.end());
    written_.insert(written_.end(), writes.begin(), writes.end());
  }

  // No state changes before every check has been made and its outcome seen by all threads.
  void check_errors_seen(const ScheduledGroup& s) {
    if (s.group.root && s.group.root->op == Op::check) checks_left_--, unseen_ = true;
    if (s.leave_on_error) unseen_ = false;
    for (const Location& l : s.output_locations)
      if (l.space == Space::state && (checks_left_ > 0 || unseen_))
        fail(s.group.name, fmt::format("it writes state {} before a check's outcome is known", l.index));
  }

  // An output over an input: allowed if all that the group computes takes the input's element i for element
  // i.
  void check_in_place(const ScheduledGroup& s) const {
    for (std::size_t o = 0; o < s.group.outputs.size(); o++)
      for (std::size_t i = 0; i < s.group.inputs.size(); i++) {
        const Range out = output_range(s, o), in = input_range(s, i);
        if (!out.overlaps(in)) continue;
        if (out != in || s.group.inputs[i].shape() != s.group.outputs[o].shape() ||
            moves(s.group, s.group.inputs[i]))
          fail(s.group.name, fmt::format("it overwrites {} while it still reads {} there", out.to_string(),
                                         print(*s.group.inputs[i].node)));
      }
  }
  // True if some node reads v other than elementwise. Follows v through the group from its reading on.
  static bool moves(const Group& g, Value v) {
    std::unordered_set<const Node*> aligned;  // computed from v, element by element
    for (const Node* n : g.nodes) {
      const bool reads = std::any_of(n->operands.begin(), n->operands.end(),
                                     [&](Value o) { return o == v || aligned.count(o.node); });
      if (!reads) continue;
      if (definition(n->op).op_class != OpClass::elementwise || n->type().shape != v.shape()) return true;
      aligned.insert(n);
    }
    return false;
  }

  void check_results() {
    const Graph& g = *plan_.graph;
    for (int i = 0; i < static_cast<int>(g.outputs().size()); i++) {
      const Output& o = g.outputs()[static_cast<std::size_t>(i)];
      if (std::string m = memory_.missing(Range::of({Space::output, i, 0}, o.value), o.value); !m.empty())
        fail("", fmt::format("output \"{}\" lacks {}", o.name, m));
    }
    for (int i = 0; i < static_cast<int>(g.states().size()); i++) {
      const StateSlot& slot = g.states()[static_cast<std::size_t>(i)];
      const Value v = slot.next ? slot.next : slot.current;
      if (std::string m = memory_.missing(Range::of({Space::state, i, 0}, v), v); !m.empty())
        fail("", fmt::format("state \"{}\" lacks {}", slot.name, m));
    }
  }

  // The next run leaves prepared groups out: what the others read of them must still be there, whatever the
  // others have written meanwhile.
  void check_prepared() {
    std::unordered_set<const Node*> prepared;
    for (const ScheduledGroup& s : plan_.schedule) {
      if (!s.group.prepared) continue;
      for (Value v : s.group.inputs) {
        const Node* content = content_of(v).node;
        const bool stays = content->op == Op::constant || prepared.count(content) > 0 ||
                           (content->op == Op::state && !changes(content->value()));
        if (!stays) fail(s.group.name, "it is prepared, but reads what changes");
      }
      for (Value v : s.group.outputs) prepared.insert(content_of(v).node);
      for (const Location& l : s.output_locations)
        if (l.space != Space::arena) fail(s.group.name, "it is prepared, but gives a result");
    }
    for (const ScheduledGroup& s : plan_.schedule) {
      if (s.group.prepared) continue;
      for (std::size_t i = 0; i < s.group.inputs.size(); i++) {
        if (!prepared.count(content_of(s.group.inputs[i]).node)) continue;
        if (std::string m = memory_.missing(input_range(s, i), s.group.inputs[i]); !m.empty())
          fail(s.group.name, "in the next run it reads " + m);
      }
      for (std::size_t i = 0; i < s.group.outputs.size(); i++)
        memory_.write(output_range(s, i), s.group.outputs[i], s.group.name);
    }
  }
  bool changes(Value state) const {
    const auto& slots = plan_.graph->states();
    return std::any_of(slots.begin(), slots.end(),
                       [&](const StateSlot& slot) { return slot.current == state && slot.next; });
  }

  const Plan& plan_;
  Memory memory_;
  std::vector<Range> read_, written_;  // since the last barrier
  std::size_t checks_left_ = 0;
  bool unseen_ = false;
};

}  // namespace

void verify_plan(const Plan& plan) {
  Checker(plan).run();
}

}  // namespace kiln::graph
