#include <gtest/gtest.h>

#include <set>
#include <string>

#include "graph/op_def.h"
#include "tests/graph/gradient_check.h"

namespace kiln::graph {
namespace {

using Args = std::span<const Value>;

Tensor numbers(const Shape& shape, double low = -2, double high = 2) {
  return RandomNumbers(shape.elements() + 77).tensor(shape, low, high);
}
Tensor whole(std::initializer_list<std::int32_t> v, const Shape& shape) {
  return Tensor(std::vector<std::int32_t>(v), shape);
}

struct Case {
  std::string name;
  Op op;  ///< whose rule is under test
  std::vector<Tensor> inputs;
  GraphFunction f;
  GradientCheckOptions options = {};
};

std::vector<Case> unary_cases() {
  const Tensor any = numbers({3, 5}), positive = numbers({3, 5}, 0.3, 3);
  const auto one = [](Value (*op)(Value)) { return [op](Args x) { return op(x[0]); }; };
  return {
      {"neg", Op::neg, {any}, one(neg)},
      {"abs", Op::abs, {any}, one(abs)},
      {"exp", Op::exp, {any}, one(exp)},
      {"expm1", Op::expm1, {any}, one(expm1)},
      {"log", Op::log, {positive}, one(log)},
      {"log1p", Op::log1p, {positive}, one(log1p)},
      {"sqrt", Op::sqrt, {positive}, one(sqrt)},
      {"rsqrt", Op::rsqrt, {positive}, one(rsqrt)},
      {"tanh", Op::tanh, {any}, one(tanh)},
      {"sigmoid", Op::sigmoid, {any}, one(sigmoid)},
      {"erf", Op::erf, {any}, one(erf)},
      {"sin", Op::sin, {any}, one(sin)},
      {"cos", Op::cos, {any}, one(cos)},
      // Through f32, whose rounding hides small steps.
      {"convert",
       Op::convert,
       {any},
       [](Args x) { return convert(convert(x[0], DType::f32), DType::f64) * x[0]; },
       {.step = 1e-2, .tolerance = 1e-4}},
  };
}

std::vector<Case> binary_cases() {
  const Tensor any = numbers({3, 4}), other = numbers({3, 4}, -1.5, 2.5), positive = numbers({3, 4}, 0.4, 3);
  const Tensor row = numbers({4}, 0.5, 2), column = numbers({3, 1}, 0.5, 2);
  const auto two = [](Value (*op)(Value, Value)) { return [op](Args x) { return op(x[0], x[1]); }; };
  return {
      {"add", Op::add, {any, row}, two(add)},
      {"sub", Op::sub, {any, column}, two(sub)},
      {"mul", Op::mul, {column, row}, two(mul)},
      {"div", Op::div, {any, positive}, two(div)},
      {"rem", Op::rem, {any, positive}, two(rem)},
      {"rem_of_negative", Op::rem, {positive, Tensor({-0.7, -1.1, 0.7, 0.3})}, two(rem)},
      {"pow", Op::pow, {positive, any}, two(pow)},
      {"pow_of_negative", Op::pow, {any}, [](Args x) { return pow(x[0], scalar(x[0], 3)); }},
      {"maximum", Op::maximum, {any, other}, two(maximum)},
      {"minimum", Op::minimum, {any, other}, two(minimum)},
      {"select",
       Op::select,
       {any, other},
       [](Args x) { return select(compare(x[0], x[1], "lt"), x[0] * x[1], x[1]); }},
  };
}

std::vector<Case> movement_cases() {
  const Tensor a = numbers({3, 4}), b = numbers({3, 2});
  const auto cubed = [](Value v) { return v * v * v; };
  return {
      {"broadcast",
       Op::broadcast,
       {numbers({3, 1})},
       [=](Args x) { return cubed(broadcast(x[0], {2, 3, 5}, {1, 2})); }},
      {"broadcast_none", Op::broadcast, {a}, [=](Args x) { return cubed(broadcast(x[0], {3, 4}, {0, 1})); }},
      {"reshape", Op::reshape, {a}, [=](Args x) { return cubed(reshape(x[0], {2, None})); }},
      {"transpose",
       Op::transpose,
       {numbers({2, 3, 4})},
       [=](Args x) { return cubed(transpose(x[0], {2, 0, 1})); }},
      {"slice",
       Op::slice,
       {numbers({5, 7})},
       [=](Args x) { return cubed(slice(x[0], {1, 0}, {4, 7}, {1, 3})); }},
      {"slice_of_nothing", Op::slice, {a}, [=](Args x) { return cubed(slice(x[0], {1, 2}, {1, 4})); }},
      {"pad",
       Op::pad,
       {a, numbers({})},
       [=](Args x) { return cubed(pad(x[0], x[1], {1, 0}, {0, 2}, {2, 1})); }},
      {"pad_of_nothing",
       Op::pad,
       {numbers({0, 2}), numbers({})},
       [=](Args x) { return cubed(pad(x[0], x[1], {1, 1}, {2, 0}, {2, 1})); }},
      {"concatenate",
       Op::concatenate,
       {a, b},
       [=](Args x) {
         const Value parts[] = {x[0], x[1], x[0]};
         return cubed(concatenate(parts, 1));
       }},
      {"reverse", Op::reverse, {a}, [=](Args x) { return cubed(reverse(x[0], {0, 1})); }},
  };
}

std::vector<Case> reduction_cases() {
  const Tensor a = numbers({3, 4, 2});
  Tensor zeros = numbers({3, 5});  // rows with none, one, and two zeros
  for (auto [row, column] : {std::pair{1, 3}, {2, 0}, {2, 4}}) zeros(row, column) = 0;
  return {
      {"reduce_sum", Op::reduce_sum, {a}, [](Args x) { return exp(reduce_sum(x[0], {0, -1})); }},
      {"reduce_mean", Op::reduce_sum, {a}, [](Args x) { return exp(reduce_mean(x[0], {1}, true)); }},
      {"reduce_max", Op::reduce_max, {a}, [](Args x) { return exp(reduce_max(x[0], {1})); }},
      {"reduce_min", Op::reduce_min, {a}, [](Args x) { return exp(reduce_min(x[0], {0, 2}, true)); }},
      {"reduce_prod", Op::reduce_prod, {a}, [](Args x) { return reduce_prod(x[0], {1}); }},
      {"reduce_prod_of_two_axes",
       Op::reduce_prod,
       {a},
       [](Args x) { return reduce_prod(x[0], {0, 2}, true); }},
      {"reduce_prod_of_zeros", Op::reduce_prod, {zeros}, [](Args x) { return reduce_prod(x[0], {1}); }},
      {"reduce_prod_of_one",
       Op::reduce_prod,
       {numbers({3, 1})},
       [](Args x) { return reduce_prod(x[0], {1}); }},
      {"cumsum", Op::cumsum, {a}, [](Args x) { return exp(cumsum(x[0], 1, true, true)); }},
      {"sort", Op::sort, {a}, [](Args x) { return exp(sort(x[0], 1, true)[0]); }},
      {"top_k", Op::top_k, {a}, [](Args x) { return exp(top_k(reshape(x[0], {3, 8}), 3)[0]); }},
  };
}

std::vector<Case> product_cases() {
  const ConvAttrs attrs{.strides = {2, 1}, .low = {1, 0}, .high = {0, 2}, .dilation = {1, 2}, .groups = 2};
  const Tensor image = numbers({2, 5, 4, 4}), kernel = numbers({3, 2, 2, 6});
  const Shape dy = {2, 2, 4, 6};
  return {
      {"dot",
       Op::dot,
       {numbers({2, 3, 4}), numbers({4, 2, 5})},
       [](Args x) { return dot(x[0], x[1], {0}, {1}, {2}, {0}); }},
      {"matmul", Op::dot, {numbers({2, 3, 4}), numbers({4, 5})}, [](Args x) { return matmul(x[0], x[1]); }},
      {"conv", Op::conv, {image, kernel}, [=](Args x) { return conv(x[0], x[1], attrs); }},
      {"conv_input_grad",
       Op::conv_input_grad,
       {numbers(dy), kernel},
       [=](Args x) { return conv_input_grad(x[0], x[1], image.shape(), attrs); }},
      {"conv_kernel_grad",
       Op::conv_kernel_grad,
       {image, numbers(dy)},
       [=](Args x) { return conv_kernel_grad(x[0], x[1], kernel.shape(), attrs); }},
  };
}

std::vector<Case> window_cases() {
  const WindowAttrs attrs{
      .window = {1, 2, 3, 1}, .strides = {1, 2, 1, 1}, .low = {0, 1, 0, 0}, .high = {0, 1, 1, 0}};
  const Tensor image = numbers({2, 4, 5, 2});
  const Shape pooled = {2, 3, 4, 2};
  return {
      {"window_sum", Op::window_sum, {image}, [=](Args x) { return exp(window_sum(x[0], attrs)); }},
      {"window_sum_grad",
       Op::window_sum_grad,
       {numbers(pooled)},
       [=](Args x) { return exp(window_sum_grad(x[0], image.shape(), attrs)); }},
      {"window_max", Op::window_max, {image}, [=](Args x) { return exp(window_max(x[0], attrs)); }},
      {"window_max_grad",
       Op::window_max_grad,
       {image, numbers(pooled)},
       [=](Args x) { return exp(window_max_grad(window_argmax(x[0], attrs), x[1], x[0].shape(), attrs)); }},
      {"window_max_pick",
       Op::window_max_pick,
       {image, numbers({2, 4, 5, 2}, -1, 1)},
       [=](Args x) { return exp(window_max_pick(window_argmax(x[0], attrs), x[1], attrs)); }},
  };
}

std::vector<Case> indexing_cases() {
  const Tensor x = numbers({3, 4, 2});
  const Tensor rows = whole({2, 0, 2, 9}, {4}),
               along = whole({1, 3, 1, 0, 2, 2, 3, -5, 1, 0, 0, 0}, {3, 2, 2});
  const Tensor starts = whole({1, 7, 0}, {3});  // 7 is moved back so that the slice fits
  return {
      {"gather", Op::gather, {x, rows}, [](Args v) { return exp(gather(v[0], v[1], 0)); }},
      {"scatter_add",
       Op::scatter_add,
       {x, rows, numbers({4, 4, 2})},
       [](Args v) { return exp(scatter_add(v[0], v[1], v[2], 0)); }},
      {"take_along", Op::take_along, {x, along}, [](Args v) { return exp(take_along(v[0], v[1], 1)); }},
      {"put_along",
       Op::put_along,
       {numbers({3, 2, 2}), along},
       [](Args v) { return exp(put_along(v[0], v[1], 1, 4)); }},
      {"dynamic_slice",
       Op::dynamic_slice,
       {x, starts},
       [](Args v) { return exp(dynamic_slice(v[0], v[1], {2, 2, 1})); }},
      {"dynamic_update_slice",
       Op::dynamic_update_slice,
       {x, numbers({2, 2, 1}), starts},
       [](Args v) { return exp(dynamic_update_slice(v[0], v[1], v[2])); }},
  };
}

std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (auto part : {unary_cases, binary_cases, movement_cases, reduction_cases, product_cases, window_cases,
                    indexing_cases})
    for (Case& c : part()) all.push_back(std::move(c));
  return all;
}

class GradientOf : public testing::TestWithParam<Case> {};

TEST_P(GradientOf, AgreesWithCentralDifferences) {
  check_gradient(GetParam().inputs, GetParam().f, GetParam().options);
}
TEST_P(GradientOf, SecondDerivativesAgreeToo) {
  check_second_derivatives(GetParam().inputs, GetParam().f, GetParam().options);
}
INSTANTIATE_TEST_SUITE_P(EveryOp, GradientOf, testing::ValuesIn(all_cases()),
                         [](const auto& info) { return info.param.name; });

TEST(Gradient, EveryRuleIsChecked) {
  std::set<Op> checked;
  for (const Case& c : all_cases()) {
    Graph g;
    c.f(gradient_check_detail::make_inputs(g, c.inputs));
    bool there = false;
    for (const Node& n : g.nodes()) there = there || n.op == c.op;
    EXPECT_TRUE(there) << c.name << " doesn't use its op";
    checked.insert(c.op);
  }
  for (int i = 0; i < op_count; i++) {
    const Op op = static_cast<Op>(i);
    EXPECT_EQ(definition(op).gradient != nullptr, checked.count(op) == 1) << op_name(op);
  }
}

// ---- the walk ---------------------------------------------------------------------------------------------

std::vector<double> run(Graph& g, std::span<const Value> values, const std::vector<Tensor>& inputs) {
  for (Value v : values) g.output("v", v);
  std::vector<double> all;
  for (const Tensor& t : interpret(g, inputs, {}).outputs)
    for (double v : t.to_vector<double>()) all.push_back(v);
  return all;
}

TEST(Gradient, SumsOverAllUsesOfAValue) {
  Graph g;
  const Value x = g.input("x", {DType::f64, {}});
  const Value square = x * x;
  const Value wrt[] = {x, square};
  EXPECT_EQ(run(g, gradient(square * square + square + x, wrt), {Tensor::scalar(3, DType::f64)}),
            (std::vector<double>{4 * 27 + 2 * 3 + 1, 2 * 9 + 1}));
}

TEST(Gradient, OfAValueThatDoesNotMatterIsZero) {
  Graph g;
  const Value x = g.input("x", {DType::f64, {2}});
  const Value y = g.input("y", {DType::f64, {}});
  const Value sum = reduce_sum(x);
  const Value wrt[] = {y, exp(x)};  // exp(x) comes after the sum
  EXPECT_EQ(run(g, gradient(sum, wrt), {Tensor({1.0, 2.0}), Tensor::scalar(3, DType::f64)}),
            (std::vector<double>{0, 0, 0}));
}

TEST(Gradient, OrNoneTellsWhatDoesNotMatterFromZeros) {
  Graph g("g");
  const Value x = g.input("x", {DType::f32, {3}}), jumps = g.input("j", {DType::f32, {3}}),
              unused = g.input("u", {DType::f32, {3}});
  const Value positive = convert(compare(jumps, scalar(jumps, 0), "gt"), DType::f32);
  const Value wrt[] = {x, jumps, unused};
  const std::vector<Value> d = gradient_or_none(reduce_sum(x * positive), wrt);
  EXPECT_TRUE(d[0]);
  EXPECT_FALSE(d[1]);
  EXPECT_FALSE(d[2]);
}

TEST(Gradient, OfAValueWithRespectToItselfIsItsAdjoint) {
  Graph g;
  const Value x = g.input("x", {DType::f64, {2}});
  const Value wrt[] = {x};
  EXPECT_EQ(run(g, gradient(x, wrt, x * 2.0), {Tensor({1.0, 2.0})}), (std::vector<double>{2, 4}));
}

TEST(Gradient, DoesNotFlowThroughIntegersOrJumps) {
  Graph g;
  const Value x = g.input("x", {DType::f64, {2}});
  const Value wrt[] = {x};
  const Value through_int = convert(convert(x, DType::i32), DType::f64);
  const Value jumps = floor(x) + ceil(x) + round(x) + sign(x);
  EXPECT_EQ(run(g, gradient(reduce_sum(through_int + jumps), wrt), {Tensor({1.5, -2.5})}),
            (std::vector<double>{0, 0}));
}

TEST(Gradient, StopsWhereItIsTold) {
  Graph g;
  const Value x = g.input("x", {DType::f64, {}});
  const Value y = x * stop_gradient(x * x) + stop_gradient(x);
  const Value slope = gradient(y, std::span(&x, 1))[0];
  EXPECT_EQ(run(g, {{y, slope, gradient(slope, std::span(&x, 1))[0]}}, {Tensor::scalar(3, DType::f64)}),
            (std::vector<double>{27 + 3, 9, 0}));
}

TEST(Gradient, StopsInTheTextFormToo) {
  Graph g;
  const Value x = g.input("x", {DType::f64, {}});
  g.output("y", x * stop_gradient(x));
  Graph again = parse(print(g));
  const Value again_x = again.inputs()[0];
  const Value slope = gradient(again.outputs()[0].value, std::span(&again_x, 1))[0];
  again.output("slope", slope);
  EXPECT_EQ(interpret(again, std::vector{Tensor::scalar(3, DType::f64)}, {}).outputs[1].item(), 3);
}

TEST(Gradient, ThirdDerivative) {
  Graph g;
  const Value x = g.input("x", {DType::f64, {}});
  Value y = sin(x);
  for (int i = 0; i < 3; i++) y = gradient(y, std::span(&x, 1))[0];
  EXPECT_NEAR(run(g, std::span(&y, 1), {Tensor::scalar(0.7, DType::f64)})[0], -std::cos(0.7), 1e-15);
}

TEST(Gradient, LabelsItsNodesAfterTheForwardOnes) {
  Graph g;
  const Value x = g.input("x", {DType::f64, {}});
  Value y;
  {
    LabelScope label(g, "dense_1");
    y = tanh(x);
  }
  const Value wrt[] = {x};
  EXPECT_EQ(gradient(y, wrt)[0].node->label, "grad/dense_1");
}

TEST(Gradient, ErrorsSayWhatToDo) {
  Graph g;
  const Value x = g.input("x", {DType::f64, {2}}), i = g.input("i", {DType::i32, {}});
  const Value wrt[] = {x}, wrt_int[] = {i};
  EXPECT_THROW(gradient(x, wrt), ShapeError);  // not a scalar, no adjoint
  EXPECT_THROW(gradient(x, wrt, i), ShapeError);
  EXPECT_THROW(gradient(i, wrt), TypeError);
  EXPECT_THROW(gradient(reduce_sum(x), wrt_int), TypeError);
}

// ---- corners ----------------------------------------------------------------------------------------------

std::vector<double> gradient_at(const std::vector<Tensor>& inputs, const GraphFunction& f) {
  Graph g;
  const std::vector<Value> x = gradient_check_detail::make_inputs(g, inputs);
  return run(g, gradient(reduce_sum(f(x)), x), inputs);
}

TEST(Gradient, AtTiesIsSharedEqually) {
  const std::vector<double> halves = {0.5, 1, 0, 0.5, 0, 1};
  EXPECT_EQ(gradient_at({Tensor({1.0, 2.0, 3.0}), Tensor({1.0, 1.0, 4.0})},
                        [](Args x) { return maximum(x[0], x[1]); }),
            halves);
  EXPECT_EQ(gradient_at({Tensor({1.0, 1.0, 4.0}), Tensor({1.0, 2.0, 3.0})},
                        [](Args x) { return minimum(x[0], x[1]); }),
            halves);
  EXPECT_EQ(gradient_at({Tensor({7.0, 4.0, 7.0, 1.0})}, [](Args x) { return reduce_max(x[0]); }),
            (std::vector<double>{0.5, 0, 0.5, 0}));
  EXPECT_EQ(gradient_at({Tensor({3.0, 3.0, 3.0, 3.0})}, [](Args x) { return reduce_min(x[0]); }),
            (std::vector<double>{0.25, 0.25, 0.25, 0.25}));
}

TEST(Gradient, OfAbsAtZeroIsZero) {
  EXPECT_EQ(gradient_at({Tensor({0.0, -0.0, -2.0})}, [](Args x) { return abs(x[0]); }),
            (std::vector<double>{0, 0, -1}));
}

TEST(Gradient, OfPowHasNoNaNWhereItsValueIsReal) {
  const auto power = [](double exponent) {
    return [exponent](Args x) { return pow(x[0], scalar(x[0], exponent)); };
  };
  EXPECT_EQ(gradient_at({Tensor({-3.0, 0.0, 3.0})}, power(2)), (std::vector<double>{-6, 0, 6}));
  EXPECT_EQ(gradient_at({Tensor({-3.0, 0.0, 3.0})}, power(1)), (std::vector<double>{1, 1, 1}));
  EXPECT_EQ(gradient_at({Tensor({-3.0, 0.0, 3.0})}, power(0)), (std::vector<double>{0, 0, 0}));
  // Both gradients, the exponent's too: log of a negative base must not spoil it.
  EXPECT_EQ(gradient_at({Tensor({-3.0, 0.0, 1.0}), Tensor({2.0, 2.0, 5.0})},
                        [](Args x) { return pow(x[0], x[1]); }),
            (std::vector<double>{-6, 0, 5, 0, 0, 0}));
  // Nor an infinite or undefined power: the exponent's gradient is 0 at a <= 0.
  const std::vector<double> both =
      gradient_at({Tensor({0.0, -2.0}), Tensor({-1.0, 0.5})}, [](Args x) { return pow(x[0], x[1]); });
  EXPECT_EQ(both[2], 0);
  EXPECT_EQ(both[3], 0);
}

TEST(Gradient, OfSelectKeepsTheOtherSideOut) {
  // sqrt'(0) is infinite, but that side isn't selected at 0.
  EXPECT_EQ(gradient_at({Tensor({0.0, 4.0})},
                        [](Args x) {
                          const Value positive = compare(x[0], scalar(x[0], 0), "gt");
                          const Value safe = select(positive, x[0], scalar(x[0], 1));
                          return select(positive, sqrt(safe), scalar(x[0], 0));
                        }),
            (std::vector<double>{0, 0.25}));
}

TEST(Gradient, OfEmptyReductions) {
  for (auto op : {reduce_sum, reduce_max, reduce_min, reduce_prod})
    EXPECT_EQ(gradient_at({Tensor(Shape{0, 2}, DType::f64)}, [op](Args x) { return op(x[0], {0}, false); }),
              std::vector<double>{});
}

}  // namespace
}  // namespace kiln::graph
