#include "evaluate.h"
#include "tests/graph/gradient_check.h"

// Numerical gradients of the products, convolutions, windows, reads and orders, and second derivatives of
// their squares (the ops are linear or bilinear: without the square a second derivative would mostly be
// zero).
namespace kiln::graph::testing {
namespace {

void check(const std::vector<Tensor>& inputs, const GraphFunction& f) {
  check_gradient(inputs, f);
  check_second_derivatives(inputs, [&](std::span<const Value> x) {
    const Value y = f(x);
    return y * y;
  });
}

using In = std::span<const Value>;

TEST(DotGradient, Matrices) {
  Draw draw(1);
  check({draw.tensor({2, 3}), draw.tensor({3, 4})}, [](In x) { return dot(x[0], x[1], {}, {}, {1}, {0}); });
}
TEST(DotGradient, TransposedMatrices) {
  Draw draw(2);
  check({draw.tensor({3, 2}), draw.tensor({4, 3})}, [](In x) { return dot(x[0], x[1], {}, {}, {0}, {1}); });
}
TEST(DotGradient, BatchAndContractedAxesAnywhere) {
  Draw draw(3);
  check({draw.tensor({2, 2, 3, 1, 2}), draw.tensor({2, 1, 2, 2, 3})}, [](In x) {
    return dot(x[0], x[1], {2, 0}, {4, 2}, {4, 3}, {0, 1});
  });
}
// The contracted axes pair up in another order than they have in either operand.
TEST(DotGradient, ContractedAxesCrossed) {
  Draw draw(4);
  check({draw.tensor({2, 3, 4}), draw.tensor({4, 2, 3})}, [](In x) {
    return dot(x[0], x[1], {}, {}, {1, 2, 0}, {2, 0, 1});
  });
}
TEST(DotGradient, OuterProduct) {
  Draw draw(5);
  check({draw.tensor({2}), draw.tensor({3})}, [](In x) { return dot(x[0], x[1], {}, {}, {}, {}); });
}
TEST(DotGradient, OfItself) {
  Draw draw(6);
  check({draw.tensor({3, 3})}, [](In x) { return dot(x[0], x[0], {}, {}, {1}, {0}); });
}
TEST(MatmulGradient, BroadcastLeadingAxes) {
  Draw draw(7);
  check({draw.tensor({2, 1, 2, 2}), draw.tensor({2, 2, 2})}, [](In x) { return matmul(x[0], x[1]); });
}

struct ConvCase {
  const char* name;
  Shape x, kernel;
  ConvAttrs attrs;
};
class ConvGradient : public ::testing::TestWithParam<ConvCase> {};

TEST_P(ConvGradient, OfAllThree) {
  const auto& [name, x_shape, k_shape, attrs] = GetParam();
  Draw draw(8);
  const Tensor x = draw.tensor(x_shape), k = draw.tensor(k_shape);
  Expression e;
  const Tensor y = draw.tensor(conv(e.input(x), e.input(k), attrs).shape());
  check({x, k}, [&](In v) { return conv(v[0], v[1], attrs); });
  check({y, k}, [&](In v) { return conv_input_grad(v[0], v[1], x_shape, attrs); });
  check({x, y}, [&](In v) { return conv_kernel_grad(v[0], v[1], k_shape, attrs); });
}
INSTANTIATE_TEST_SUITE_P(
    Forms, ConvGradient,
    ::testing::Values(
        ConvCase{"plain_1d", {2, 5, 2}, {3, 2, 2}, {}},
        ConvCase{"strided_padded", {1, 6, 2}, {3, 2, 1}, {{2}, {0}, {1}, {1}, 1}},
        ConvCase{"unused_end", {1, 6, 1}, {2, 1, 1}, {{3}, {0}, {0}, {1}, 1}},
        ConvCase{"grouped_dilated", {1, 5, 4}, {2, 2, 4}, {{1}, {1}, {2}, {3}, 2}},
        ConvCase{"depthwise_2d", {1, 3, 4, 2}, {2, 2, 1, 2}, {{1, 2}, {1, 0}, {0, 1}, {1, 1}, 2}},
        ConvCase{
            "volume", {1, 2, 3, 2, 1}, {2, 2, 1, 1, 2}, {{1, 1, 2}, {0, 1, 0}, {1, 0, 0}, {1, 2, 1}, 1}}),
    [](const auto& info) { return info.param.name; });

// Overlapping windows with different padding on the two sides.
const WindowAttrs overlapping{{1, 3, 2}, {1, 2, 1}, {0, 1, 0}, {0, 0, 1}};

TEST(WindowGradient, Sum) {
  Draw draw(9);
  check({draw.tensor({2, 5, 3})}, [](In x) { return window_sum(x[0], overlapping); });
  check({draw.tensor({2, 2, 3})}, [](In x) { return window_sum_grad(x[0], {2, 5, 3}, overlapping); });
}
TEST(WindowGradient, Max) {
  Draw draw(10);
  check({draw.distinct({2, 5, 3})}, [](In x) { return window_max(x[0], overlapping); });
}
TEST(WindowGradient, MaxGradAndPick) {
  Draw draw(11);
  check({draw.distinct({2, 5, 3}), draw.tensor({2, 2, 3})}, [](In x) {
    return window_max_grad(window_argmax(x[0], overlapping), x[1], x[0].shape(), overlapping);
  });
  check({draw.distinct({2, 5, 3}), draw.tensor({2, 5, 3})},
        [](In x) { return window_max_pick(window_argmax(x[0], overlapping), x[1], overlapping); });
}

// Indices below and above the range too: the gradients must clamp and drop as the ops do.
TEST(IndexGradient, Gather) {
  Draw draw(12);
  const Tensor x = draw.tensor({2, 3, 2}), i = draw.indices({2, 3}, -2, 4);
  check({x, i}, [](In v) { return gather(v[0], v[1], 1); });
}
TEST(IndexGradient, ScatterAdd) {
  Draw draw(13);
  const Tensor base = draw.tensor({2, 3, 2}), i = draw.indices({5}, -1, 3), updates = draw.tensor({2, 5, 2});
  check({base, i, updates}, [](In v) { return scatter_add(v[0], v[1], v[2], 1); });
}
TEST(IndexGradient, ScatterAddIntoNothing) {
  Draw draw(14);
  check({Tensor({0, 2}, DType::f64), draw.indices({3}, 0, 2), draw.tensor({3, 2})},
        [](In v) { return scatter_add(v[0], v[1], v[2], 0); });
}
TEST(IndexGradient, TakeAlong) {
  Draw draw(15);
  check({draw.tensor({2, 4}), draw.indices({2, 5}, -2, 6)}, [](In v) { return take_along(v[0], v[1], 1); });
}
TEST(IndexGradient, PutAlong) {
  Draw draw(16);
  check({draw.tensor({2, 5}), draw.indices({2, 5}, -2, 6)}, [](In v) { return put_along(v[0], v[1], 1, 3); });
}
TEST(IndexGradient, PutAlongNothing) {
  check({Tensor({2, 0}, DType::f64), Tensor({2, 0}, DType::i32)},
        [](In v) { return put_along(v[0], v[1], 1, 0); });
}
TEST(IndexGradient, DynamicSlice) {
  Draw draw(17);
  check({draw.tensor({3, 4}), Tensor({-1, 2})}, [](In v) { return dynamic_slice(v[0], v[1], {2, 3}); });
}
TEST(IndexGradient, DynamicUpdateSlice) {
  Draw draw(18);
  check({draw.tensor({3, 4}), draw.tensor({2, 3}), Tensor({5, 0})},
        [](In v) { return dynamic_update_slice(v[0], v[1], v[2]); });
}

TEST(OrderGradient, Cumsum) {
  Draw draw(19);
  for (bool exclusive : {false, true})
    for (bool backwards : {false, true})
      check({draw.tensor({2, 3, 2})}, [&](In x) { return cumsum(x[0], 1, exclusive, backwards); });
}
TEST(OrderGradient, Sort) {
  Draw draw(20);
  for (bool descending : {false, true})
    check({draw.distinct({3, 4})}, [&](In x) { return sort(x[0], 0, descending)[0]; });
}
TEST(OrderGradient, TopK) {
  Draw draw(21);
  check({draw.distinct({3, 5})}, [](In x) { return top_k(x[0], 2)[0]; });
}
// Only the indices are used: nothing flows back, and that is no error.
TEST(OrderGradient, OfIndicesIsNone) {
  Draw draw(22);
  check({draw.distinct({5})}, [](In x) { return convert(top_k(x[0], 2)[1], DType::f64) + reduce_sum(x[0]); });
}

}  // namespace
}  // namespace kiln::graph::testing
