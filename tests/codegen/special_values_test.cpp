// Cases 15 to 17 (tests/api/cases_*_test.cpp has the others): ties, NaN and infinity, in vector bodies and
// tails, fused and unfused, as inputs and as constants, against values by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kiln/graph/gradient.h"
#include "kiln/graph/ops.h"
#include "tests/codegen/compile_support.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

// ---- case 15: ties in a maximum ---------------------------------------------------------------------------

// Whole numbers, so that most extrema are shared: the gradients of all ops that choose.
TEST(Ties, CompiledGradientsAreTheInterpreters) {
  for (std::int64_t n : {4, 17, 35}) {
    Graph g("ties");
    const Value x = round(g.input("x", {DType::f32, {3, n}}) * 1.5),
                y = round(g.input("y", {DType::f32, {n}}));
    const Value up = g.input("up", {DType::f32, {3, n}});
    const auto out = [&](const char* name, Value z) {
      const Value weights = reshape(slice(reshape(up, {3 * n}), {0}, {z.shape().elements()}), z.shape());
      for (const Value& v : gradient(reduce_sum(z * weights), std::vector{x, y})) g.output(name, v);
    };
    for (auto op : {maximum, minimum}) {
      out("of two", op(x, y) * up);
      out("of one twice", op(x, x + 0.0) * up);
      out("with a number", op(x, scalar(x, 0)) * up);
    }
    for (auto op : {reduce_max, reduce_min})
      for (const Ints& axes : {Ints{0}, Ints{1}, Ints{0, 1}}) {
        out("reduced", op(x, axes, false));
        out("with its own rows", x - op(x, axes, true));
      }
    for (std::int64_t stride : {1, 2, 3}) out("window", window_max(x, {{2, 3}, {1, stride}, {0, 1}, {1, 1}}));
    out("sorted", graph::sort(x, 1)[0] * up);
    out("top", top_k(x, 3)[0]);
    out("abs", abs(x) * up);
    expect_compiled_equals_interpreted(g);
  }
}

TEST(Ties, GradientsSumToWhatCameIn) {
  Graph g("ties");
  const Tensor window(std::vector<float>{7, 4, 7, 1}, {1, 2, 2, 1}), equal = Tensor::full({1, 4, 4, 1}, 3);
  const Tensor line(std::vector<float>{2, 5, 5, 5, -1}), other(std::vector<float>{2, 4, 5, 6, -1});
  const Value x = input(g, window), flat = input(g, equal), a = input(g, line), b = input(g, other);
  const auto out = [&](Value y, Value wrt) { g.output("gradient", gradient(reduce_sum(y), {&wrt, 1})[0]); };
  const WindowAttrs square{{1, 2, 2, 1}, {1, 2, 2, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}};
  out(window_max(x, square), x);
  out(reduce_max(x), x);
  out(reduce_max(x, {1, 2}), x);
  out(reduce_min(-x), x);
  out(window_max(flat, {{1, 2, 2, 1}, {1, 1, 1, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}}), flat);
  out(window_max(flat, {{1, 4, 4, 1}, {1, 1, 1, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}}), flat);
  out(reduce_max(flat), flat);
  out(reduce_max(a), a);
  out(maximum(a, b), a);
  out(minimum(a, b), b);
  out(top_k(a, 2)[0], a);
  for (bool fuse : {true, false}) {
    const std::vector<Tensor> y = run_compiled(g, {window, equal, line, other}, fuse);
    expect_floats(y[0], {1, 0, 0, 0}, "window");                                         // the first
    for (std::size_t i : {1, 2}) expect_floats(y[i], {0.5f, 0, 0.5f, 0}, "reduce_max");  // equal shares
    expect_floats(y[3], {-0.5f, -0.f, -0.5f, -0.f}, "reduce_min");
    float sum = 0;
    for (float v : y[4].to_vector<float>()) sum += v;
    EXPECT_EQ(sum, 9) << "nine overlapping windows of equal elements";
    EXPECT_EQ(y[5](0, 0, 0, 0), 1);
    EXPECT_EQ(y[5](0, 3, 3, 0), 0);
    expect_floats(y[6], std::vector<float>(16, 1.f / 16), "all equal");
    expect_floats(y[7], {0, 1.f / 3, 1.f / 3, 1.f / 3, 0}, "three");
    expect_floats(y[8], {0.5f, 1, 0.5f, 0, 0.5f}, "maximum");
    expect_floats(y[9], {0.5f, 1, 0.5f, 0, 0.5f}, "minimum");
    expect_floats(y[10], {0, 1, 1, 0, 0}, "top_k");
  }
}

