// Maps that read an array across: squares of it are turned in registers.
#include <gtest/gtest.h>

#include "codegen/lower.h"
#include "kiln/graph/ops.h"
#include "tests/codegen/compile_support.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

bool turns(const Graph& g) {
  const Plan plan = compile_plan(g);
  for (const ScheduledGroup& group : plan.schedule)
    if (print(lower(group, Target::host(), 0).kernel).find("turn ") != std::string::npos) return true;
  return false;
}

Graph transposed(const Shape& shape, const Ints& permutation, DType dtype) {
  Graph g("transposed");
  const Value x = g.input("x", {dtype, shape});
  g.output("y", transpose(x, permutation) + scalar(x, 1));
  return g;
}

struct Case {
  Shape shape;
  Ints permutation;
};
const Case cases[] = {
    {{128, 160}, {1, 0}},              // whole squares
    {{131, 165}, {1, 0}},              // and rests
    {{128, 28, 28, 1}, {1, 2, 3, 0}},  // a batch becomes the last axis
    {{12, 12, 6, 40}, {3, 0, 1, 2}},   // and the first again
    {{5, 63, 67}, {0, 2, 1}},          // each matrix by itself
    {{1024, 40}, {1, 0}},              // rows that meet in few sets of the cache as they are written
    {{40, 1024}, {1, 0}},              // and as they are read
};

TEST(Transposes, AgreeWithTheInterpreter) {
  for (DType dtype : {DType::f32, DType::f64, DType::i32, DType::i64, DType::u8})
    for (const Case& c : cases) expect_compiled_equals_interpreted(transposed(c.shape, c.permutation, dtype));
}

TEST(Transposes, OfAxesWithOthersBetween) {
  expect_compiled_equals_interpreted(transposed({3, 40, 5, 48}, {0, 3, 2, 1}, DType::f32));
}

TEST(Transposes, AreTurnedInRegisters) {
  for (const Case& c : cases) EXPECT_TRUE(turns(transposed(c.shape, c.permutation, DType::f32)));
  EXPECT_FALSE(turns(transposed({64, 96}, {1, 0}, DType::f32))) << "too small to pay";
}

TEST(Transposes, WithWhatIsComputedOfThem) {
  Graph g("computed");
  const Value x = g.input("x", {DType::f32, {140, 150}}), y = g.input("y", {DType::f32, {150, 140}});
  const Value t = transpose(x, {1, 0});
  g.output("sum", t * y + t);
  g.output("compared", select(compare(t, y, "gt"), t, y));
  expect_compiled_equals_interpreted(g);
  EXPECT_TRUE(turns(g));
}

TEST(Transposes, OfTwoPlacesOfOneArrayAreNotMixedUp) {
  Graph g("places");
  const Value x = g.input("x", {DType::f32, {160, 131}});
  const Value a = slice(x, {0, 0}, {160, 130}, {1, 1}), b = slice(x, {0, 1}, {160, 131}, {1, 1});
  g.output("differences", transpose(b, {1, 0}) - transpose(a, {1, 0}));
  expect_compiled_equals_interpreted(g);
}

// Within four rows the second is read as the first is.
TEST(Transposes, OfTwoPlacesThatLookAlikeInFewRows) {
  Graph g("rows");
  const Value x = g.input("x", {DType::f32, {512, 256}});
  const Value first = slice(x, {0, 0}, {256, 256}, {1, 1});
  const Value blocks = slice(reshape(x, {64, 8, 256}), {0, 0, 0}, {64, 4, 256}, {1, 1, 1});
  g.output("differences", transpose(first, {1, 0}) - transpose(reshape(blocks, {256, 256}), {1, 0}));
  expect_compiled_equals_interpreted(g);
}

TEST(Transposes, UnderAPredicateStayAsTheyAre) {
  Graph g("padded");
  const Value x = g.input("x", {DType::f32, {160, 130}});
  g.output("padded", transpose(pad(x, scalar(x, 3), {1, 2}, {2, 1}, {0, 0}), {1, 0}));
  expect_compiled_equals_interpreted(g);
}

TEST(Transposes, OfBools) {
  Graph g("bools");
  const Value x = g.input("x", {DType::bool_, {160, 130}});
  g.output("turned", logical_not(transpose(x, {1, 0})));
  expect_compiled_equals_interpreted(g);
}

}  // namespace
}  // namespace kiln::codegen
