#include <cmath>
#include <limits>

#include "kiln/graph/ops.h"
#include "tests/graph/evaluate.h"
#include "tests/graph/pass_testing.h"

namespace kiln::graph::testing {
namespace {

// relu of a product whose gradient needs both its result and its mask.
TEST(Masks, AreTakenFromAResultThatIsKept) {
  expect_pass(masks, R"(graph g {
  %0 = input "x" : f32[4,4]
  %1 = state "w" : f32[4,4]
  %2 = constant {value=f32[] 0} : f32[]
  %3 = broadcast(%2) {dims=[], shape=[4, 4]} : f32[4,4]
  %4 = dot(%0, %1) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[4,4]
  %5 = compare(%4, %3) {direction="le"} : bool[4,4]
  %6 = select(%5, %3, %4) : f32[4,4]
  %7 = dot(%6, %1) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[4,4]
  %8 = exp(%7) : f32[4,4]
  %9 = dot(%6, %8) {lhs_batch=[], lhs_contract=[0], rhs_batch=[], rhs_contract=[0]} : f32[4,4]
  %10 = select(%5, %3, %8) : f32[4,4]
  output "dw" = %9
  output "dx" = %10
}
)",
              R"(graph g {
  %0 = input "x" : f32[4,4]
  %1 = state "w" : f32[4,4]
  %2 = constant {value=f32[] 0} : f32[]
  %3 = broadcast(%2) {dims=[], shape=[4, 4]} : f32[4,4]
  %4 = dot(%0, %1) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[4,4]
  %5 = compare(%4, %3) {direction="le"} : bool[4,4]
  %6 = select(%5, %3, %4) : f32[4,4]
  %7 = dot(%6, %1) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[4,4]
  %8 = exp(%7) : f32[4,4]
  %9 = dot(%6, %8) {lhs_batch=[], lhs_contract=[0], rhs_batch=[], rhs_contract=[0]} : f32[4,4]
  %10 = compare(%6, %3) {direction="le"} : bool[4,4]
  %11 = select(%10, %3, %8) : f32[4,4]
  output "dw" = %9
  output "dx" = %11
}
)");
}

// A convolution keeps its input with padding: the mask is a part of that.
TEST(Masks, AreTakenFromAPaddedResult) {
  expect_pass(masks, R"(graph g {
  %0 = input "x" : f32[4]
  %1 = constant {value=f32[] 0} : f32[]
  %2 = broadcast(%1) {dims=[], shape=[4]} : f32[4]
  %3 = compare(%0, %2) {direction="ge"} : bool[4]
  %4 = select(%3, %2, %0) : f32[4]
  %5 = pad(%4, %1) {high=[2], interior=[0], low=[1]} : f32[7]
  %20 = exp(%5) : f32[7]
  %6 = exp(%20) : f32[7]
  %7 = sin(%6) : f32[7]
  %8 = exp(%7) : f32[7]
  %9 = mul(%8, %5) : f32[7]
  %10 = slice(%9) {limit=[5], start=[1], stride=[1]} : f32[4]
  %11 = select(%3, %2, %10) : f32[4]
  output "y" = %9
  output "dx" = %11
}
)",
              R"(graph g {
  %0 = input "x" : f32[4]
  %1 = constant {value=f32[] 0} : f32[]
  %2 = broadcast(%1) {dims=[], shape=[4]} : f32[4]
  %3 = compare(%0, %2) {direction="ge"} : bool[4]
  %4 = select(%3, %2, %0) : f32[4]
  %5 = pad(%4, %1) {high=[2], interior=[0], low=[1]} : f32[7]
  %20 = exp(%5) : f32[7]
  %6 = exp(%20) : f32[7]
  %7 = sin(%6) : f32[7]
  %8 = exp(%7) : f32[7]
  %9 = mul(%8, %5) : f32[7]
  %10 = slice(%9) {limit=[5], start=[1], stride=[1]} : f32[4]
  %11 = slice(%5) {limit=[5], start=[1], stride=[1]} : f32[4]
  %12 = compare(%11, %2) {direction="ge"} : bool[4]
  %13 = select(%12, %2, %10) : f32[4]
  output "y" = %9
  output "dx" = %13
}
)");
}

// A byte an element kept for long is less than four.
TEST(Masks, StayWhereTheResultIsNotKept) {
  expect_unchanged(masks, R"(graph g {
  %0 = input "x" : f32[4]
  %1 = constant {value=f32[] 0} : f32[]
  %2 = broadcast(%1) {dims=[], shape=[4]} : f32[4]
  %3 = compare(%0, %2) {direction="le"} : bool[4]
  %4 = select(%3, %2, %0) : f32[4]
  %5 = exp(%4) : f32[4]
  %6 = exp(%5) : f32[4]
  %7 = exp(%6) : f32[4]
  %8 = exp(%7) : f32[4]
  %9 = select(%3, %2, %8) : f32[4]
  output "dx" = %9
}
)");
}

// The bound itself is not below the bound, and NaN is not equal to itself: the mask can't be seen from y.
TEST(Masks, StayWhereTheResultDoesNotTell) {
  for (const std::string change : {"lt", "NaN", "other"}) {
    std::string text = R"(graph g {
  %0 = input "x" : f32[4]
  %1 = constant {value=f32[] BOUND} : f32[]
  %2 = broadcast(%1) {dims=[], shape=[4]} : f32[4]
  %3 = compare(%0, %2) {direction="DIRECTION"} : bool[4]
  %4 = constant {value=f32[] 3} : f32[]
  %5 = broadcast(%4) {dims=[], shape=[4]} : f32[4]
  %6 = select(%3, TAKEN, %0) : f32[4]
  %7 = select(%3, %2, %6) : f32[4]
  output "y" = %6
  output "dx" = %7
}
)";
    const auto put = [&](const std::string& name, const std::string& value) {
      text.replace(text.find(name), name.size(), value);
    };
    put("BOUND", change == "NaN" ? "nan" : "0");
    put("DIRECTION", change == "lt" ? "lt" : "le");
    put("TAKEN", change == "other" ? "%5" : "%2");
    expect_unchanged(masks, text);
  }
}

// Zeros of both signs, infinities, NaN.
TEST(Masks, KeepEveryBit) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  const Tensor x({0.f, -0.f, 1.f, -1.f, inf, -inf, std::nanf(""), 1e-45f}), ones = Tensor::full({8}, 1);
  for (const char* direction : {"le", "ge"}) {
    Graph g;
    const Value v = g.input("x", {DType::f32, {8}}), zero = broadcast(scalar(v, 0), {8}, {});
    const Value mask = compare(v, zero, direction), y = select(mask, zero, v);
    g.output("dx", select(mask, zero, g.input("dy", {DType::f32, {8}})));
    g.output("y", y);
    const Graph after = masks(g);
    EXPECT_NE(print(after), print(g));
    const Tensor inputs[] = {x, ones};
    const auto expected = interpret(g, inputs, {}), actual = interpret(after, inputs, {});
    for (std::size_t i = 0; i < expected.outputs.size(); i++)
      EXPECT_TRUE(same_bits(actual.outputs[i], expected.outputs[i])) << direction << " " << i;
  }
}

}  // namespace
}  // namespace kiln::graph::testing
