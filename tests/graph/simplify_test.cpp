#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "graph/passes/rules.h"
#include "kiln/graph/ops.h"
#include "tests/graph/evaluate.h"
#include "tests/graph/pass_testing.h"

namespace kiln::graph::testing {
namespace {

// One expression of x and y (both `type`), s (f32[]), p (bool of x's shape), simplified and printed as text.
struct Case {
  Graph graph{"t"};
  Value x, y, s, p;
  explicit Case(Type type = {DType::f32, {4, 6}})
      : x(graph.input("x", type)),
        y(graph.input("y", type)),
        s(graph.input("s", {DType::f32, {}})),
        p(graph.input("p", {DType::bool_, type.shape})) {}
};
using Expression1 = Value (*)(Case&);

std::string after(const Type& type, Expression1 f, bool simplify_it) {
  Case c(type);
  c.graph.output("y", f(c));
  return print(simplify_it ? dce(simplify(c.graph)) : dce(c.graph));
}
// `before` simplifies to exactly what `expected` emits.
void expect_simplifies(Expression1 before, Expression1 expected, const Type& type = {DType::f32, {4, 6}}) {
  EXPECT_EQ(after(type, before, true), after(type, expected, false)) << "from\n"
                                                                     << after(type, before, false);
}
void expect_stays(Expression1 f, const Type& type = {DType::f32, {4, 6}}) {
  expect_simplifies(f, f, type);
}

const Type i32{DType::i32, {4, 6}};
const Type bools{DType::bool_, {4, 6}};
Value x(Case& c) {
  return c.x;
}

TEST(Simplify, Arithmetic) {
  expect_simplifies([](Case& c) { return c.x + (-0.0); }, x);
  expect_simplifies([](Case& c) { return -0.0 + c.x; }, x);
  expect_simplifies([](Case& c) { return c.x - 0.0; }, x);
  expect_simplifies([](Case& c) { return c.x * 1; }, x);
  expect_simplifies([](Case& c) { return 1 * c.x; }, x);
  expect_simplifies([](Case& c) { return c.x / 1; }, x);
  expect_simplifies([](Case& c) { return c.x * -1; }, [](Case& c) { return -c.x; });
  expect_simplifies([](Case& c) { return -(-c.x); }, x);
  expect_simplifies([](Case& c) { return c.x + -c.y; }, [](Case& c) { return c.x - c.y; });
  expect_simplifies([](Case& c) { return -c.x + c.y; }, [](Case& c) { return c.y - c.x; });
  expect_simplifies([](Case& c) { return c.x - -c.y; }, [](Case& c) { return c.x + c.y; });
  expect_simplifies([](Case& c) { return -c.x * -c.y; }, [](Case& c) { return c.x * c.y; });
  expect_simplifies([](Case& c) { return pow(c.x, scalar(c.x, 1)); }, x);
  expect_simplifies([](Case& c) { return pow(c.x, scalar(c.x, 2)); }, [](Case& c) { return c.x * c.x; });
  expect_simplifies([](Case& c) { return abs(-c.x); }, [](Case& c) { return abs(c.x); });
  expect_simplifies([](Case& c) { return abs(abs(c.x)); }, [](Case& c) { return abs(c.x); });
  expect_simplifies([](Case& c) { return maximum(c.x, c.x); }, x);
  expect_simplifies([](Case& c) { return minimum(c.x, c.x); }, x);
  expect_simplifies([](Case& c) { return c.x / 4; },
                    [](Case& c) { return c.x * full(c.graph, c.x.type(), 0.25); });
}

TEST(Simplify, IntegersAndBools) {
  expect_simplifies([](Case& c) { return c.x + 0.0; }, x, i32);
  expect_simplifies([](Case& c) { return bit_or(c.x, scalar(c.x, 0)); }, x, i32);
  expect_simplifies([](Case& c) { return bit_xor(c.x, scalar(c.x, 0)); }, x, i32);
  expect_simplifies([](Case& c) { return bit_and(c.x, c.x); }, x, i32);
  expect_simplifies([](Case& c) { return shift_left(c.x, scalar(c.x, 0)); }, x, i32);
  expect_simplifies([](Case& c) { return bit_and(c.x, scalar(c.x, 1)); }, x, bools);
  expect_simplifies([](Case& c) { return logical_not(logical_not(c.x)); }, x, bools);
  expect_stays([](Case& c) { return bit_and(c.x, full(c.graph, c.x.type(), 1)); }, i32);
  expect_stays([](Case& c) { return c.x / full(c.graph, c.x.type(), 4); }, i32);
}

TEST(Simplify, SelectAndConvert) {
  expect_simplifies([](Case& c) { return select(scalar(c.p, 1), c.x, c.y); }, x);
  expect_simplifies([](Case& c) { return select(scalar(c.p, 0), c.y, c.x); }, x);
  expect_simplifies([](Case& c) { return select(c.p, c.x, c.x); }, x);
  expect_simplifies([](Case& c) { return select(logical_not(c.p), c.y, c.x); },
                    [](Case& c) { return select(c.p, c.x, c.y); });
  expect_simplifies([](Case& c) { return convert(c.x, DType::f32); }, x);
  expect_simplifies([](Case& c) { return stop_gradient(c.x) * c.y; }, [](Case& c) { return c.x * c.y; });
  expect_stays([](Case& c) { return convert(convert(c.x, DType::i32), DType::f32); });
}

// What would hide NaN, infinity or the sign of zero: it must stay as it is.
TEST(Simplify, KeepsWhatFloatsMean) {
  expect_stays([](Case& c) { return c.x + full(c.graph, c.x.type(), 0); });
  expect_stays([](Case& c) { return c.x - full(c.graph, c.x.type(), -0.0); });
  expect_stays([](Case& c) { return c.x * full(c.graph, c.x.type(), 0); });
  expect_stays([](Case& c) { return c.x - c.x; });
  expect_stays([](Case& c) { return c.x / c.x; });
  expect_stays([](Case& c) { return exp(c.x) * exp(c.y); });
  expect_stays([](Case& c) { return log(exp(c.x)); });
  expect_stays([](Case& c) { return sqrt(c.x * c.x); });
  expect_stays([](Case& c) { return -(c.x - c.y); });
  expect_stays([](Case& c) { return pow(c.x, full(c.graph, c.x.type(), 0.5)); });
  expect_stays([](Case& c) { return c.x / full(c.graph, c.x.type(), 3); });
  // The inverses are infinite, and subnormal.
  expect_stays([](Case& c) { return c.x / full(c.graph, c.x.type(), 0x1p-149); });
  expect_stays([](Case& c) { return c.x / full(c.graph, c.x.type(), 0x1p127); });
  expect_stays([](Case& c) { return (c.x + c.y) - c.y; });
}

TEST(Simplify, BroadcastReshapeTranspose) {
  expect_simplifies([](Case& c) { return broadcast(c.x, {4, 6}, {0, 1}); }, x);
  expect_simplifies([](Case& c) { return broadcast(broadcast(c.s, {4}, {}), {4, 6}, {0}); },
                    [](Case& c) { return broadcast(c.s, {4, 6}, {}); });
  expect_simplifies([](Case& c) { return broadcast(c.x, {4, 1, 6}, {0, 2}); },
                    [](Case& c) { return reshape(c.x, {4, 1, 6}); });
  expect_simplifies([](Case& c) { return broadcast(reshape(c.x, {4, 1, 6}), {4, 5, 6}, {0, 1, 2}); },
                    [](Case& c) { return broadcast(c.x, {4, 5, 6}, {0, 2}); });
  expect_simplifies([](Case& c) { return reshape(reshape(c.x, {24}), {8, 3}); },
                    [](Case& c) { return reshape(c.x, {8, 3}); });
  expect_simplifies([](Case& c) { return reshape(reshape(c.x, {24}), {4, 6}); }, x);
  expect_simplifies([](Case& c) { return reshape(broadcast(c.s, {4, 6}, {}), {24}); },
                    [](Case& c) { return broadcast(c.s, {24}, {}); });
  expect_simplifies([](Case& c) { return transpose(transpose(c.x, {1, 0}), {1, 0}); }, x);
  expect_simplifies([](Case& c) { return transpose(reshape(c.x, {2, 2, 6}), {1, 2, 0}); },
                    [](Case& c) { return transpose(reshape(c.x, {2, 2, 6}), {1, 2, 0}); });
  expect_simplifies(
      [](Case& c) { return transpose(transpose(reshape(c.x, {2, 2, 6}), {1, 2, 0}), {0, 2, 1}); },
      [](Case& c) { return transpose(reshape(c.x, {2, 2, 6}), {1, 0, 2}); });
  expect_simplifies([](Case& c) { return transpose(reshape(c.x, {4, 1, 6}), {1, 0, 2}); },
                    [](Case& c) { return reshape(c.x, {1, 4, 6}); });
  expect_simplifies([](Case& c) { return transpose(broadcast(c.s, {4, 6}, {}), {1, 0}); },
                    [](Case& c) { return broadcast(c.s, {6, 4}, {}); });
}

TEST(Simplify, SlicePadConcatenateReverse) {
  expect_simplifies([](Case& c) { return slice(c.x, {0, 0}, {4, 6}); }, x);
  expect_stays([](Case& c) { return slice(c.x, {0, 0}, {4, 6}, {1, 2}); });
  expect_simplifies([](Case& c) { return slice(slice(c.x, {1, 1}, {4, 6}, {1, 2}), {1, 1}, {2, 3}); },
                    [](Case& c) { return slice(c.x, {2, 3}, {3, 6}, {1, 2}); });
  // Nothing, from behind the last element that a stride reaches.
  expect_simplifies([](Case& c) { return slice(slice(c.x, {0, 0}, {4, 6}, {1, 5}), {0, 2}, {4, 2}); },
                    [](Case& c) { return slice(c.x, {0, 0}, {4, 0}); });
  // Strides whose product is no number.
  expect_simplifies(
      [](Case& c) {
        const std::int64_t far = std::int64_t{1} << 62;
        return slice(slice(c.x, {0, 1}, {4, 6}, {1, far}), {0, 0}, {4, 1}, {1, far});
      },
      [](Case& c) { return slice(c.x, {0, 1}, {4, 2}); });
  expect_simplifies([](Case& c) { return slice(concatenate(std::vector{c.x, c.y}, 0), {0, 0}, {4, 6}); }, x);
  expect_simplifies([](Case& c) { return slice(concatenate(std::vector{c.y, c.x}, 0), {5, 0}, {7, 6}); },
                    [](Case& c) { return slice(c.x, {1, 0}, {3, 6}); });
  expect_stays([](Case& c) { return slice(concatenate(std::vector{c.y, c.x}, 0), {3, 0}, {5, 6}); });
  expect_simplifies([](Case& c) { return pad(c.x, c.s, {0, 0}, {0, 0}); }, x);
  expect_simplifies([](Case& c) { return pad(pad(c.x, c.s, {1, 0}, {0, 2}), c.s, {0, 3}, {1, 0}); },
                    [](Case& c) { return pad(c.x, c.s, {1, 3}, {1, 2}); });
  expect_simplifies([](Case& c) { return concatenate(std::vector{c.x}, 0); }, x);
  expect_simplifies(
      [](Case& c) { return concatenate(std::vector{c.x, concatenate(std::vector{c.y, c.x}, 1)}, 1); },
      [](Case& c) { return concatenate(std::vector{c.x, c.y, c.x}, 1); });
  expect_simplifies([](Case& c) { return concatenate(std::vector{slice(c.y, {0, 0}, {0, 6}), c.x}, 0); }, x);
  expect_simplifies([](Case& c) { return reverse(reverse(c.x, {0, 1}), {0}); },
                    [](Case& c) { return reverse(c.x, {1}); });
  expect_simplifies([](Case& c) { return reverse(reverse(c.x, {0}), {0}); }, x);
  expect_simplifies([](Case& c) { return reverse(reshape(c.x, {1, 24}), {0}); },
                    [](Case& c) { return reshape(c.x, {1, 24}); });
  expect_simplifies([](Case& c) { return dynamic_slice(c.x, constant(c.graph, Tensor({3, -1})), {2, 5}); },
                    [](Case& c) { return slice(c.x, {2, 0}, {4, 5}); });
}

TEST(Simplify, Reductions) {
  expect_simplifies([](Case& c) { return reduce_sum(reshape(c.x, {4, 1, 6}), {1}); }, x);
  expect_simplifies([](Case& c) { return reduce_max(broadcast(reduce_sum(c.x, {1}), {4, 6}, {0}), {1}); },
                    [](Case& c) { return reduce_sum(c.x, {1}); });
  expect_stays([](Case& c) { return reduce_max(broadcast(reduce_sum(c.x, {1}), {4, 6}, {0}), {0}); });
  // Not x * 6: the sum rounds differently, and overflows differently.
  expect_stays([](Case& c) { return reduce_sum(broadcast(reduce_max(c.x, {1}), {4, 6}, {0}), {1}); });
}

TEST(Simplify, WorkOnScalarsAndRowsIsDoneOnce) {
  expect_simplifies([](Case& c) { return exp(broadcast(c.s, {4, 6}, {})); },
                    [](Case& c) { return broadcast(exp(c.s), {4, 6}, {}); });
  expect_simplifies(
      [](Case& c) { return c.x * (broadcast(c.s, {4, 6}, {}) * broadcast(exp(c.s), {4, 6}, {})); },
      [](Case& c) {
        const Value e = exp(c.s);
        return c.x * broadcast(c.s * e, {4, 6}, {});
      });
  expect_simplifies([](Case& c) { return broadcast(reduce_sum(c.x, {0}), {4, 6}, {1}) * 3.0; },
                    [](Case& c) {
                      const Value sum = reduce_sum(c.x, {0});
                      return broadcast(sum * 3.0, {4, 6}, {1});
                    });
  // Rows and columns together need the whole.
  expect_stays([](Case& c) {
    return broadcast(reduce_sum(c.x, {0}), {4, 6}, {1}) * broadcast(reduce_sum(c.x, {1}), {4, 6}, {0});
  });
}

TEST(Simplify, ReshapesSinkBelowElementwiseOps) {
  expect_simplifies([](Case& c) { return tanh(reshape(exp(c.x), {24})); },
                    [](Case& c) { return reshape(tanh(exp(c.x)), {24}); });
  expect_simplifies([](Case& c) { return reshape(exp(c.x), {24}) + reshape(exp(c.y), {24}); },
                    [](Case& c) { return reshape(exp(c.x) + exp(c.y), {24}); });
  expect_stays([](Case& c) { return reshape(exp(c.x), {24}) + reshape(transpose(c.y, {1, 0}), {24}); });
  expect_stays([](Case& c) { return tanh(reshape(c.x, {24})); });  // an array may have any shape
}

// A pooling's gradient in x (4, 6), summed: each window gives its dy to one element.
TEST(Simplify, SumsOfMaximaGradients) {
  struct Pooling {
    static Value dy(Case& c, const Shape& shape) { return c.x.graph().input("dy", {DType::f32, shape}); }
    static Value sum(Case& c, const WindowAttrs& attrs, Ints axes, const WindowAttrs* others = nullptr) {
      const Value place = window_argmax(c.x, others ? *others : attrs);
      const Value dy = c.x.graph().input("dy", window_max(c.x, attrs).type());
      return reduce_sum(window_max_grad(place, dy, c.x.shape(), attrs), std::move(axes));
    }
  };
  expect_simplifies([](Case& c) { return Pooling::sum(c, {{3, 1}, {2, 1}, {1, 0}, {1, 0}}, {0}); },
                    [](Case& c) { return reduce_sum(Pooling::dy(c, {2, 6}), {0}); });
  expect_simplifies([](Case& c) { return Pooling::sum(c, {{2, 2}, {1, 2}, {}, {}}, {0, 1}); },
                    [](Case& c) { return reduce_sum(Pooling::dy(c, {3, 3}), {0, 1}); });
  // An axis that isn't summed has windows; windows that cover padding only; places of other windows.
  expect_stays([](Case& c) { return Pooling::sum(c, {{2, 2}, {1, 2}, {}, {}}, {0}); });
  expect_stays([](Case& c) { return Pooling::sum(c, {{2, 1}, {2, 1}, {2, 0}, {}}, {0}); });
  expect_stays([](Case& c) { return Pooling::sum(c, {{2, 1}, {2, 1}, {}, {2, 0}}, {0}); });
  static const WindowAttrs others{{2, 1}, {2, 1}, {1, 0}, {1, 0}};
  expect_stays([](Case& c) { return Pooling::sum(c, {{2, 1}, {2, 1}, {1, 0}, {1, 0}}, {1}); });
  expect_stays([](Case& c) { return Pooling::sum(c, {{3, 1}, {2, 1}, {2, 0}, {1, 0}}, {0}, &others); });
}

// The update of a weight whose gradient comes in another shape happens where the gradient is computed.
TEST(Simplify, ReshapesSinkBelowOpsWithStoredArrays) {
  expect_simplifies(
      [](Case& c) {
        const Value w = c.x.graph().input("w", {DType::f32, {24}}), e = exp(c.x);
        return w * c.s - reshape(e, {24});
      },
      [](Case& c) {
        const Value w = c.x.graph().input("w", {DType::f32, {24}}), e = exp(c.x);
        return reshape(reshape(w, {4, 6}) * c.s - e, {24});
      });
}

// Case 17 of the known faults, to the letter: as inputs and as constants, the same.
TEST(Simplify, NotANumberAndInfinityComeThrough) {
  const std::vector<float> special = {static_cast<float>(infinity), static_cast<float>(nan), -0.0f, 2.0f};
  for (const bool folded : {false, true}) {
    Graph g("special");
    std::vector<Tensor> inputs;
    const auto leaf = [&](const std::vector<float>& v) {
      if (folded) return constant(g, Tensor(v));
      inputs.push_back(Tensor(v));
      return g.input("x", {DType::f32, {static_cast<std::int64_t>(v.size())}});
    };
    const Value v = leaf(special);
    g.output("x*0", v * 0.0);
    g.output("x-x", v - v);
    g.output("x/x", v / v);
    g.output("exp*exp", exp(leaf({110})) * exp(leaf({-110})));
    g.output("log(exp)", log(exp(leaf({95}))));
    const Value big = leaf({1e20f});
    g.output("sqrt(x*x)", sqrt(big * big));
    const Graph optimized = optimize(g);
    const std::vector<Tensor> y = interpret(optimized, inputs, {}).outputs;
    expect_tensor(y[0], {4}, {nan, nan, 0, 0});
    EXPECT_TRUE(std::signbit(y[0].data<float>()[2]));
    expect_tensor(y[1], {4}, {nan, nan, 0, 0});
    expect_tensor(y[2], {4}, {nan, nan, nan, 1});
    EXPECT_TRUE(std::isnan(y[3].item()));
    expect_tensor(y[4], {1}, {infinity});
    expect_tensor(y[5], {1}, {infinity});
    if (folded) {
      for (const Output& o : optimized.outputs()) EXPECT_EQ(o.value.node->op, Op::constant) << o.name;
    }
  }
}

TEST(Simplify, EveryRuleHasItsSayOnce) {
  for (std::span<const Rule> rules : {arithmetic_rules(), movement_rules()})
    for (std::size_t i = 0; i < rules.size(); i++)
      for (std::size_t k = 0; k < i; k++) EXPECT_NE(rules[i].text, rules[k].text);
}

}  // namespace
}  // namespace kiln::graph::testing
