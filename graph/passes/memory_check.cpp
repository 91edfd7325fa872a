#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "graph/elemental.h"
#include "graph/passes/arena.h"
#include "graph/plan.h"
#include "graph/rows.h"

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

// Of a part: the bytes of its whole, and which of the whole's elements.
struct Range {
  Space space = Space::arena;
  int index = 0;
  std::int64_t begin = 0, end = 0;
  std::optional<Part> part = {};
  Shape shape = {};  // of a part

  static Range of(const Location& l, Value v) {
    if (!l.part) return {l.space, l.index, l.offset, l.offset + byte_count(v)};
    return {l.space, l.index, l.offset, l.offset + byte_count(l.part->whole), l.part, v.shape()};
  }
  bool overlaps(const Range& o) const {
    return space == o.space && index == o.index && begin < o.end && o.begin < end && !is_beside(o);
  }
  bool operator==(const Range&) const = default;
  std::string to_string() const {
    const std::string bytes = fmt::format("{} {} bytes [{}, {})", space_name(space), index, begin, end);
    return part ? fmt::format("{}, elements from ({}) on", bytes, fmt::join(part->start, ", ")) : bytes;
  }

 private:
  // Parts of one whole that have no element in common.
  bool is_beside(const Range& o) const {
    if (!part || !o.part || part->whole != o.part->whole || begin != o.begin) return false;
    for (std::size_t i = 0; i < part->start.size(); i++)
      if (part->start[i] + shape[i] <= o.part->start[i] || o.part->start[i] + o.shape[i] <= part->start[i])
        return true;
    return false;
  }
};

Value content_of_part(const Location& l, Value v) {
  return l.part ? v : content_of(v);
}

// The values that lie whole in memory. A write removes every value that it touches.
class Memory {
 public:
  void write(const Location& place, Value v, const std::string& writer) {
    const Range range = Range::of(place, v);
    for (Held& h : held_)
      if (h.whole && h.range.overlaps(range)) h.whole = false, h.overwritten_by = writer;
    const Value content = content_of_part(place, v);
    std::erase_if(held_, [&](const Held& h) { return h.range == range && h.value == content; });
    held_.push_back({range, content, true, {}});
  }
  // Empty if `v` lies there; else what went wrong.
  std::string missing(const Location& place, Value v) const {
    if (byte_count(v) == 0) return {};
    const Range range = Range::of(place, v);
    const Value content = content_of_part(place, v);
    std::string reason = "which was never written there";
    for (const Held& h : held_)
      if (h.range == range && h.value == content) {
        if (h.whole) return {};
        reason = fmt::format("which \"{}\" has overwritten", h.overwritten_by);
      }
    if (content.node->op == Op::concatenate) return missing_operand(place, content);
    if (content.node->op == Op::slice && place.part) return missing_around(place, content);
    return fmt::format("{} at {}, {}", print(*v.node), range.to_string(), reason);
  }