// ---- case 16: NaN and infinity at every place of every length ---------------------------------------------

TEST(SpecialValues, ElementwiseOfEveryPairAndLength) {
  const std::vector<float> values = {nan, inf, -inf, -1, 0, 2};
  struct Op {
    const char* name;
    Value (*emit)(Value, Value);
    float (*right)(float, float);
  };
#define COMPARISON(direction, op)                                                             \
  {direction, [](Value a, Value b) { return convert(compare(a, b, direction), DType::f32); }, \
   [](float a, float b) { return a op b ? 1.f : 0.f; }}
  const Op ops[] = {
      COMPARISON("eq", ==),
      COMPARISON("ne", !=),
      COMPARISON("lt", <),
      COMPARISON("le", <=),
      COMPARISON("gt", >),
      COMPARISON("ge", >=),
      {"maximum", maximum,
       [](float a, float b) { return std::isnan(a) || std::isnan(b) ? nan
                                     : a > b                        ? a
                                                                    : b; }},
      {"minimum", minimum,
       [](float a, float b) { return std::isnan(a) || std::isnan(b) ? nan
                                     : a < b                        ? a
                                                                    : b; }},
      {"max with 1", [](Value a, Value) { return maximum(a, scalar(a, 1)); },
       [](float a, float) { return a < 1 ? 1 : a; }},
      {"1 max", [](Value a, Value) { return maximum(scalar(a, 1), a); },
       [](float a, float) { return a < 1 ? 1 : a; }},
      {"clip", [](Value a, Value) { return minimum(maximum(a, scalar(a, -0.5)), scalar(a, 1)); },
       [](float a, float) { return a < -0.5f ? -0.5f
                                   : a > 1   ? 1
                                             : a; }},
      {"isnan", [](Value a, Value) { return convert(compare(a, a, "ne"), DType::f32); },
       [](float a, float) { return std::isnan(a) ? 1.f : 0.f; }},
      {"is_finite", [](Value a, Value) { return convert(is_finite(a), DType::f32); },
       [](float a, float) { return std::isfinite(a) ? 1.f : 0.f; }},
      {"select", [](Value a, Value b) { return select(compare(a, b, "lt"), a, b); },
       [](float a, float b) { return a < b ? a : b; }},
      {"abs", [](Value a, Value) { return abs(a); }, [](float a, float) { return std::fabs(a); }},
      {"sign", [](Value a, Value) { return sign(a); },
       [](float a, float) {
         return std::isnan(a) ? nan : a > 0 ? 1.f : a < 0 ? -1.f : 0.f;
       }},
      {"sum", add, [](float a, float b) { return a + b; }},
      {"difference", sub, [](float a, float b) { return a - b; }},
      {"product", mul, [](float a, float b) { return a * b; }},
      {"quotient", div, [](float a, float b) { return a / b; }}};
#undef COMPARISON
  Graph g("elementwise");
  std::vector<Tensor> inputs;
  for (std::size_t n = 1; n <= 36; n++) {  // the last has every pair
    std::vector<float> a, b;
    for (std::size_t i = 0; i < n; i++) {
      a.push_back(values[(i + n) % 6]);
      b.push_back(values[((i + n) / 6 + i) % 6]);
    }
    inputs.insert(inputs.end(), {Tensor(a), Tensor(b)});
    const Value x = input(g, inputs[2 * n - 2]), y = input(g, inputs.back());
    for (const Op& op : ops) g.output(op.name, op.emit(x, y));
  }
  const std::vector<Tensor> out = run_compiled(g, inputs);
  for (std::size_t k = 0; k < out.size(); k++) {
    const std::size_t n = k / std::size(ops);
    const Op& op = ops[k % std::size(ops)];
    const auto a = inputs[2 * n].to_vector<float>(), b = inputs[2 * n + 1].to_vector<float>();
    std::vector<float> right;
    for (std::size_t i = 0; i < a.size(); i++) right.push_back(op.right(a[i], b[i]));
    expect_floats(out[k], right, op.name + std::string(" of ") + std::to_string(n + 1));
  }
}

