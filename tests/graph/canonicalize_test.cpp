#include "graph/passes/passes.h"
#include "tests/graph/evaluate.h"
#include "tests/graph/pass_testing.h"

namespace kiln::graph::testing {
namespace {

// ---- dot --------------------------------------------------------------------------------------------------

TEST(CanonicalizeDot, MatricesStay) {
  expect_unchanged(canonicalize, R"(
graph g {
  %0 = input "a" : f32[2,3]
  %1 = input "b" : f32[3,4]
  %2 = dot(%0, %1) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[2,4]
  output "y" = %2
})");
}

// The weight gradient of a dense layer: read down the columns instead of being transposed.
TEST(CanonicalizeDot, LeftMayContractItsRows) {
  expect_unchanged(canonicalize, R"(
graph g {
  %0 = input "x" : f32[8,3]
  %1 = input "dy" : f32[8,4]
  %2 = dot(%0, %1) {lhs_batch=[], lhs_contract=[0], rhs_batch=[], rhs_contract=[0]} : f32[3,4]
  output "dw" = %2
})");
}

TEST(CanonicalizeDot, RightIsTransposed) {
  expect_pass(canonicalize, R"(
graph g {
  %0 = input "dy" : f32[8,4]
  %1 = input "w" : f32[3,4]
  %2 = dot(%0, %1) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[1]} : f32[8,3]  # dense
  output "dx" = %2
})",
              R"(
graph g {
  %0 = input "dy" : f32[8,4]
  %1 = input "w" : f32[3,4]
  %2 = transpose(%1) {permutation=[1, 0]} : f32[4,3]  # dense
  %3 = dot(%0, %2) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[8,3]  # dense
  output "dx" = %3
})");
}

// The gradient of a dense layer's input, for a batch much smaller than the layer: the rows are moved instead
// of the matrix.
TEST(CanonicalizeDot, FewRowsMoveInsteadOfALargeMatrix) {
  expect_pass(canonicalize, R"(
graph g {
  %0 = input "dy" : f32[2,30]
  %1 = input "w" : f32[40,30]
  %2 = dot(%0, %1) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[1]} : f32[2,40]
  output "dx" = %2
})",
              R"(
graph g {
  %0 = input "dy" : f32[2,30]
  %1 = input "w" : f32[40,30]
  %2 = transpose(%0) {permutation=[1, 0]} : f32[30,2]
  %3 = dot(%1, %2) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[40,2]
  %4 = transpose(%3) {permutation=[1, 0]} : f32[2,40]
  output "dx" = %4
})");
}

TEST(CanonicalizeDot, FreeAxesMergeWithoutATranspose) {
  expect_pass(canonicalize, R"(
graph g {
  %0 = input "x" : f32[2,5,3]
  %1 = input "w" : f32[3,4]
  %2 = dot(%0, %1) {lhs_batch=[], lhs_contract=[2], rhs_batch=[], rhs_contract=[0]} : f32[2,5,4]
  output "y" = %2
})",
              R"(
graph g {
  %0 = input "x" : f32[2,5,3]
  %1 = input "w" : f32[3,4]
  %2 = reshape(%0) {shape=[10, 3]} : f32[10,3]
  %3 = dot(%2, %1) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[10,4]
  %4 = reshape(%3) {shape=[2, 5, 4]} : f32[2,5,4]
  output "y" = %4
})");
}

// Heads of attention: (batch, time, heads, size) twice. Both batch axes become one.
TEST(CanonicalizeDot, BatchAxesMerge) {
  expect_pass(canonicalize, R"(
graph g {
  %0 = input "q" : f32[2,5,3,4]
  %1 = input "k" : f32[2,6,3,4]
  %2 = dot(%0, %1) {lhs_batch=[0, 2], lhs_contract=[3], rhs_batch=[0, 2], rhs_contract=[3]} : f32[2,3,5,6]
  output "scores" = %2
})",
              R"(
graph g {
  %0 = input "q" : f32[2,5,3,4]
  %1 = input "k" : f32[2,6,3,4]
  %2 = transpose(%0) {permutation=[0, 2, 1, 3]} : f32[2,3,5,4]
  %3 = reshape(%2) {shape=[6, 5, 4]} : f32[6,5,4]
  %4 = transpose(%1) {permutation=[0, 2, 3, 1]} : f32[2,3,4,6]
  %5 = reshape(%4) {shape=[6, 4, 6]} : f32[6,4,6]
  %6 = dot(%3, %5) {lhs_batch=[0], lhs_contract=[2], rhs_batch=[0], rhs_contract=[1]} : f32[6,5,6]
  %7 = reshape(%6) {shape=[2, 3, 5, 6]} : f32[2,3,5,6]
  output "scores" = %7
})");
}