 private:
  // A concatenation lies where each of its operands does: beside one another, as parts of it.
  std::string missing_operand(Location place, Value v) const {
    const auto axis = static_cast<std::size_t>(v.node->attributes.integer("axis"));
    if (!place.part) place.part = Part{v, Ints(static_cast<std::size_t>(v.rank()), 0)};
    for (Value operand : v.node->operands) {
      if (std::string m = missing(place, operand); !m.empty()) return m;
      place.part->start[axis] += operand.shape()[axis];
    }
    return {};
  }
  // A slice lies where its operand does, from the slice's start on.
  std::string missing_around(Location place, Value v) const {
    const Value operand = v.node->operand(0);
    const Ints& start = v.node->attributes.ints("start");
    const Ints& stride = v.node->attributes.ints("stride");
    bool is_all = operand.type() == place.part->whole.type();
    for (std::size_t i = 0; i < start.size(); i++) {
      if (stride[i] != 1)
        return fmt::format("{}, whose elements aren't neighbours in {}", print(*v.node),
                           print(*operand.node));
      place.part->start[i] -= start[i];
      is_all = is_all && place.part->start[i] == 0;
    }
    if (is_all) place.part.reset();
    return missing(place, operand);
  }

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
        if (std::string m = memory_.missing(s.input_locations[i], s.group.inputs[i]); !m.empty())
          fail(s.group.name, "it reads " + m);
      check_in_place(s);
      for (std::size_t i = 0; i < s.group.outputs.size(); i++)
        memory_.write(s.output_locations[i], s.group.outputs[i], s.group.name);
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
      memory_.write({Space::input, i, 0}, v, "the caller");
    }
    for (int i = 0; i < static_cast<int>(g.states().size()); i++) {
      const Value v = g.states()[static_cast<std::size_t>(i)].current;
      memory_.write({Space::state, i, 0}, v, "the caller");
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
      const auto is_among = [&](const std::vector<const Node*>& nodes) {
        return std::find(nodes.begin(), nodes.end(), n) != nodes.end();
      };
      if (!is_elemental(*n) && !is_apart_gradient(*n) && n != g.root && !is_among(g.siblings) &&
          !is_among(g.pool))
        fail(g.name, fmt::format("{} can't be fused", print(*n)));
      seen.insert(n);
    }
    for (Value v : g.outputs) {
      if (!seen.count(v.node)) fail(g.name, fmt::format("it doesn't compute its output {}", print(*v.node)));
      if (v.shape() != g.space && v.node != g.root && !(g.rows && holds_one_a_row(v.shape(), g.space)))
        fail(g.name,
             fmt::format("its output {} isn't of the group's shape {}", print(*v.node), g.space.to_string()));
    }
  }

  void check_places(const ScheduledGroup& s) {
    for (std::size_t i = 0; i < s.group.inputs.size(); i++) {
      if (s.input_locations[i].space != Space::constant) continue;
      const Location& l = s.input_locations[i];
      const Value all = l.part ? l.part->whole : s.group.inputs[i];
      if (!is_constant_at(all, l)) fail(s.group.name, "it reads a wrong constant");
      memory_.write({l.space, l.index, l.offset}, all, "a constant");
    }
    for (std::size_t i = 0; i < s.group.inputs.size(); i++)
      check_part(s, s.input_locations[i], s.group.inputs[i]);
    for (std::size_t i = 0; i < s.group.outputs.size(); i++) {
      const Range r = output_range(s, i);
      const Location& l = s.output_locations[i];
      check_part(s, l, s.group.outputs[i]);
      if (l.space == Space::input || l.space == Space::constant)
        fail(s.group.name, fmt::format("it writes {}", r.to_string()));
      if (l.space == Space::arena &&
          (r.begin < 0 || r.end > plan_.arena_bytes || r.begin % arena_alignment != 0))
        fail(s.group.name, fmt::format("{} is outside the arena of {} bytes or not aligned", r.to_string(),
                                       plan_.arena_bytes));
      const auto index = static_cast<std::size_t>(l.index);
      const Graph& g = *plan_.graph;
      if (l.space == Space::state && (index >= g.states().size() || l.offset != 0 ||
                                      byte_count(g.states()[index].current) != r.end - r.begin))
        fail(s.group.name, fmt::format("{} is not the whole of a state", r.to_string()));
      if (l.space == Space::output && (index >= g.outputs().size() || l.offset != 0 ||
                                       byte_count(g.outputs()[index].value) != r.end - r.begin))
        fail(s.group.name, fmt::format("{} is not the whole of an output", r.to_string()));
      for (std::size_t k = 0; k < i; k++)
        if (r.overlaps(output_range(s, k)))
          fail(s.group.name, fmt::format("two of its outputs share {}", r.to_string()));
    }
  }

  // A part lies inside its whole, axis by axis.
  void check_part(const ScheduledGroup& s, const Location& l, Value v) const {
    if (!l.part) return;
    const Part& p = *l.part;
    bool inside = p.whole && p.whole.dtype() == v.dtype() && p.whole.rank() == v.rank() &&
                  p.start.size() == static_cast<std::size_t>(v.rank());
    for (std::size_t i = 0; inside && i < p.start.size(); i++)
      inside = p.start[i] >= 0 && p.start[i] + v.shape()[i] <= p.whole.shape()[i];
    if (!inside) fail(s.group.name, fmt::format("{} isn't a part of what it lies in", print(*v.node)));
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
      // The whole row is read before any of it is written.
      if (g.rows && is_row_reduction(*n) && n->operand(0).shape() == v.shape()) continue;
      if (definition(n->op).op_class != OpClass::elementwise || n->type().shape != v.shape()) return true;
      aligned.insert(n);
    }
    return false;
  }

  void check_results() {
    const Graph& g = *plan_.graph;
    for (int i = 0; i < static_cast<int>(g.outputs().size()); i++) {
      const Output& o = g.outputs()[static_cast<std::size_t>(i)];
      if (std::string m = memory_.missing({Space::output, i, 0}, o.value); !m.empty())
        fail("", fmt::format("output \"{}\" lacks {}", o.name, m));
    }
    for (int i = 0; i < static_cast<int>(g.states().size()); i++) {
      const StateSlot& slot = g.states()[static_cast<std::size_t>(i)];
      const Value v = slot.next ? slot.next : slot.current;
      if (std::string m = memory_.missing({Space::state, i, 0}, v); !m.empty())
        fail("", fmt::format("state \"{}\" lacks {}", slot.name, m));
    }
  }

  // The next run leaves prepared groups out: what the others read of them must still be there, whatever the
  // others have written meanwhile.
  void check_prepared() {
    std::unordered_set<const Node*> prepared, computed;
    for (const ScheduledGroup& s : plan_.schedule) {
      for (Value v : s.group.outputs) computed.insert(v.node);
      if (!s.group.prepared) continue;
      for (Value input : s.group.inputs)
        for (Value v : sources(input, computed)) {
          const bool stays = v.node->op == Op::constant || prepared.count(v.node) > 0 ||
                             (v.node->op == Op::state && !changes(v));
          if (!stays) fail(s.group.name, "it is prepared, but reads what changes");
        }
      for (Value v : s.group.outputs) prepared.insert(v.node);
      for (const Location& l : s.output_locations)
        if (l.space != Space::arena) fail(s.group.name, "it is prepared, but gives a result");
    }
    for (const ScheduledGroup& s : plan_.schedule) {
      if (s.group.prepared) continue;
      for (std::size_t i = 0; i < s.group.inputs.size(); i++) {
        const std::vector<Value> from = sources(s.group.inputs[i], computed);
        if (std::none_of(from.begin(), from.end(), [&](Value v) { return prepared.count(v.node) > 0; }))
          continue;
        if (std::string m = memory_.missing(s.input_locations[i], s.group.inputs[i]); !m.empty())
          fail(s.group.name, "in the next run it reads " + m);
      }
      for (std::size_t i = 0; i < s.group.outputs.size(); i++)
        memory_.write(s.output_locations[i], s.group.outputs[i], s.group.name);
    }
  }
  // What groups, or the caller, have made of the elements of v.
  static std::vector<Value> sources(Value v, const std::unordered_set<const Node*>& computed) {
    const bool is_view =
        v.node->op == Op::reshape || v.node->op == Op::slice || v.node->op == Op::concatenate;
    if (computed.count(v.node) || !is_view) return {v};
    std::vector<Value> all;
    for (Value operand : v.node->operands)
      for (Value source : sources(operand, computed)) all.push_back(source);
    return all;
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