// Row r of n has NaN at r; row n has none.
TEST(SpecialValues, NaNIsFoundWhereverItStands) {
  for (std::int64_t n : {1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 23, 24, 25, 31, 32, 33}) {
    Tensor x = Tensor::full({n + 1, n}, 3);
    for (std::int64_t r = 0; r < n; r++) x(r, r) = nan;
    const std::vector<float> holes = [&] {
      std::vector<float> v(static_cast<std::size_t>(n), nan);
      v.push_back(3);
      return v;
    }();
    Graph g("reductions");
    const Value rows = input(g, x);
    for (auto op : {reduce_max, reduce_min, reduce_mean, reduce_sum, reduce_prod}) {
      g.output("rows", op(rows, {1}, false));
      g.output("columns", op(transpose(rows, {1, 0}), {0}, false));
    }
    g.output("argmax", argmax(rows, 1));
    g.output("argmax", argmax(transpose(rows, {1, 0}), 0));
    g.output("window", window_max(rows, {{1, n}, {1, 1}, {0, 0}, {0, 0}}));
    g.output("window", window_sum(rows, {{1, n}, {1, 1}, {0, 0}, {0, 0}}) / static_cast<double>(n));
    g.output("top", top_k(rows, 1)[0]);
    const std::vector<Tensor> y = run_compiled(g, {x});
    for (std::size_t k = 0; k < y.size(); k++) {
      const std::string what = g.outputs()[k].name + " " + std::to_string(k) + " of " + std::to_string(n);
      if (g.outputs()[k].name == "argmax") {
        for (std::int64_t r = 0; r <= n; r++) EXPECT_EQ(y[k].reshape({n + 1})(r), r % n) << what;
        continue;
      }
      std::vector<float> right = holes;
      if (k == 6 || k == 7) right.back() = static_cast<float>(3 * n);
      if (k == 8 || k == 9) right.back() = static_cast<float>(std::pow(3.0, static_cast<double>(n)));
      if (k == 4 || k == 5 || k == 8 || k == 9) {  // rounded
        EXPECT_NEAR(y[k](n), right.back(), 1e-5 * right.back()) << what;
        for (std::int64_t r = 0; r < n; r++) EXPECT_TRUE(std::isnan(y[k](r))) << what;
      } else {
        expect_floats(y[k], right, what);
      }
    }
  }
}

TEST(SpecialValues, InfinitiesAreOrdinaryExtrema) {
  Graph g("infinities");
  std::vector<Tensor> inputs;
  for (std::int64_t n = 1; n <= 33; n++) {
    inputs.push_back(Tensor::full({n}, -inf));
    const Value low = input(g, inputs.back());
    g.output("max", reduce_max(low, {0}));
    g.output("min", reduce_min(-low, {0}));
    g.output("argmax", convert(argmax(low, 0), DType::f32));
    g.output("window", reduce_max(window_max(low, {{1}, {1}, {1}, {1}}), {0}));
  }
  const std::vector<Tensor> y = run_compiled(g, inputs);
  for (std::size_t k = 0; k < y.size(); k += 4) {
    EXPECT_EQ(y[k].item(), -inf);
    EXPECT_EQ(y[k + 1].item(), inf);
    EXPECT_EQ(y[k + 2].item(), 0);
    EXPECT_EQ(y[k + 3].item(), -inf);
  }
}

// ---- case 17: algebra that isn't with NaN and infinity ----------------------------------------------------