// Moving an axis of size 1 moves nothing: reshapes are enough, and a batch of one is none.
TEST(CanonicalizeDot, AxesOfSizeOneNeedNoTranspose) {
  expect_pass(canonicalize, R"(
graph g {
  %0 = input "a" : f32[3,1,2]
  %1 = input "b" : f32[1,4,3]
  %2 = dot(%0, %1) {lhs_batch=[1], lhs_contract=[0], rhs_batch=[0], rhs_contract=[2]} : f32[1,2,4]
  output "y" = %2
})",
              R"(
graph g {
  %0 = input "a" : f32[3,1,2]
  %1 = input "b" : f32[1,4,3]
  %2 = reshape(%0) {shape=[3, 2]} : f32[3,2]
  %3 = transpose(%1) {permutation=[0, 2, 1]} : f32[1,3,4]
  %4 = reshape(%3) {shape=[3, 4]} : f32[3,4]
  %5 = dot(%2, %4) {lhs_batch=[], lhs_contract=[0], rhs_batch=[], rhs_contract=[0]} : f32[2,4]
  %6 = reshape(%5) {shape=[1, 2, 4]} : f32[1,2,4]
  output "y" = %6
})");
}

// The pairs of contracted axes may come in any order: the one that leaves both operands as they are is taken.
TEST(CanonicalizeDot, OrderOfContractedPairsIsFree) {
  expect_pass(canonicalize, R"(
graph g {
  %0 = input "a" : f32[2,3,4]
  %1 = input "b" : f32[3,4,5]
  %2 = dot(%0, %1) {lhs_batch=[], lhs_contract=[2, 1], rhs_batch=[], rhs_contract=[1, 0]} : f32[2,5]
  output "y" = %2
})",
              R"(
graph g {
  %0 = input "a" : f32[2,3,4]
  %1 = input "b" : f32[3,4,5]
  %2 = reshape(%0) {shape=[2, 12]} : f32[2,12]
  %3 = reshape(%1) {shape=[12, 5]} : f32[12,5]
  %4 = dot(%2, %3) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[2,5]
  output "y" = %4
})");
}

// ---- convolutions -----------------------------------------------------------------------------------------

TEST(CanonicalizeConv, WithoutPaddingStays) {
  expect_unchanged(canonicalize, R"(
graph g {
  %0 = input "x" : f32[1,8,2]
  %1 = input "k" : f32[3,2,4]
  %2 = conv(%0, %1) {dilation=[1], groups=1, high=[0], low=[0], strides=[2]} : f32[1,3,4]
  %3 = conv_kernel_grad(%0, %2) {dilation=[1], groups=1, high=[0], kernel=[3, 2, 4], low=[0], strides=[2]} : f32[3,2,4]
  output "dk" = %3
})");
}

TEST(CanonicalizeConv, PaddingIsANode) {
  expect_pass(canonicalize, R"(
graph g {
  %0 = input "x" : f32[1,8,2]
  %1 = input "k" : f32[3,2,4]
  %2 = conv(%0, %1) {dilation=[1], groups=1, high=[1], low=[0], strides=[2]} : f32[1,4,4]  # conv1d
  output "y" = %2
})",
              R"(
graph g {
  %0 = input "x" : f32[1,8,2]
  %1 = input "k" : f32[3,2,4]
  %2 = constant {value=f32[] 0x0p+0} : f32[]  # conv1d
  %3 = pad(%0, %2) {high=[0, 1, 0], interior=[0, 0, 0], low=[0, 0, 0]} : f32[1,9,2]  # conv1d
  %4 = conv(%3, %1) {dilation=[1], groups=1, high=[0], low=[0], strides=[2]} : f32[1,4,4]  # conv1d
  output "y" = %4
})");
}

