#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <set>

#include "graph/op_def.h"
#include "kiln/graph/graph.h"
#include "kiln/graph/ops.h"
#include "tests/support/every_op.h"

namespace kiln::graph {
namespace {

void expect_same(const Graph& a, const Graph& b) {
  ASSERT_EQ(a.nodes().size(), b.nodes().size());
  EXPECT_EQ(a.name, b.name);
  for (std::size_t i = 0; i < a.nodes().size(); i++) {
    const Node &m = a.nodes()[i], &n = b.nodes()[i];
    EXPECT_EQ(m.op, n.op) << print(m);
    EXPECT_EQ(m.attributes, n.attributes) << print(m);
    EXPECT_EQ(m.results, n.results) << print(m);
    EXPECT_EQ(m.label, n.label) << print(m);
    ASSERT_EQ(m.operands.size(), n.operands.size()) << print(m);
    for (std::size_t k = 0; k < m.operands.size(); k++) {
      EXPECT_EQ(m.operands[k].node->id, n.operands[k].node->id) << print(m);
      EXPECT_EQ(m.operands[k].result, n.operands[k].result) << print(m);
    }
  }
  ASSERT_EQ(a.states().size(), b.states().size());
  for (std::size_t i = 0; i < a.states().size(); i++) {
    EXPECT_EQ(a.states()[i].name, b.states()[i].name);
    ASSERT_EQ(bool(a.states()[i].next), bool(b.states()[i].next));
    if (a.states()[i].next) {
      EXPECT_EQ(a.states()[i].next.node->id, b.states()[i].next.node->id);
    }
  }
  ASSERT_EQ(a.outputs().size(), b.outputs().size());
  for (std::size_t i = 0; i < a.outputs().size(); i++) {
    EXPECT_EQ(a.outputs()[i].name, b.outputs()[i].name);
    EXPECT_EQ(a.outputs()[i].value.node->id, b.outputs()[i].value.node->id);
    EXPECT_EQ(a.outputs()[i].value.result, b.outputs()[i].value.result);
  }
}

void expect_round_trip(const Graph& g) {
  const std::string text = print(g);
  const Graph back = parse(text);
  verify(back);
  expect_same(g, back);
  EXPECT_EQ(print(back), text);
}

TEST(Text, PrintsTheDocumentedForm) {
  Graph g("mlp");
  const Value x = g.input("x", {DType::f32, {2, 3}});
  const Value w = g.state("dense/kernel", {DType::f32, {3, 4}});
  LabelScope label(g, "dense");
  const Value y = dot(x, w, {}, {}, {1}, {0});
  g.update(w, w * 0.5);
  g.output("logits", y);
  EXPECT_EQ(print(g), R"(graph mlp {
  %0 = input "x" : f32[2,3]
  %1 = state "dense/kernel" : f32[3,4]
  %2 = dot(%0, %1) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[2,4]  # dense
  %3 = constant {value=f32[] 0.5} : f32[]  # dense
  %4 = broadcast(%3) {dims=[], shape=[3, 4]} : f32[3,4]  # dense
  %5 = mul(%1, %4) : f32[3,4]  # dense
  update %1 = %5
  output "logits" = %2
}
)");
  expect_round_trip(g);
}

TEST(Text, EveryOpAndAttributeComesBack) {
  const Graph g = every_op();
  std::set<Op> seen;
  for (const Node& node : g.nodes()) seen.insert(node.op);
  for (int i = 0; i < op_count; i++)
    EXPECT_TRUE(seen.count(static_cast<Op>(i))) << op_name(static_cast<Op>(i));
  expect_round_trip(g);
}

template <class T>
T from_bits(auto bits) {
  return std::bit_cast<T>(bits);
}

TEST(Text, ConstantsComeBackToTheBit) {
  const float inf = std::numeric_limits<float>::infinity();
  const double big = std::numeric_limits<double>::max();
  Graph g;
  constant(g, Tensor({0.1f, -0.0f, 1e-45f, 3.4028235e38f, inf, -inf, 1.0f / 3, 16777217.f}));
  constant(g, Tensor({from_bits<float>(0x7fc00000u), from_bits<float>(0xffc00000u),
                      from_bits<float>(0x7f800001u)}));
  constant(g, Tensor({0.1, -0.0, 4.9e-324, big, -big, 1.0 / 3, from_bits<double>(0x7ff8000000000123ull)}));
  constant(g, Tensor({std::int32_t{0}, std::numeric_limits<std::int32_t>::min()}));
  constant(g, Tensor({std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()}));
  constant(g, Tensor({std::uint8_t{0}, std::uint8_t{255}}));
  constant(g, Tensor({true, false}));
  constant(g, Tensor({{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}}));
  constant(g, Tensor({{7.f, 7.f}, {7.f, 7.f}}));  // one number for all
  constant(g, Tensor({0.0f, -0.0f}));             // but these aren't equal
  constant(g, Tensor(Shape{0, 3}));
  constant(g, Tensor(Shape{1, 1}));
  constant(g, Tensor::scalar(-2.5, DType::f64));
  constant(g, Tensor::scalar(1, DType::bool_));
  expect_round_trip(g);
}

TEST(Text, NumbersMayBeWrittenInHexadecimal) {
  const Graph g = parse("graph g {\n %0 = constant {value=f32[2] [0x1.8p+1, -0x1p-3]} : f32[2]\n}\n");
  EXPECT_EQ(g.nodes()[0].attributes.tensor("value").to_vector<float>(), (std::vector<float>{3, -0.125}));
}

TEST(Text, NamesAndLabelsOfAnyCharactersComeBack) {
  const std::string nasty[] = {"a \"quoted\" \\ name",
                               "two\nlines\tand\x01\x7f",
                               " edges ",
                               "Größe",
                               "# %0 = {",
                               "\"",
                               "// no comment",
                               ""};
  for (const std::string& name : nasty) {
    Graph g(name);
    const Value x = g.input(name, {DType::f32, {}});
    const Value s = g.state(name, {DType::f32, {}});
    LabelScope label(g, name);
    g.update(s, exp(x));
    g.output(name, s);
    expect_round_trip(g);
  }
}

TEST(Text, LaterResultsOfANodeAreNamedByNumber) {
  Graph g;
  const Value x = g.input("x", {DType::f32, {5}});
  const std::vector<Value> sorted = sort(x, 0);
  g.output("order", sorted[1]);
  EXPECT_NE(print(g).find("output \"order\" = %1#1"), std::string::npos) << print(g);
  expect_round_trip(g);
}

TEST(Text, IdsMayBeAnyAndPrintByPosition) {
  const Graph g = parse(R"(
      // blank space, comments and gaps in the numbers are fine
      graph g {
        %7 = input "x" : f32[2]
        %3 = exp(%7) : f32[2]   # label
        output "y" = %3
      })");
  EXPECT_EQ(print(g.nodes()[1]), "%1 = exp(%0) : f32[2]  # label");
}

struct BadText {
  const char* text;
  const char* complaint;
};

TEST(Text, ErrorsNameTheLineAndTheReason) {
  const BadText cases[] = {
      {"grap", "line 1: expected 'graph'"},
      {"graph g {", "line 1: expected a node"},
      {"graph g {\n %0 = foo : f32[]\n}", "line 2: there is no op \"foo\""},
      {"graph g {\n %0 = exp(%1) : f32[]\n}", "line 2: %1 is not defined above"},
      {"graph g {\n %0 = input \"x\" : f33[]\n}", "line 2: \"f33\" is not an element type"},
      {"graph g {\n %0 = input \"x\"\n}", "the type of input is missing"},
      {"graph g {\n %0 = input \"x : f32[]\n}", "line 2: a string doesn't end on its line"},
      {"graph g {\n %0 = input \"x\\q\" : f32[]\n}", "unknown escape"},
      {"graph g {\n %0 = input \"x\" : f32[2]\n %0 = exp(%0) : f32[2]\n}", "line 3: %0 is defined twice"},
      {"graph g {\n %0 = input \"x\" : f32[2]\n %1 = exp(%0) : f32[3]\n}", "by the op's rule the node is"},
      {"graph g {\n %0 = input \"x\" : f32[2]\n %1 = exp(%0#1) : f32[2]\n}", "%0 has no result 1"},
      {"graph g {\n %0 = input \"x\" : i32[2]\n %1 = exp(%0) : i32[2]\n}", "line 3: exp: operand 0 is int32"},
      {"graph g {\n %0 = input \"x\" : f32[2]\n %1 = reverse(%0) {axis=0} : f32[2]\n}",
       "no attribute \"axis\""},
      {"graph g {\n %0 = input \"x\" : f32[2]\n %1 = reverse(%0) : f32[2]\n}",
       "attribute \"axes\" is missing"},
      {"graph g {\n %0 = constant {value=f32[2] [1, 2, 3]} : f32[2]\n}",
       "has 3 elements but its shape needs 2"},
      {"graph g {\n %0 = constant {value=u8[1] [256]} : u8[1]\n}", "256 doesn't fit u8"},
      {"graph g {\n %0 = constant {value=f32[1] [1.5x]} : f32[1]\n}", "\"1.5x\" is not a number"},
      {"graph g {\n %0 = constant {value=i32[1] [99999999999999999999]} : i32[1]\n}", "not an integer"},
      {"graph g {\n %0 = constant {value=f32[] 1e39} : f32[]\n}",
       "1e39 is larger or nearer to 0 than any f32"},
      {"graph g {\n %0 = constant {value=f64[] -1e999} : f64[]\n}",
       "-1e999 is larger or nearer to 0 than any f64"},
      {"graph g {\n %0 = constant {value=f32[] nan(0x17fc00001)} : f32[]\n}", "not the bits of a NaN"},
      {"graph g {\n %0 = constant {value=f32[] nan(0x7fc00001z)} : f32[]\n}", "not the bits of a NaN"},
      {"graph g {\n %0 = input \"x\\x-1\" : f32[]\n}", "unknown escape"},
      {"graph g {\n %0 = input \"x\\", "unknown escape"},
      {"graph g {\n %0 = constant {value=f32[-1] []} : f32[-1]\n}", "line 2"},
      {"graph g {\n %0 = input \"x\" : f32[]\n update %0 = %0\n}",
       "line 3: update: the first argument is not a state"},
      {"graph g {\n}\nmore", "line 3: there is more text"},
  };
  for (const BadText& c : cases) {
    try {
      parse(c.text);
      ADD_FAILURE() << "accepted: " << c.text;
    } catch (const ValueError& e) {
      EXPECT_NE(std::string(e.what()).find(c.complaint), std::string::npos)
          << "said: " << e.what() << "\nexpected: " << c.complaint;
    }
  }
}

// The widest numbers that are still finite, and the smallest; signs and hexadecimals.
TEST(Text, NumbersAtTheEdgesComeIn) {
  const Graph g = parse(
      "graph g {\n %0 = constant {value=f32[5] [3.4028235e38, 1e-45, -inf, +2.5, -0x1.8p-3]} : f32[5]\n}");
  const auto& t = g.nodes()[0].attributes.tensor("value");
  EXPECT_EQ(t.to_vector<float>(),
            (std::vector<float>{std::numeric_limits<float>::max(), 0x1p-149f,
                                -std::numeric_limits<float>::infinity(), 2.5f, -0.1875f}));
}

}  // namespace
}  // namespace kiln::graph
