#include <gtest/gtest.h>

#include <memory>

#include "tests/graph/evaluate.h"
#include "tests/support/every_op.h"

namespace kiln::graph::testing {
namespace {

// The graph gives its nodes out as const; these tests break one on purpose.
Node& breakable(const Value& v) {
  return const_cast<Node&>(*v.node);
}

struct Sample {
  Graph g{"sample"};
  Value x = g.input("x", {DType::f32, {2}});
  Value s = g.state("s", {DType::f32, {2}});
  Value y = exp(x);
  Value z = x + y;
  Sample() {
    g.update(s, z);
    g.output("z", z);
  }
};

void expect_broken(const Graph& g, std::vector<std::string> parts) {
  parts.push_back("sample");
  expect_error<InternalError>([&] { verify(g); }, parts);
}

TEST(Verify, AcceptsWholeGraphs) {
  verify(Graph());
  verify(Sample().g);
  verify(every_op());
}

TEST(Verify, WrongType) {
  Sample a;
  breakable(a.y).results[0].shape = {3};
  expect_broken(a.g, {"exp", "types"});
}

TEST(Verify, WrongOperandType) {
  Sample a;
  breakable(a.x).results[0].dtype = DType::i32;
  breakable(a.x).attributes.set("dtype", DType::i32);
  expect_broken(a.g, {"exp", "int32"});
}

TEST(Verify, MissingAndSurplusAttributes) {
  Sample a;
  breakable(a.x).attributes = {};
  EXPECT_THROW(verify(a.g), InternalError);
  Sample b;
  breakable(b.y).attributes.set("axis", 1);
  expect_broken(b.g, {"exp", "axis"});
}

TEST(Verify, OperandLater) {
  Sample a;
  breakable(a.y).operands[0] = a.z;
  expect_broken(a.g, {"node 2", "operand 0", "%3", "later"});
}

TEST(Verify, OperandOfAnotherGraph) {
  Sample a;
  Sample b;
  breakable(a.y).operands[0] = b.x;
  expect_broken(a.g, {"node 2", "operand 0", "not of this graph"});
}

TEST(Verify, OperandOfAGraphThatIsGone) {
  Sample a;
  auto b = std::make_unique<Sample>();
  breakable(a.y).operands[0] = b->x;
  b.reset();
  expect_broken(a.g, {"node 2", "operand 0", "not of this graph"});
}

TEST(Verify, NullOperand) {
  Sample a;
  breakable(a.z).operands[1] = Value{};
  expect_broken(a.g, {"node 3", "operand 1", "null"});
}

TEST(Verify, MissingResult) {
  Sample a;
  breakable(a.z).operands[1].result = 1;
  expect_broken(a.g, {"node 3", "operand 1", "result 1"});
}

TEST(Verify, WrongOperandCount) {
  Sample a;
  breakable(a.z).operands.pop_back();
  expect_broken(a.g, {"add", "2 operands"});
}

TEST(Verify, WrongIdAndWrongGraph) {
  Sample a;
  breakable(a.y).id = 7;
  expect_broken(a.g, {"node 2", "7"});
  Sample b;
  breakable(b.y).graph = &a.g;
  expect_broken(b.g, {"node 2", "another graph"});
}

TEST(Verify, InputsAndStatesOutOfStep) {
  Sample a;
  breakable(a.x).op = Op::state;
  expect_broken(a.g, {"inputs"});
}

TEST(Verify, UpdateOfAnotherType) {
  Sample a;
  breakable(a.x).results[0].shape = {3};
  breakable(a.x).attributes.set("shape", Ints{3});
  breakable(a.y).results[0].shape = {3};
  breakable(a.z).results[0].shape = {3};
  expect_broken(a.g, {"update of \"s\"", "another type"});
}

TEST(Verify, OutputWithoutResult) {
  Sample a;
  breakable(a.z).op = Op::check;
  EXPECT_THROW(verify(a.g), InternalError);
}

}  // namespace
}  // namespace kiln::graph::testing