// With strides, each phase of dx is a convolution of dy by those taps that met it.
TEST(CanonicalizeConv, InputGradIsAConvolutionForEachPhase) {
  expect_pass(canonicalize, R"(
graph g {
  %0 = input "dy" : f32[1,3,4]
  %1 = input "k" : f32[3,2,4]
  %2 = conv_input_grad(%0, %1) {dilation=[1], groups=1, high=[1], input=[1, 6, 2], low=[0], strides=[2]} : f32[1,6,2]
  output "dx" = %2
})",
              R"(
graph g {
  %0 = input "dy" : f32[1,3,4]
  %1 = input "k" : f32[3,2,4]
  %2 = slice(%1) {limit=[3, 2, 4], start=[0, 0, 0], stride=[2, 1, 1]} : f32[2,2,4]
  %3 = reverse(%2) {axes=[0]} : f32[2,2,4]
  %4 = transpose(%3) {permutation=[0, 2, 1]} : f32[2,4,2]
  %5 = constant {value=f32[] 0x0p+0} : f32[]
  %6 = pad(%0, %5) {high=[0, 0, 0], interior=[0, 0, 0], low=[0, 1, 0]} : f32[1,4,4]
  %7 = conv(%6, %4) {dilation=[1], groups=1, high=[0], low=[0], strides=[1]} : f32[1,3,2]
  %8 = slice(%1) {limit=[3, 2, 4], start=[1, 0, 0], stride=[2, 1, 1]} : f32[1,2,4]
  %9 = transpose(%8) {permutation=[0, 2, 1]} : f32[1,4,2]
  %10 = conv(%0, %9) {dilation=[1], groups=1, high=[0], low=[0], strides=[1]} : f32[1,3,2]
  %11 = reshape(%7) {shape=[1, 3, 1, 2]} : f32[1,3,1,2]
  %12 = reshape(%10) {shape=[1, 3, 1, 2]} : f32[1,3,1,2]
  %13 = concatenate(%11, %12) {axis=2} : f32[1,3,2,2]
  %14 = reshape(%13) {shape=[1, 6, 2]} : f32[1,6,2]
  output "dx" = %14
})");
}

// A 1x1 convolution's with strides: only one phase was met; of 5 elements the last one of the others isn't there.
TEST(CanonicalizeConv, InputGradOfAPointwiseConvolutionWithStrides) {
  expect_pass(canonicalize, R"(
graph g {
  %0 = input "dy" : f32[1,3,4]
  %1 = input "k" : f32[1,2,4]
  %2 = conv_input_grad(%0, %1) {dilation=[1], groups=1, high=[0], input=[1, 5, 2], low=[0], strides=[2]} : f32[1,5,2]
  output "dx" = %2
})",
              R"(
graph g {
  %0 = input "dy" : f32[1,3,4]
  %1 = input "k" : f32[1,2,4]
  %2 = slice(%1) {limit=[1, 2, 4], start=[0, 0, 0], stride=[2, 1, 1]} : f32[1,2,4]
  %3 = transpose(%2) {permutation=[0, 2, 1]} : f32[1,4,2]
  %4 = conv(%0, %3) {dilation=[1], groups=1, high=[0], low=[0], strides=[1]} : f32[1,3,2]
  %5 = constant {value=f32[] 0x0p+0} : f32[]
  %6 = pad(%4, %5) {high=[0, 1, 0], interior=[0, 1, 0], low=[0, 0, 0]} : f32[1,6,2]
  %7 = slice(%6) {limit=[1, 5, 2], start=[0, 0, 0], stride=[1, 1, 1]} : f32[1,5,2]
  output "dx" = %7
})");
}