TEST(SpecialValues, SimplificationsKeepThem) {
  struct Identity {
    const char* text;
    Value (*emit)(Value);
    std::vector<float> right;  // for inf, NaN, -0 and 2
  };
  const Identity identities[] = {
      {"x * 0", [](Value x) { return x * 0.0; }, {nan, nan, -0.f, 0}},
      {"0 * x", [](Value x) { return 0.0 * x; }, {nan, nan, -0.f, 0}},
      {"x * zeros", [](Value x) { return x * zeros_like(x); }, {nan, nan, -0.f, 0}},
      {"x - x", [](Value x) { return x - x; }, {nan, nan, 0, 0}},
      {"x + -x", [](Value x) { return x + -x; }, {nan, nan, 0, 0}},
      {"x / x", [](Value x) { return x / x; }, {nan, nan, nan, 1}},
      {"x * (1 / x)", [](Value x) { return x * (1.0 / x); }, {nan, nan, nan, 1}},
      {"0 / x", [](Value x) { return 0.0 / x; }, {0, nan, nan, 0}},
      {"1 / (1 / x)", [](Value x) { return 1.0 / (1.0 / x); }, {inf, nan, -0.f, 2}},
      {"x + 0", [](Value x) { return x + 0.0; }, {inf, nan, 0, 2}},
      {"x + -0", [](Value x) { return x + -0.0; }, {inf, nan, -0.f, 2}},
      {"x - 0", [](Value x) { return x - 0.0; }, {inf, nan, -0.f, 2}},
      {"0 - x", [](Value x) { return 0.0 - x; }, {-inf, nan, 0, -2}},
      {"-x", [](Value x) { return -x; }, {-inf, nan, 0, -2}},
      {"x * 1", [](Value x) { return x * 1.0; }, {inf, nan, -0.f, 2}},
      {"x * -1", [](Value x) { return x * -1.0; }, {-inf, nan, 0, -2}},
      {"x / 1", [](Value x) { return x / 1.0; }, {inf, nan, -0.f, 2}},
      {"(x + 1) - 1", [](Value x) { return (x + 1.0) - 1.0; }, {inf, nan, 0, 2}},
      {"x + 1e20 - 1e20", [](Value x) { return (x + 1e20) - 1e20; }, {inf, nan, 0, 0}},
      {"x 1e38 100 / 1e38", [](Value x) { return x * 1e38 * 100.0 / 1e38; }, {inf, nan, -0.f, inf}},
      {"max(x, x)", [](Value x) { return maximum(x, x); }, {inf, nan, -0.f, 2}},
      {"min(max(x, -1), 1)",
       [](Value x) { return minimum(maximum(x, scalar(x, -1)), scalar(x, 1)); },
       {1, nan, -0.f, 1}},
      {"x^0", [](Value x) { return graph::pow(x, scalar(x, 0)); }, {1, 1, 1, 1}},
      {"x^1", [](Value x) { return graph::pow(x, scalar(x, 1)); }, {inf, nan, -0.f, 2}},
      {"x^2", [](Value x) { return graph::pow(x, scalar(x, 2)); }, {inf, nan, 0, 4}},
      {"1^x", [](Value x) { return graph::pow(scalar(x, 1), x); }, {1, 1, 1, 1}},
      {"|-x|", [](Value x) { return abs(-x); }, {inf, nan, 0, 2}},
      {"sqrt(x * x)", [](Value x) { return sqrt(x * x); }, {inf, nan, 0, 2}},
      {"x == x", [](Value x) { return convert(compare(x, x, "eq"), DType::f32); }, {1, 0, 1, 1}},
      {"x != x", [](Value x) { return convert(compare(x, x, "ne"), DType::f32); }, {0, 1, 0, 0}},
      {"x <= x", [](Value x) { return convert(compare(x, x, "le"), DType::f32); }, {1, 0, 1, 1}},
      {"x < x", [](Value x) { return convert(compare(x, x, "lt"), DType::f32); }, {0, 0, 0, 0}},
      {"!(x < 1)",
       [](Value x) { return convert(logical_not(compare(x, scalar(x, 1), "lt")), DType::f32); },
       {1, 1, 0, 1}},
      {"sum of x 0",
       [](Value x) { return broadcast_to(reduce_sum(x * 0.0, {0}, true), x.shape()); },
       {nan, nan, nan, nan}},
      {"exp(110 x/x) exp(-110 x/x)",
       [](Value x) { return exp(x / x * 110.0) * exp(x / x * -110.0); },
       {nan, nan, nan, nan}},
      {"log(exp(95 + x - x))", [](Value x) { return log(exp(x - x + 95.0)); }, {nan, nan, inf, inf}},
      {"sqrt((1e20 x)^2)", [](Value x) { return sqrt((x * 1e20) * (x * 1e20)); }, {inf, nan, 0, inf}},
  };
  const Tensor x(std::vector<float>{inf, nan, -0.f, 2});
  for (bool folded : {false, true})
    for (bool fuse : {true, false}) {
      Graph g("identities");
      const Value v = folded ? constant(g, x) : input(g, x);
      for (const Identity& i : identities) g.output(i.text, i.emit(v));
      const std::vector<Tensor> y = run_compiled(g, folded ? std::vector<Tensor>{} : std::vector{x}, fuse);
      for (std::size_t k = 0; k < y.size(); k++)
        expect_floats(y[k], identities[k].right,
                      std::string(identities[k].text) + (folded ? ", folded" : ""));
    }
}

}  // namespace
}  // namespace kiln::codegen
