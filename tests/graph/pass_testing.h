#pragma once
#include <gtest/gtest.h>

#include <map>
#include <string_view>
#include <vector>

#include "graph/elemental.h"
#include "graph/op_def.h"
#include "graph/passes/fusion_log.h"
#include "graph/passes/passes.h"
#include "graph/plan.h"
#include "kiln/graph/interpreter.h"

/// What the tests of passes and plans share.
namespace kiln::graph::testing {

/// The pass must make `after` of `before`; both are graph text, numbered as one likes.
inline void expect_pass(Graph (*pass)(const Graph&), std::string_view before, std::string_view after) {
  const Graph result = pass(parse(before));
  verify(result);
  EXPECT_EQ(print(result), print(parse(after))) << "from\n" << before;
}
inline void expect_unchanged(Graph (*pass)(const Graph&), std::string_view text) {
  expect_pass(pass, text, text);
}

/// Names of the groups that fusion makes of a graph as it is.
inline std::vector<std::string> group_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const Group& group : fuse(graph)) names.push_back(group.name);
  return names;
}
/// Why fusion left two of its nodes or groups apart, the last of those that its log names; empty: none.
inline std::string reason_apart(const Graph& graph) {
  FusionLog log;
  fuse(graph, {}, &log);
  const std::string text = log.text(), apart = "\": apart: ";
  const std::size_t at = text.rfind(apart);
  return at == std::string::npos ? ""
                                 : text.substr(at + apart.size(), text.find('\n', at) - at - apart.size());
}

/// Fusion, schedule and memory plan of a graph as it is, without the passes before; verified.
inline Plan plan_unoptimized(Graph graph, const PlanOptions& options = {}) {
  std::vector<Group> groups = schedule(graph, fuse(graph, options));
  Plan plan = plan_memory(std::move(graph), std::move(groups), options);
  verify_plan(plan);
  return plan;
}

/// Runs a plan on real memory, group by group in its order, by the reference evaluation of the groups' nodes.
/// What fusion, views, copies and placement do must not change a bit of the results.
class PlanInterpreter {
 public:
  PlanInterpreter(const Plan& plan, const std::vector<Tensor>& inputs, const std::vector<Tensor>& states)
      : plan_(plan), arena_(static_cast<std::size_t>(plan.arena_bytes), std::byte{0xff}) {
    for (const Tensor& t : inputs) inputs_.push_back(t.clone());
    for (const Tensor& t : states) states_.push_back(t.clone());
    for (const Output& o : plan.graph->outputs())
      outputs_.push_back(Tensor(o.value.shape(), o.value.dtype()));
    for (const ScheduledGroup& s : plan.schedule) run(s);
  }
  const std::vector<Tensor>& outputs() const { return outputs_; }
  const std::vector<Tensor>& states() const { return states_; }

 private:
  Tensor at(const Location& l, Value v) {
    const auto i = static_cast<std::size_t>(l.index);
    void* p = nullptr;
    switch (l.space) {
      case Location::Space::input:
        p = inputs_.at(i).raw();
        break;
      case Location::Space::state:
        p = states_.at(i).raw();
        break;
      case Location::Space::output:
        p = outputs_.at(i).raw();
        break;
      case Location::Space::constant:
        p = const_cast<void*>(plan_.constants.at(i).raw());
        break;
      case Location::Space::arena:
        p = arena_.data() + l.offset;
        break;
    }
    alignas(8) static std::byte nothing[8];
    return Tensor::view(p ? p : nothing, v.shape(), v.dtype());
  }
  // Of a part, the array that it lies in.
  Tensor whole_at(const Location& l) { return at(l, l.part->whole); }