// With dilation as well, of dy between zeros.
TEST(CanonicalizeConv, InputGradWithStridesAndDilationIsAConvolutionOfTheSpreadGradient) {
  expect_pass(canonicalize, R"(
graph g {
  %0 = input "dy" : f32[1,2,4]
  %1 = input "k" : f32[3,2,4]
  %2 = conv_input_grad(%0, %1) {dilation=[2], groups=1, high=[0], input=[1, 7, 2], low=[0], strides=[2]} : f32[1,7,2]
  output "dx" = %2
})",
              R"(
graph g {
  %0 = input "dy" : f32[1,2,4]
  %1 = input "k" : f32[3,2,4]
  %2 = constant {value=f32[] 0x0p+0} : f32[]
  %3 = pad(%0, %2) {high=[0, 4, 0], interior=[0, 1, 0], low=[0, 4, 0]} : f32[1,11,4]
  %4 = reverse(%1) {axes=[0]} : f32[3,2,4]
  %5 = transpose(%4) {permutation=[0, 2, 1]} : f32[3,4,2]
  %6 = conv(%3, %5) {dilation=[2], groups=1, high=[0], low=[0], strides=[1]} : f32[1,7,2]
  output "dx" = %6
})");
}

// A 1x1 convolution's: nothing to pad, nothing to reverse.
TEST(CanonicalizeConv, InputGradOfAPointwiseConvolution) {
  expect_pass(canonicalize, R"(
graph g {
  %0 = input "dy" : f32[1,5,4]
  %1 = input "k" : f32[1,2,4]
  %2 = conv_input_grad(%0, %1) {dilation=[1], groups=1, high=[0], input=[1, 5, 2], low=[0], strides=[1]} : f32[1,5,2]
  output "dx" = %2
})",
              R"(
graph g {
  %0 = input "dy" : f32[1,5,4]
  %1 = input "k" : f32[1,2,4]
  %2 = transpose(%1) {permutation=[0, 2, 1]} : f32[1,4,2]
  %3 = conv(%0, %2) {dilation=[1], groups=1, high=[0], low=[0], strides=[1]} : f32[1,5,2]
  output "dx" = %3
})");
}

// More padding than kernel: the first and last gradients saw padding only.
TEST(CanonicalizeConv, InputGradDropsWhatSawPaddingOnly) {
  expect_pass(canonicalize, R"(
graph g {
  %0 = input "dy" : f32[1,7,1]
  %1 = input "k" : f32[2,1,1]
  %2 = conv_input_grad(%0, %1) {dilation=[1], groups=1, high=[2], input=[1, 3, 1], low=[3], strides=[1]} : f32[1,3,1]
  output "dx" = %2
})",
              R"(
graph g {
  %0 = input "dy" : f32[1,7,1]
  %1 = input "k" : f32[2,1,1]
  %2 = slice(%0) {limit=[1, 6, 1], start=[0, 2, 0], stride=[1, 1, 1]} : f32[1,4,1]
  %3 = reverse(%1) {axes=[0]} : f32[2,1,1]
  %4 = conv(%2, %3) {dilation=[1], groups=1, high=[0], low=[0], strides=[1]} : f32[1,3,1]
  output "dx" = %4
})");
}

TEST(CanonicalizeConv, KernelGradPadsTheInput) {
  expect_pass(canonicalize, R"(
graph g {
  %0 = input "x" : f32[1,8,2]
  %1 = input "dy" : f32[1,8,4]
  %2 = conv_kernel_grad(%0, %1) {dilation=[1], groups=1, high=[1], kernel=[3, 2, 4], low=[1], strides=[1]} : f32[3,2,4]
  output "dk" = %2
})",
              R"(
graph g {
  %0 = input "x" : f32[1,8,2]
  %1 = input "dy" : f32[1,8,4]
  %2 = constant {value=f32[] 0x0p+0} : f32[]
  %3 = pad(%0, %2) {high=[0, 1, 0], interior=[0, 0, 0], low=[0, 1, 0]} : f32[1,10,2]
  %4 = conv_kernel_grad(%3, %1) {dilation=[1], groups=1, high=[0], kernel=[3, 2, 4], low=[0], strides=[1]} : f32[3,2,4]
  output "dk" = %4
})");
}

// ---- windows ----------------------------------------------------------------------------------------------

