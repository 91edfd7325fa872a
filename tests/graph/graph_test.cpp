#include "kiln/graph/graph.h"

#include <gtest/gtest.h>

#include <cmath>

#include "graph/op_def.h"
#include "graph/passes/rewriter.h"
#include "tests/graph/evaluate.h"
#include "tests/support/every_op.h"

namespace kiln::graph::testing {
namespace {

TEST(Graph, ListsInputsStatesOutputsAndChecks) {
  Graph g("g");
  const Value x = g.input("x", {DType::f32, {2}}), y = g.input("y", {DType::bool_, {2}});
  const Value s = g.state("s", {DType::f32, {2}});
  g.update(s, x);
  check(y, x, "bad");
  g.output("out", s);
  EXPECT_EQ(g.inputs(), (std::vector<Value>{x, y}));
  EXPECT_EQ(g.input_name(1), "y");
  ASSERT_EQ(g.states().size(), 1u);
  EXPECT_EQ(g.states()[0].name, "s");
  EXPECT_EQ(g.states()[0].next, x);
  ASSERT_EQ(g.checks().size(), 1u);
  EXPECT_EQ(g.checks()[0]->operand(0), y);
  EXPECT_EQ(g.outputs()[0].value, s);
  EXPECT_EQ(x.type().to_string(), "f32[2]");
}

TEST(Graph, StaysWholeWhenMoved) {
  Graph a = every_op();
  const std::string text = print(a);
  const Value first = a.nodes()[0].value();
  Graph b(std::move(a));
  EXPECT_EQ(&first.graph(), &b);
  verify(b);
  EXPECT_EQ(print(b), text);
  Graph c("other");
  c.input("gone", {DType::f32, {}});
  c = std::move(b);
  EXPECT_EQ(&first.graph(), &c);
  verify(c);
  EXPECT_EQ(print(c), text);
  exp(first);  // and grows on
  verify(c);
}

TEST(Graph, RefusesForeignAndNullOperands) {
  Graph g, other;
  const Value x = g.input("x", {DType::f32, {}}), foreign = other.input("y", {DType::f32, {}});
  expect_error<StateError>([&] { g.emit(Op::add, {x, foreign}); }, {"add", "operand 1", "another graph"});
  expect_error<InternalError>([&] { g.emit(Op::add, {x, Value{}}); }, {"add", "operand 1", "null"});
  for (const auto& op : std::vector<std::function<Value()>>{
           [&] { return x + Value{}; }, [&] { return Value{} + x; }, [] { return exp(Value{}); },
           [] { return reduce_sum(Value{}); }, [] { return Value{} * 2.0; }})
    expect_error<StateError>(op, {"empty graph::Value"});
  expect_error<InternalError>([&] { g.output("y", foreign); }, {"y"});
  EXPECT_EQ(g.nodes().size(), 1u);
}

TEST(Graph, RefusesWrongOperandCountsAndAttributes) {
  Graph g;
  const Value x = g.input("x", {DType::f32, {2}});
  expect_error<InternalError>([&] { g.emit(Op::add, {x}); }, {"add", "2 operands", "not 1"});
  expect_error<InternalError>([&] { g.emit(Op::reverse, {x}); }, {"reverse", "\"axes\" is missing"});
  expect_error<InternalError>([&] { g.emit(Op::reverse, {x}, {{"axes", 0}}); }, {"\"axes\"", "wrong kind"});
  expect_error<InternalError>([&] { g.emit(Op::exp, {x}, {{"axes", Ints{}}}); },
                              {"exp", "no attribute \"axes\""});
}

TEST(Graph, UpdateNeedsAStateAndItsType) {
  Graph g;
  const Value s = g.state("weights", {DType::f32, {2}}), x = g.input("x", {DType::f32, {3}});
  const Value i = g.input("i", {DType::i32, {2}});
  expect_error<ShapeError>([&] { g.update(s, x); }, {"weights", "f32[2]", "f32[3]"});
  expect_error<TypeError>([&] { g.update(s, i); }, {"weights", "f32[2]", "i32[2]"});
  expect_error<InternalError>([&] { g.update(x, x); }, {"not a state"});
}

TEST(Graph, InputsHaveFixedShapes) {
  Graph g;
  expect_error<ShapeError>([&] { g.input("x", {DType::f32, {None, 2}}); }, {"\"x\"", "(None, 2)", "fixed"});
}

TEST(Graph, LabelScopesNest) {
  Graph g;
  const Value x = g.input("x", {DType::f32, {}});
  {
    LabelScope outer(g, "outer");
    {
      LabelScope inner(g, "inner");
      EXPECT_EQ(exp(x).node->label, "inner");
    }
    EXPECT_EQ(exp(x).node->label, "outer");
  }
  EXPECT_EQ(exp(x).node->label, "");
}

TEST(Attributes, CompareByBits) {
  const double other_nan = std::nan("7");
  EXPECT_EQ((Attributes{{"a", nan}}), (Attributes{{"a", nan}}));
  EXPECT_NE((Attributes{{"a", nan}}), (Attributes{{"a", other_nan}}));
  EXPECT_NE((Attributes{{"a", 0.0}}), (Attributes{{"a", -0.0}}));
  EXPECT_NE((Attributes{{"a", 1}}), (Attributes{{"a", 1.0}}));
  EXPECT_NE((Attributes{{"a", 1}}), (Attributes{{"b", 1}}));
  EXPECT_EQ((Attributes{{"a", Tensor({1.f, 2.f})}}), (Attributes{{"a", Tensor({1.f, 2.f})}}));
  EXPECT_NE((Attributes{{"a", Tensor({1.f, 2.f})}}), (Attributes{{"a", Tensor({{1.f, 2.f}})}}));
  EXPECT_NE((Attributes{{"a", Tensor({0.f})}}), (Attributes{{"a", Tensor({-0.f})}}));
  EXPECT_NE((Attributes{{"a", Tensor({0.f})}}), (Attributes{{"a", Tensor({0})}}));  // same bits, other type
}

TEST(Attributes, OrderOfSettingDoesNotMatter) {
  const Attributes a = {{"x", 1}, {"y", Ints{1, 2}}, {"z", "text"}};
  Attributes b = {{"z", "text"}, {"y", 0}, {"x", 1}};
  EXPECT_NE(a, b);
  b.set("y", Ints{1, 2});
  EXPECT_EQ(a, b);
  EXPECT_EQ(a.hash(), b.hash());
}

TEST(Attributes, ReadingNamesWhatIsWrong) {
  const Attributes a = {{"axis", 1}};
  EXPECT_EQ(a.integer("axis"), 1);
  expect_error<InternalError>([&] { a.integer("k"); }, {"\"k\"", "missing"});
  expect_error<InternalError>([&] { a.ints("axis"); }, {"\"axis\"", "ints"});
}

TEST(Registry, EveryOpIsDefined) {
  for (int i = 0; i < op_count; i++) {
    const OpDef& def = definition(static_cast<Op>(i));
    EXPECT_EQ(def.op, static_cast<Op>(i));
    EXPECT_NE(def.infer, nullptr) << op_name(def.op);
    EXPECT_NE(def.evaluate, nullptr) << op_name(def.op);
  }
}

TEST(Rewriter, CopiesAGraphUnchanged) {
  const Graph g = every_op();
  const Graph copy = Rewriter::run(g, [](Rewriter&, const Node&) { return false; });
  verify(copy);
  // Inputs and states come first in the copy, so the numbers differ; every_op begins with them.
  EXPECT_EQ(print(copy), print(g));
}

TEST(Rewriter, ReplacesAndKeepsLabels) {
  const Graph g = parse(R"(graph g {
    %0 = input "x" : f32[2]
    %1 = neg(%0) : f32[2]  # a
    %2 = neg(%1) : f32[2]  # b
    %3 = exp(%2) : f32[2]  # c
    output "y" = %3
  })");
  const Graph after = Rewriter::run(g, [](Rewriter& r, const Node& n) {
    if (n.op == Op::exp) {
      r.replace(n.value(), tanh(r(n.operand(0))));
      return true;
    }
    if (n.op != Op::neg || n.operand(0).node->op != Op::neg) return false;
    r.replace(n.value(), r(n.operand(0).node->operand(0)));
    return true;
  });
  EXPECT_EQ(print(after), R"(graph g {
  %0 = input "x" : f32[2]
  %1 = neg(%0) : f32[2]  # a
  %2 = tanh(%0) : f32[2]  # c
  output "y" = %2
}
)");
}

TEST(Rewriter, RefusesAReplacementOfAnotherType) {
  const Graph g = parse("graph g {\n %0 = input \"x\" : f32[2]\n %1 = exp(%0) : f32[2]\n}");
  expect_error<InternalError>(
      [&] {
        Rewriter::run(g, [](Rewriter& r, const Node& n) {
          r.replace(n.value(), reshape(r(n.operand(0)), {2, 1}));
          return true;
        });
      },
      {"f32[2]", "f32[2,1]", "exp"});
}

}  // namespace
}  // namespace kiln::graph::testing