  Tensor read(const Location& l, Value v) {
    if (!l.part) return at(l, v).clone();
    Tensor result(v.shape(), v.dtype());
    Tensor whole = whole_at(l);
    for_each_row(l, v, [&](std::int64_t in_whole, std::int64_t in_part, std::size_t size) {
      std::memcpy(bytes(result) + in_part, bytes(whole) + in_whole, size);
    });
    return result;
  }
  void write(const Location& l, Value v, Tensor result) {
    if (result.size() == 0) return;
    Tensor to = l.part ? whole_at(l) : at(l, v);
    if (!l.part) return (void)std::memcpy(to.raw(), result.raw(), result.nbytes());
    for_each_row(l, v, [&](std::int64_t in_whole, std::int64_t in_part, std::size_t size) {
      std::memcpy(bytes(to) + in_whole, bytes(result) + in_part, size);
    });
  }
  static std::byte* bytes(Tensor& t) { return static_cast<std::byte*>(t.raw()); }

  // Byte offsets, in the whole and in the part, of each run of elements along the last axis.
  template <class Row>
  static void for_each_row(const Location& l, Value v, const Row& row) {
    const auto size = static_cast<std::int64_t>(size_of(v.dtype()));
    const std::int64_t length = v.rank() == 0 ? 1 : v.shape().back();
    if (v.shape().elements() == 0) return;
    for (std::int64_t n = 0; n < v.shape().elements(); n += length) {
      std::int64_t rest = n, in_whole = 0, stride = 1;
      for (std::size_t i = static_cast<std::size_t>(v.rank()); i-- > 0;) {
        in_whole += (rest % v.shape()[i] + l.part->start[i]) * stride;
        rest /= v.shape()[i];
        stride *= l.part->whole.shape()[i];
      }
      row(in_whole * size, n * size, static_cast<std::size_t>(length * size));
    }
  }

  void run(const ScheduledGroup& s) {
    std::map<std::pair<const Node*, int>, Tensor> computed;
    for (const Node* n : s.group.nodes) {
      std::vector<Tensor> operands, results;
      for (int i = 0; i < static_cast<int>(n->operands.size()); i++) {
        const Value v = n->operand(i);
        const auto here = computed.find({v.node, v.result});
        if (here != computed.end() && !reads_array(*n, i)) {
          operands.push_back(here->second);
          continue;
        }
        for (std::size_t k = 0; k < s.group.inputs.size(); k++)
          if (s.group.inputs[k] == v) operands.push_back(read(s.input_locations[k], v));
      }
      ASSERT_EQ(operands.size(), n->operands.size());
      for (const Type& t : n->results) results.emplace_back(t.shape, t.dtype);
      definition(n->op).evaluate({*n, operands, results});
      for (std::size_t i = 0; i < results.size(); i++) computed[{n, static_cast<int>(i)}] = results[i];
    }
    for (std::size_t i = 0; i < s.group.outputs.size(); i++) {
      const Value v = s.group.outputs[i];
      write(s.output_locations[i], v, computed.at({v.node, v.result}));
    }
  }

  const Plan& plan_;
  std::vector<std::byte> arena_;
  std::vector<Tensor> inputs_, states_, outputs_;
};

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return Attributes{{"t", a}} == Attributes{{"t", b}};
}

/// The plan gives what the graph means, to the bit.
inline void expect_same_results(const Plan& plan, const Graph& graph, const std::vector<Tensor>& inputs,
                                const std::vector<Tensor>& states) {
  const PlanInterpreter got(plan, inputs, states);
  const InterpreterResult expected = interpret(graph, inputs, states);
  ASSERT_EQ(got.outputs().size(), expected.outputs.size());
  for (std::size_t i = 0; i < expected.outputs.size(); i++)
    EXPECT_TRUE(same_bits(got.outputs()[i], expected.outputs[i])) << "output " << i << "\n" << print(plan);
  ASSERT_EQ(got.states().size(), expected.states.size());
  for (std::size_t i = 0; i < expected.states.size(); i++)
    EXPECT_TRUE(same_bits(got.states()[i], expected.states[i])) << "state " << i << "\n" << print(plan);
}

}  // namespace kiln::graph::testing