TEST(CanonicalizeWindow, PaddingOfSumsIsANode) {
  expect_pass(canonicalize, R"(
graph g {
  %0 = input "x" : f32[5]
  %1 = window_sum(%0) {high=[1], low=[0], strides=[2], window=[2]} : f32[3]
  output "sum" = %1
})",
              R"(
graph g {
  %0 = input "x" : f32[5]
  %1 = constant {value=f32[] 0x0p+0} : f32[]
  %2 = pad(%0, %1) {high=[1], interior=[0], low=[0]} : f32[6]
  %3 = window_sum(%2) {high=[0], low=[0], strides=[2], window=[2]} : f32[3]
  output "sum" = %3
})");
}

// A maximum can look at the nearest element instead, and places in x matter to the others.
TEST(CanonicalizeWindow, MaximaAndGradientsKeepTheirPadding) {
  expect_unchanged(canonicalize, R"(
graph g {
  %0 = input "x" : f32[5]
  %1 = input "dy" : f32[3]
  %2 = window_max(%0) {high=[1], low=[0], strides=[2], window=[2]} : f32[3]
  %3 = window_argmax(%0) {high=[1], low=[0], strides=[2], window=[2]} : u8[3]
  %4 = window_max_grad(%3, %1) {high=[1], input=[5], low=[0], strides=[2], window=[2]} : f32[5]
  %5 = window_max_pick(%3, %4) {high=[1], low=[0], strides=[2], window=[2]} : f32[3]
  %6 = window_sum_grad(%5) {high=[1], input=[5], low=[0], strides=[2], window=[2]} : f32[5]
  output "max" = %2
  output "dx" = %6
})");
}

// ---- the same values --------------------------------------------------------------------------------------

bool has_padding(const Attributes& a) {
  for (const char* side : {"low", "high"})
    for (std::int64_t n : a.ints(side))
      if (n != 0) return true;
  return false;
}

bool is_canonical(const Node& n) {
  const Attributes& a = n.attributes;
  switch (n.op) {
    case Op::dot: {
      const int rank = n.operand(0).rank();
      const Ints batch = rank == 3 ? Ints{0} : Ints{};
      const Ints &l = a.ints("lhs_contract"), &r = a.ints("rhs_contract");
      return (rank == 2 || rank == 3) && n.operand(1).rank() == rank && a.ints("lhs_batch") == batch &&
             a.ints("rhs_batch") == batch && (l == Ints{rank - 1} || l == Ints{rank - 2}) &&
             r == Ints{rank - 2};
    }
    case Op::conv:
    case Op::conv_kernel_grad:
    case Op::window_sum:
      return !has_padding(a);
    case Op::conv_input_grad:
      return false;
    default:
      return true;
  }
}

/// Everything in the canonical form, and outputs equal to the bit: the inputs are small multiples of 1/8, so
/// that sums are exact in any order.
void expect_same_values(const Graph& graph, const std::vector<Tensor>& inputs) {
  const Graph result = canonicalize(graph);
  verify(result);
  for (const Node& n : result.nodes()) EXPECT_TRUE(is_canonical(n)) << print(n);
  EXPECT_EQ(print(canonicalize(result)), print(result)) << "a second run changes the result of the first";
  const auto before = interpret(graph, inputs, {}).outputs, after = interpret(result, inputs, {}).outputs;
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t i = 0; i < before.size(); i++) expect_close(after[i], before[i]);
}

Tensor eighths(Draw& draw, const Shape& shape) {
  Tensor t(shape, DType::f64);
  for (std::int64_t i = 0; i < t.size(); i++) t.data<double>()[i] = static_cast<double>(draw(-16, 16)) / 8;
  return t;
}

/// 0 to n - 1 in random order.
Ints shuffled(Draw& draw, std::int64_t n) {
  Ints order;
  for (std::int64_t i = 0; i < n; i++) order.insert(order.begin() + draw(0, i), i);
  return order;
}

TEST(Canonicalize, DotsKeepTheirValues) {
  for_seeds(300, [](Draw& draw) {
    // Axes are drawn as kinds, then each operand gets its own in random order.
    const std::int64_t batch = draw(0, 2), contract = draw(0, 2), lhs_free = draw(0, 2),
                       rhs_free = draw(0, 2);
    Ints sizes;
    for (std::int64_t i = 0; i < batch + contract; i++) sizes.push_back(draw(1, 4));
    const auto make = [&](std::int64_t free, Ints& batch_axes, Ints& contract_axes) {
      Shape shape;
      batch_axes.resize(static_cast<std::size_t>(batch));
      contract_axes.resize(static_cast<std::size_t>(contract));
      for (std::int64_t kind : shuffled(draw, batch + contract + free)) {
        const auto k = static_cast<std::size_t>(kind), b = static_cast<std::size_t>(batch);
        if (kind < batch) batch_axes[k] = shape.rank();
        if (kind >= batch && kind < batch + contract) contract_axes[k - b] = shape.rank();
        shape.push_back(kind < batch + contract ? sizes[k] : draw(1, 4));
      }
      return shape;
    };
    Ints lhs_batch, lhs_contract, rhs_batch, rhs_contract;
    const Tensor a = eighths(draw, make(lhs_free, lhs_batch, lhs_contract));
    const Tensor b = eighths(draw, make(rhs_free, rhs_batch, rhs_contract));
    Graph g;
    const Value x = g.input("a", {DType::f64, a.shape()}), y = g.input("b", {DType::f64, b.shape()});
    g.output("y", dot(x, y, lhs_batch, rhs_batch, lhs_contract, rhs_contract));
    expect_same_values(g, {a, b});
  });
}

TEST(Canonicalize, ConvolutionsKeepTheirValues) {
  for_seeds(200, [](Draw& draw) {
    ConvAttrs attrs{.groups = draw(1, 3)};
    const std::int64_t channels = draw(1, 3), filters = draw(1, 3);
    Shape x_shape{draw(0, 2)}, k_shape;
    for (std::int64_t axis = draw(1, 3); axis > 0; axis--) {
      const std::int64_t window = draw(1, 3), dilation = draw(1, 3), low = draw(0, 4), high = draw(0, 4);
      attrs.strides.push_back(draw(1, 4));
      attrs.dilation.push_back(dilation);
      attrs.low.push_back(low);
      attrs.high.push_back(high);
      x_shape.push_back(std::max<std::int64_t>(1, (window - 1) * dilation + 1 - low - high) + draw(0, 5));
      k_shape.push_back(window);
    }
    x_shape.push_back(channels * attrs.groups);
    k_shape.push_back(channels);
    k_shape.push_back(filters * attrs.groups);
    Graph g;
    const Value x = g.input("x", {DType::f64, x_shape}), k = g.input("k", {DType::f64, k_shape});
    const Value y = conv(x, k, attrs), dy = g.input("dy", y.type());
    g.output("y", y);
    g.output("dx", conv_input_grad(dy, k, x_shape, attrs));
    g.output("dk", conv_kernel_grad(x, dy, k_shape, attrs));
    expect_same_values(g, {eighths(draw, x_shape), eighths(draw, k_shape), eighths(draw, y.shape())});
  });
}

TEST(Canonicalize, WindowsKeepTheirValues) {
  for_seeds(200, [](Draw& draw) {
    WindowAttrs attrs{};
    Shape shape;
    for (std::int64_t axis = draw(1, 4); axis > 0; axis--) {
      attrs.window.push_back(draw(1, 3));
      attrs.strides.push_back(draw(1, 3));
      attrs.low.push_back(draw(0, 3));
      attrs.high.push_back(draw(0, 3));
      const std::int64_t least = attrs.window.back() - attrs.low.back() - attrs.high.back();
      shape.push_back(std::max<std::int64_t>(1, least) + draw(0, 4));
    }
    Tensor value = eighths(draw, shape);
    value.data<double>()[0] = draw(0, 2) == 0 ? nan : -infinity;
    const DType type = draw(0, 1) == 0 ? DType::f64 : DType::i32;
    Graph g;
    const Value x = g.input("x", {type, shape});
    g.output("sum", window_sum(x, attrs));
    expect_same_values(g, {value.astype(type)});
  });
}

}  // namespace
}  // namespace kiln::graph::testing
